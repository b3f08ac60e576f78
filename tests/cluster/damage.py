"""Harm done to stored pieces on the disk itself, and what every provider has, byte for byte."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import update

from piecestore.disk.layout import Layout
from sp.domain.ids import ObjectId, RedundancyIndex, SegmentIndex
from sp.domain.jobs import Job
from sp.domain.pieces import EcPieceKey, PieceKey, SegmentKey
from spdb.models.small_segments import small_segments
from spdb.open import shared_database
from spdb.small_segments import SmallSegments
from tests.cluster.network import Network, Sp


def file_of(sp: Sp, key: PieceKey) -> Path:
    return Layout(sp.dir / "pieces").path(key)


def flip(sp: Sp, key: PieceKey) -> None:
    """Bit rot on the disk."""
    path = file_of(sp, key)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10
    path.write_bytes(bytes(content))


def truncate(sp: Sp, key: PieceKey) -> None:
    path = file_of(sp, key)
    path.write_bytes(path.read_bytes()[:-1])


def lose(sp: Sp, key: PieceKey) -> None:
    file_of(sp, key).unlink()


async def harm_row(sp: Sp, job: Job, harm: str) -> None:
    """What a segment that lies in SPDB suffers: "lose", "rot" or "cut"."""
    assert sp.parts is not None
    small, database = small_segments.c, await shared_database(sp.parts)
    if harm == "lose":
        await SmallSegments(database).delete(job.id)
        return
    payload = await SmallSegments(database).get(job.id)
    assert payload
    rotten = bytearray(payload)
    rotten[len(rotten) // 2] ^= 0x10
    harmed = payload[:-1] if harm == "cut" else bytes(rotten)
    harming = update(small_segments).where(small.job_id == job.id).values(payload=harmed)
    await database.write(lambda c: c.execute(harming).rowcount)


async def row_of(sp: Sp, job: Job) -> bytes | None:
    """Its payload, where that lies in SPDB."""
    assert sp.parts is not None
    return await SmallSegments(await shared_database(sp.parts)).get(job.id)


def lose_disk(sp: Sp) -> int:
    """Every committed piece; how many."""
    files = [path for path in (sp.dir / "pieces").glob("*/*/*") if path.is_file()]
    for path in files:
        path.unlink()
    return len(files)


def segment(job: Job, index: int) -> SegmentKey:
    return SegmentKey(job.id, SegmentIndex(index))


def piece(job: Job, index: int, column: int) -> EcPieceKey:
    assert job.object_id is not None
    return EcPieceKey(ObjectId(job.object_id), job.version, SegmentIndex(index), RedundancyIndex(column))


async def holders(network: Network, job: Job) -> list[Sp]:
    """The secondaries of an object by column."""
    assert job.object_id is not None
    found = await network.chain.head_object_by_id(job.object_id)
    return [network.sp_of(operator) for operator in found.secondaries]


def everything(network: Network) -> dict[str, bytes]:
    """What lies on all disks, by provider and key."""
    return {
        f"{sp.name}/{path.name}": path.read_bytes()
        for sp in network.sps
        for path in (sp.dir / "pieces").glob("*/*/*")
        if path.is_file() and path.parent.parent.name != "tmp"
    }
