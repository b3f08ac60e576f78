"""What a holder says of its checksums is held to the chain; and who may ask it for them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from receiver.proofs import Prover
from sp.crypto.ec import best_kernel
from sp.crypto.hashing import sha256
from sp.domain.approvals import PieceRequest
from sp.domain.contents import content_of
from sp.domain.errors import InvalidRequest, PieceNotFound, SignatureError, SpError, TooFewPieces, UnknownProvider
from sp.domain.ids import PRIMARY, Address, Checksum, RedundancyIndex, SegmentIndex
from sp.domain.ledger import SpStatus, StorageProvider
from tests.unit.ledger_double import NOW_S
from tests.unit.providers import Provider
from tests.unit.receivers import COLUMN, OBJECT_ID, World, group_of, open_world

GROUP = group_of(3500)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path) as world:
        world.on_chain(GROUP)
        await world.send(GROUP)
        yield world


async def asked(world: World, asker: Provider, index: RedundancyIndex = COLUMN) -> tuple[Checksum, ...]:
    request = PieceRequest(OBJECT_ID, 0, 0, index, asker.operator, world.me.operator, NOW_S)
    return await world.receiver.checksums(request, await asker.signer.sign(request))


async def test_the_primary_is_told_the_checksums_that_were_signed_for(world: World) -> None:
    assert await asked(world, world.primary) == GROUP.piece_checksums


async def test_a_primary_that_leaves_is_told_too_and_one_that_is_gone_is_not(world: World) -> None:
    registered = world.ledger.providers
    registered[world.primary.operator] = replace(world.primary.record, status=SpStatus.GRACEFUL_EXITING)
    assert await asked(world, world.primary) == GROUP.piece_checksums
    registered[world.primary.operator] = replace(world.primary.record, status=SpStatus.FORCED_EXITING)
    with pytest.raises(UnknownProvider):
        await asked(world, world.primary)


async def test_nobody_is_told_of_an_object_that_is_neither_its_own_nor_public(world: World) -> None:
    with pytest.raises(SignatureError):
        await asked(world, world.providers.add("curious"))


async def test_a_column_that_is_not_here_and_segments_of_another_primary_are_refused(world: World) -> None:
    with pytest.raises(PieceNotFound):
        await asked(world, world.primary, RedundancyIndex(COLUMN + 1))
    with pytest.raises(InvalidRequest):
        await asked(world, world.primary, PRIMARY)


async def test_a_request_with_anothers_signature_is_refused(world: World) -> None:
    request = PieceRequest(OBJECT_ID, 0, 0, COLUMN, world.primary.operator, world.me.operator, NOW_S)
    stranger = world.providers.add("stranger")
    with pytest.raises(SignatureError):
        await world.receiver.checksums(request, await stranger.signer.sign(replace(request, asker=stranger.operator)))


class Told:
    """A Gatherer that is told what each column's holder answers."""

    def __init__(self, world: World, answers: dict[int, tuple[Checksum, ...] | SpError]) -> None:
        self._answers = answers
        self.pool = world.receiver.pool

    async def checksums(
        self, wanted: object, column: RedundancyIndex, holder: StorageProvider
    ) -> tuple[Checksum, ...] | SpError:
        return self._answers[column]

    async def gather(self, wanted: object, holders: dict[RedundancyIndex, StorageProvider], made: object) -> bytes:
        raise TooFewPieces("cat.jpg", 0, len(holders), 4, "")


async def test_only_lists_that_give_the_hash_on_chain_are_believed(world: World) -> None:
    other = world.providers.add("other")
    names = [world.primary.operator, other.operator]
    holders: list[Address] = [names[column % 2] for column in range(6)]
    world.ledger.seal(OBJECT_ID, tuple(holders))
    found = world.ledger.objects[OBJECT_ID]
    content = content_of(found, 0)
    assert content is not None
    lie = (Checksum(sha256(b"lie")), *GROUP.piece_checksums[1:])
    answers: dict[int, tuple[Checksum, ...] | SpError] = {
        COLUMN: GROUP.piece_checksums,
        0 if COLUMN else 1: lie,
        4: GROUP.piece_checksums,
        5: PieceNotFound("nothing here"),
    }
    prover = Prover(Told(world, answers), best_kernel())  # type: ignore[arg-type]  # all that is asked of one
    columns = [RedundancyIndex(column) for column in answers]
    proven = await prover.prove(GROUP.ref, content, world.ledger.providers, *columns, primary=names[0])
    assert dict(proven.checksums) == {COLUMN: GROUP.piece_checksums}
    assert "nothing here" in proven.reasons
    assert proven.reasons.count("not those of the seal") == 2
    with pytest.raises(TooFewPieces) as few:
        await prover.segment(proven, SegmentIndex(0))
    assert "not those of the seal" in few.value.reasons
