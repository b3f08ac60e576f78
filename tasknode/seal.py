"""SIGN_OBJECT_DOING and SEAL_OBJECT_TX_DOING: the seal transaction out, and seen in a block."""

from __future__ import annotations

from dataclasses import dataclass

from chain.client import Chain
from signer.client import Signer
from sp.domain.errors import ServiceUnavailable, TxNotSeen, TxRefused
from sp.domain.ids import Address, TxHash
from sp.domain.jobs import Job, Move, Secondary, SecondaryState
from sp.domain.lifecycle import JobEvent
from sp.domain.messages import MsgSealObject
from spdb.jobs import Jobs
from tasknode.onchain import Fate, OnChain
from tasknode.places import waiting_aside


@dataclass(frozen=True, slots=True)
class Sealer:
    jobs: Jobs
    chain: Chain
    onchain: OnChain
    signer: Signer
    seal_timeout_blocks: int
    actor: str

    async def sign(self, job: Job) -> Job:
        """Build, sign and broadcast MsgSealObject: the job in SEAL_OBJECT_TX_DOING with the transaction's hash."""
        tx_hash = await self._broadcast(job)
        return await self.jobs.move(
            job,
            Move(JobEvent.SEAL_BROADCAST, self.actor, tx_hash=tx_hash, attempts=0),
            Move(JobEvent.SEAL_WATCH_STARTED, self.actor),
        )

    async def watch(self, job: Job) -> Job:
        """Wait for the block with the seal: the job in SEAL_OBJECT_DONE. TxRefused, TxNotSeen."""
        assert job.tx_hash is not None
        height = (await self.chain.latest_block()).height
        async with waiting_aside():
            result = await self.chain.wait_tx(job.tx_hash, height + self.seal_timeout_blocks)
        if result.code != 0:
            if (
                await self.onchain.fate(job) is Fate.SEALED
            ):  # a second broadcast of ours came after the first had landed
                return await self.jobs.move(job, self.seen(f"in a block up to {result.height}"))
            raise TxRefused(result.codespace, result.code, result.log)
        return await self.jobs.move(job, self.seen(f"in block {result.height}"))

    async def rebroadcast(self, job: Job) -> Job:
        """From SEAL_OBJECT_ERROR: the seal did not appear, so it is sent again and watched for again."""
        tx_hash = await self._broadcast(job)
        return await self.jobs.move(job, Move(JobEvent.SEAL_WATCH_STARTED, self.actor, tx_hash=tx_hash))

    async def departed(self, job: Job) -> list[Secondary]:
        """Secondaries that signed but are no longer in service: the chain refuses a seal that names them."""
        providers = await self.chain.storage_providers()
        rows = await self._receipts(job)
        return [s for s in rows if s.provider not in providers or not providers[s.provider].in_service]

    def seen(self, where: str) -> Move:
        return Move(JobEvent.SEAL_SEEN, self.actor, where, attempts=0)

    async def _receipts(self, job: Job) -> list[Secondary]:
        rows = [s for s in await self.jobs.secondaries(job.id) if s.state is SecondaryState.DONE]
        return sorted(rows, key=lambda s: s.redundancy_index)

    async def _broadcast(self, job: Job) -> TxHash:
        rows = await self._receipts(job)
        assert [s.redundancy_index for s in rows] == list(range(job.params.secondaries))
        message = seal_message(job, rows, (await self.signer.keys()).seal)
        height = (await self.chain.latest_block()).height
        try:
            return await self.signer.submit(message)
        except ServiceUnavailable as unanswered:
            return await self._landed_after_all(job, height, unanswered)

    async def _landed_after_all(self, job: Job, height: int, unanswered: ServiceUnavailable) -> TxHash:
        """The answer was lost, but the transaction may have arrived: look at the next block before failing. height: of
        the newest block before the broadcast, since the one with the seal may be there already."""
        await self.chain.next_block(height)
        if await self.onchain.fate(job) is Fate.SEALED:
            raise TxNotSeen("") from unanswered  # the retry asks the chain first and finds the seal
        raise unanswered


def seal_message(job: Job, secondaries: list[Secondary], seal_address: Address) -> MsgSealObject:
    """The seal of a job from its receipts in column order. A delegated put brings its checksums with it."""
    hashes = [s.integrity_hash for s in secondaries if s.integrity_hash is not None]
    signatures = [s.signature for s in secondaries if s.signature is not None]
    assert len(hashes) == len(signatures) == len(secondaries)
    assert job.root is not None
    return MsgSealObject(
        operator=seal_address,
        bucket=job.bucket,
        object_name=job.object_name,
        secondary_sps=tuple(s.provider for s in secondaries),
        secondary_signatures=tuple(signatures),
        expect_checksums=(job.root, *hashes) if job.delegated else (),
    )
