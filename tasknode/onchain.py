"""The object of a put on chain: found, or created by delegation, and what has become of it since.

An S3 client never creates an object on chain; the SP's operator does it on the account's behalf, after the upload, so
that a put never waits for a block and a failed one locks no fee (docs/decisions/0004). Every step may be repeated: what
an attempt before a crash left on chain is recognised and taken over.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from chain.client import Chain
from signer.client import Signer
from sp.domain.errors import NoSuchBucket, NoSuchObject, NoSuchObjectId, ObjectExists, TxRefused
from sp.domain.ids import ObjectId, TxHash
from sp.domain.jobs import Job
from sp.domain.ledger import ChainObject, ContentUpdate, ObjectStatus, TxResult, Visibility
from sp.domain.messages import (
    MsgDelegateCreateObject,
    MsgDelegateUpdateObjectContent,
    MsgRejectSealObject,
    MsgUpdateObjectInfo,
    TxMessage,
)
from sp.domain.params import StorageParams
from tasknode.places import waiting_aside


class Fate(Enum):
    """What the chain says of the content that a job holds."""

    PENDING = auto()  # waits for its seal
    SEALED = auto()
    GONE = auto()  # rejected, deleted or replaced


@dataclass(frozen=True, slots=True)
class Identity:
    """Which object and version on chain a job's content is. sealed: by its creation already (an empty object)."""

    object_id: ObjectId
    version: int
    sealed: bool


@dataclass(frozen=True, slots=True)
class OnChain:
    chain: Chain
    signer: Signer
    timeout_blocks: int

    async def fate(self, job: Job) -> Fate:
        """What has become of a job's object. Only once it has its id."""
        assert job.object_id is not None
        try:
            found = await self.chain.head_object_by_id(job.object_id)
        except NoSuchObjectId:
            return Fate.GONE
        return fate_of(found, job.version)

    async def expected(self, job: Job) -> ChainObject:
        """The chain's record of a job's object, sealed or not. NoSuchObjectId."""
        assert job.object_id is not None
        return await self.chain.head_object_by_id(job.object_id)

    async def ensure_created(self, job: Job) -> Identity:
        """The identity of a delegated put's content: as an earlier attempt made it, or made now."""
        for _ in range(3):  # what stands in the way is removed once or twice, then the name is ours
            try:
                found = await self.chain.head_object(job.bucket, job.object_name)
            except NoSuchObject:
                return await self._create(job)
            if mine := recognised(found, job):
                return mine
            if found.status is ObjectStatus.SEALED and found.update is None:
                return await self._update(job, found)
            await self._clear(job, found)
        raise ObjectExists(job.bucket, job.object_name)

    async def params_of(self, identity: Identity) -> StorageParams:
        """The storage parameters that the chain holds this content to."""
        found = await self.chain.head_object_by_id(identity.object_id)
        time_s = found.update.updated_at if found.update else found.params_time
        return await self.chain.params_at(time_s)

    async def reject(self, job: Job) -> None:
        """Tell the chain that this put is given up, so that its fee unlocks; nothing where it waits for no such put."""
        if await self._waits_for(job):
            await self._execute(await self._reject_message(job))

    async def _waits_for(self, job: Job) -> bool:
        """Whether a seal of this put is expected. Of a delegated one by name: an attempt that failed may have created
        it, and the row not know it."""
        if not job.delegated:
            return await self.fate(job) is Fate.PENDING
        try:
            found = await self.chain.head_object(job.bucket, job.object_name)
        except (NoSuchBucket, NoSuchObject):
            return False
        return recognised(found, job) is not None

    async def _create(self, job: Job) -> Identity:
        assert job.payload_size is not None
        keys = await self.signer.keys()
        result = await self._execute(
            MsgDelegateCreateObject(
                operator=keys.operator,
                creator=job.account,
                bucket=job.bucket,
                object_name=job.object_name,
                payload_size=job.payload_size,
                content_type=job.headers.get("content-type", "application/octet-stream"),
                visibility=job.visibility or Visibility.PRIVATE,
            )
        )
        assert result.object_id is not None
        return Identity(result.object_id, 0, sealed=job.payload_size == 0)

    async def _update(self, job: Job, found: ChainObject) -> Identity:
        """New content. What the put says of its visibility comes first: a private one is never public, not for a
        block; an update of the content cannot say it. UNSPECIFIED: as it was."""
        assert job.payload_size is not None
        if job.visibility not in (Visibility.UNSPECIFIED, found.visibility):
            await self._execute(MsgUpdateObjectInfo(job.account, job.bucket, job.object_name, job.visibility))
        keys = await self.signer.keys()
        await self._execute(
            MsgDelegateUpdateObjectContent(
                operator=keys.operator,
                updater=job.account,
                bucket=job.bucket,
                object_name=job.object_name,
                payload_size=job.payload_size,
                content_type=job.headers.get("content-type", "application/octet-stream"),
            )
        )
        return Identity(found.id, found.version + 1, sealed=job.payload_size == 0)

    async def _clear(self, job: Job, found: ChainObject) -> None:
        """Remove an unsealed creation or update that stands in the way: the rest of a put that was given up.

        Jobs of one name run one at a time, so no live put of this SP owns it. What its user created on chain itself
        (it has checksums) is not ours to remove."""
        in_the_way: ChainObject | ContentUpdate = found.update or found
        if in_the_way.checksums:
            raise ObjectExists(job.bucket, job.object_name)
        await self._execute(await self._reject_message(job))

    async def _reject_message(self, job: Job) -> MsgRejectSealObject:
        return MsgRejectSealObject((await self.signer.keys()).seal, job.bucket, job.object_name)

    async def _execute(self, message: TxMessage) -> TxResult:
        """Broadcast, wait for the block, and insist on success."""
        tx_hash = await self.signer.submit(message)
        return await self.included(tx_hash)

    async def included(self, tx_hash: TxHash) -> TxResult:
        """The result of a transaction that was broadcast: TxRefused when it failed, TxNotSeen when it did not come."""
        height = (await self.chain.latest_block()).height
        async with waiting_aside():
            result = await self.chain.wait_tx(tx_hash, height + self.timeout_blocks)
        if result.code != 0:
            raise TxRefused(result.codespace, result.code, result.log)
        return result


def fate_of(found: ChainObject, version: int) -> Fate:
    """What the chain's record says of one version of the content."""
    if found.version == version and found.status is ObjectStatus.SEALED:
        return Fate.SEALED
    if found.version == version and found.status is ObjectStatus.CREATED:
        return Fate.PENDING
    if found.update is not None and found.update.version == version:
        return Fate.PENDING
    return Fate.GONE


def recognised(found: ChainObject, job: Job) -> Identity | None:
    """The unsealed creation or update that an earlier attempt of this very put made: by delegation (no checksums yet),
    of the same account and size. No other live put can own it, since jobs of one name run one at a time."""
    if found.update is not None:
        update = found.update
        same = not update.checksums and update.payload_size == job.payload_size and update.updated_by == job.account
        return Identity(found.id, update.version, sealed=False) if same else None
    if found.status is ObjectStatus.CREATED:
        same = not found.checksums and found.payload_size == job.payload_size and found.creator == job.account
        return Identity(found.id, found.version, sealed=False) if same else None
    return None
