"""The Uploader over real gRPC: what comes behind a body arrives with its commit."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

import pytest

from sp.domain.errors import InvalidRequest
from sp.domain.ids import Address, Checksum, JobId
from sp.domain.jobs import PutOrder
from sp.domain.params import StorageParams
from sp.runtime.rpc import dial, serving
from uploader.client import PutReceipt, Trailing, Uploader, UploaderClient
from uploader.rpc import served

ORDER = PutOrder("photos", "k", Address("0x" + "11" * 20), None, StorageParams(), headers={"content-type": "a/b"})


@dataclass
class Recording:
    """An uploader that keeps what it is given."""

    payloads: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    async def put(self, order: PutOrder, body: AsyncIterator[bytes], trailing: Trailing = dict) -> PutReceipt:
        self.payloads.append(b"".join([chunk async for chunk in body]))
        self.headers.append({**order.headers, **trailing()})
        return PutReceipt(JobId(7), len(self.payloads[-1]), Checksum(bytes(32)), 1)


@asynccontextmanager
async def connected(uploader: Recording) -> AsyncIterator[UploaderClient]:
    async with (
        serving("127.0.0.1:0", [served(cast("Uploader", uploader))]) as address,
        dial(address, timeout_s=10.0) as channel,
    ):
        yield UploaderClient(channel)


async def body_of(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def test_headers_that_are_known_only_after_the_body_are_kept_with_the_others() -> None:
    uploader, known = Recording(), dict[str, str]()

    async def body() -> AsyncIterator[bytes]:
        yield b"hello"
        known["x-amz-checksum-crc32"] = "NhCmhg=="

    async with connected(uploader) as client:
        await client.put(ORDER, body(), lambda: known)
        await client.put(ORDER, body_of(b"a", b"b"))
    assert uploader.payloads == [b"hello", b"ab"]
    assert uploader.headers == [{"content-type": "a/b", "x-amz-checksum-crc32": "NhCmhg=="}, {"content-type": "a/b"}]


async def test_headers_behind_a_body_are_limited() -> None:
    async with connected(Recording()) as client:
        with pytest.raises(InvalidRequest):
            await client.put(ORDER, body_of(b"a"), lambda: {"x": "y" * 20_000})
