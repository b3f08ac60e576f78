"""Another service of the same SP: in this process, or at its internal endpoint."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

import grpc

from sp.runtime.parts import Parts
from sp.runtime.rpc import dial

T = TypeVar("T")


async def neighbour(
    parts: Parts, service: str, target: str, client: Callable[[grpc.aio.Channel], T], timeout_s: float
) -> T:
    """The instance that this process has published as `service`; else `client` over a channel to `target`.

    timeout_s: deadline of calls that set none. The channel is kept, and shared by all who ask in this process.
    """
    if (local := parts.local(service)) is not None:
        return cast(T, local)
    tls = parts.common.tls
    return client(await parts.once(f"channel {target}", lambda: dial(target, tls=tls, timeout_s=timeout_s)))
