"""A gRPC channel that ends in this process: messages are serialised and parsed as between two, nothing is sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import grpc

from signer.client import Signer, SignerClient
from signer.rpc import SignerRpc


class LoopbackChannel:
    """Unary calls alone. servicer: whose methods answer"""

    def __init__(self, servicer: object) -> None:
        self._servicer = servicer

    def unary_unary(
        self, path: str, request_serializer: Any, response_deserializer: Any, **_: Any
    ) -> Callable[..., Any]:
        method = getattr(self._servicer, path.rpartition("/")[2])

        async def call(request: Any, **_: Any) -> Any:
            wire = request_serializer(request)
            reply = await method(type(request).FromString(wire), None)
            return response_deserializer(reply.SerializeToString())

        return call


def remote(signer: object) -> Signer:
    """The signer as another process sees it."""
    channel = cast("grpc.aio.Channel", LoopbackChannel(SignerRpc(cast("Signer", signer))))
    return SignerClient(channel)
