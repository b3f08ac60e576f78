"""Harm done to stored pieces on the disk itself, and what every provider has, byte for byte."""

from __future__ import annotations

from pathlib import Path

from piecestore.disk.layout import Layout
from sp.domain.ids import ObjectId, RedundancyIndex, SegmentIndex
from sp.domain.jobs import Job
from sp.domain.pieces import EcPieceKey, PieceKey, SegmentKey
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
