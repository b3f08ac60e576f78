"""Parts of resumable uploads over real gRPC."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

import pytest

from sp.domain.errors import OffsetRefused
from sp.domain.ids import Address, Checksum, JobId
from sp.domain.jobs import PutOrder
from sp.domain.params import StorageParams
from sp.runtime.rpc import dial, serving
from uploader.client import Part, PartReceipt, PutReceipt, Uploader, UploaderClient
from uploader.rpc import served

ACCOUNT = Address("0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A")
ORDER = PutOrder("photos", "k", ACCOUNT, 5, StorageParams())


@dataclass
class Recording:
    """An uploader that keeps what it is given."""

    parts: list[tuple[PutOrder, Part, bytes]] = field(default_factory=list)

    async def put_part_at(self, order: PutOrder, part: Part, body: AsyncIterator[bytes]) -> PartReceipt:
        if part.offset == 7:
            raise OffsetRefused(7, 5)
        payload = b"".join([chunk async for chunk in body])
        self.parts.append((order, part, payload))
        put = PutReceipt(JobId(7), 5, Checksum(bytes(32)), 1) if part.complete else None
        return PartReceipt(part.offset + len(payload), put)

    async def resume_offset(self, bucket: str, object_name: str, account: Address) -> int | None:
        return {"begun": 0, "k": 5}.get(object_name) if account == ACCOUNT else None


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


async def test_parts_arrive_as_they_were_sent_and_the_last_one_brings_the_receipt() -> None:
    first, last = Part(0, complete=False, size=2), Part(2, complete=True, size=None)
    uploader = Recording()
    async with connected(uploader) as client:
        assert await client.put_part_at(ORDER, first, body_of(b"a", b"b")) == PartReceipt(2, None)
        receipt = await client.put_part_at(ORDER, last, body_of(b"cde"))
    assert receipt == PartReceipt(5, PutReceipt(JobId(7), 5, Checksum(bytes(32)), 1))
    assert uploader.parts == [(ORDER, first, b"ab"), (ORDER, last, b"cde")]


async def test_an_offset_that_is_refused_says_where_the_upload_stands() -> None:
    async with connected(Recording()) as client:
        with pytest.raises(OffsetRefused) as refused:
            await client.put_part_at(ORDER, Part(7, complete=False, size=None), body_of(b"x" * (3 << 20)))
    assert refused.value.stored == 5


async def test_an_upload_at_its_beginning_is_not_one_that_does_not_exist() -> None:
    async with connected(Recording()) as client:
        assert await client.resume_offset("photos", "k", ACCOUNT) == 5
        assert await client.resume_offset("photos", "begun", ACCOUNT) == 0
        assert await client.resume_offset("photos", "absent", ACCOUNT) is None


async def test_a_body_that_breaks_off_is_no_part() -> None:
    async def breaking() -> AsyncIterator[bytes]:
        yield b"a"
        raise ConnectionResetError

    uploader = Recording()
    async with connected(uploader) as client:
        with pytest.raises(ConnectionResetError):
            await client.put_part_at(ORDER, Part(0, complete=False, size=None), breaking())
    assert uploader.parts == []
