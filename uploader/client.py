"""The Uploader as the gateway sees it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final, Protocol, cast

import grpc

from proto import uploader_pb2 as pb
from proto.uploader_pb2_grpc import UploaderStub
from sp.domain.ids import Checksum, JobId
from sp.domain.jobs import PutOrder
from sp.runtime.chunks import chunks_of
from sp.runtime.parts import Parts
from sp.runtime.rpc import dial
from sp.wire.jobs import put_order_pb

CALL_TIMEOUT_S: Final = 10.0
PUT_TIMEOUT_S: Final = 24 * 3600.0
"""A put lasts as long as its body: what bounds it is the gateway's demand for progress, not its length."""


@dataclass(frozen=True, slots=True)
class PutReceipt:
    """An acknowledged put: every segment is durable, the job is recorded. stored_at_ms: unix ms."""

    job_id: JobId
    payload_size: int
    root: Checksum
    stored_at_ms: int


class Uploader(Protocol):
    async def put(self, order: PutOrder, body: AsyncIterator[bytes]) -> PutReceipt:
        """Store the object. The put is committed only when `body` ends by itself; an exception raised by `body` (the
        client went away, a digest did not match) aborts it, leaves nothing behind that is not collected, and comes out
        again here. PayloadSizeMismatch, IntegrityMismatch, ObjectTooLarge, UploadInProgress, ObjectNotCreated,
        Overloaded, StoreFull."""


class UploaderClient:
    """An Uploader in another process."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = UploaderStub(channel)

    async def put(self, order: PutOrder, body: AsyncIterator[bytes]) -> PutReceipt:
        """See Uploader.put. A body that raises leaves the stream without its commit, which aborts the upload there."""
        call = self._stub.Put(timeout=PUT_TIMEOUT_S)
        try:
            await call.write(pb.PutFrame(open=put_order_pb(order)))
            async for chunk in body:
                for part in chunks_of(chunk):
                    await call.write(pb.PutFrame(chunk=part))
            await call.write(pb.PutFrame(commit=pb.PutCommit()))
            await call.done_writing()
            reply = await call
        except asyncio.InvalidStateError:  # the far side ended the call while we were writing: its status says why
            reply = await call
        finally:
            call.cancel()  # nothing left to cancel once the reply is there
        return PutReceipt(JobId(reply.job_id), reply.payload_size, Checksum(reply.root), reply.stored_at_ms)


async def connect(parts: Parts) -> Uploader:
    """The Uploader of this SP: the one in this process, else a client of the one at its endpoint."""
    if local := parts.local("uploader"):
        return cast("Uploader", local)
    target, tls = parts.common.endpoint.uploader, parts.common.tls
    return UploaderClient(
        await parts.once(f"channel {target}", lambda: dial(target, tls=tls, timeout_s=CALL_TIMEOUT_S))
    )
