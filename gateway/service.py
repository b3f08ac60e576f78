"""Let the right accounts put, get, list and delete: every use case of the gateway, whatever protocol asks for it.

Owns:  nothing that lasts.
Never: keeps bytes, sees a private key, answers for a bucket of another provider.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, replace

from downloader.client import Downloader
from gateway.access import Access
from gateway.auth.scheme import Identity
from gateway.body import CheckedBody
from gateway.checksums import CONTENT_MD5
from gateway.errors import EmptyPayload, OnChainOnly
from gateway.greenfield.errors import NotYetOnChain
from gateway.puts import Put
from sp.domain.errors import AccessDenied, NoSuchObject, ObjectNotCreated, ObjectTooLarge, PayloadSizeMismatch
from sp.domain.ids import Address
from sp.domain.jobs import ETAG_HEADER, Listing, ObjectEntry, Precondition, PutOrder, etag_of_root
from sp.domain.ledger import Action, Bucket, ChainObject, ObjectStatus, Visibility
from sp.domain.lifecycle import JobState
from sp.runtime.pool import CpuPool
from tasknode.client import TaskNode
from uploader.client import Uploader


def status_of(entry: ObjectEntry) -> str:
    """SEALED once the chain has sealed it, CREATED before."""
    return "SEALED" if entry.job.state is JobState.SEAL_OBJECT_DONE else "CREATED"


@dataclass(frozen=True, slots=True)
class PutResult:
    """etag: without quotes, as ObjectEntry.etag of the same content. headers: those kept with the object
    stored_at_ms: unix ms
    """

    etag: str
    job_id: int
    payload_size: int
    headers: dict[str, str]
    stored_at_ms: int = 0


@dataclass(frozen=True, slots=True)
class Progress:
    """Where the newest upload of a name is. error: why it is in an *_ERROR state"""

    state: JobState
    error: str


@dataclass(frozen=True, slots=True)
class Gateway:
    """Objects. Buckets are in gateway/buckets.py.

    etag_md5_max_bytes: the ETag of a put is the MD5 of its bytes up to this size (docs/decisions/0003)
    """

    access: Access
    uploader: Uploader
    downloader: Downloader
    tasknode: TaskNode
    pool: CpuPool
    etag_md5_max_bytes: int = 16 * 1024**2

    async def put_object(self, identity: Identity, put: Put, body: AsyncIterator[bytes]) -> PutResult:
        """Store one object. `body` is not asked for its first byte before everything that can be refused is checked.

        An account whose key we keep has its object created on chain after the upload (delegated); others have created
        it themselves. Raises what access, the body's promises and the uploader raise; nothing is stored then.
        """
        order = await self.order_for(identity, put)
        plan = put.body if put.body.size == order.payload_size else replace(put.body, size=order.payload_size)
        has_md5 = CONTENT_MD5 in plan.promised | {*put.computed}
        has_md5 = has_md5 or (plan.size is not None and plan.size <= self.etag_md5_max_bytes)
        also = (*put.computed, CONTENT_MD5) if has_md5 else put.computed
        checked = CheckedBody(body, plan, order.params.max_payload_size, self.pool, also)

        def known_at_end() -> dict[str, str]:
            etag = {ETAG_HEADER: checked.digest(CONTENT_MD5).hex()} if has_md5 else {}
            return {**(checked.checksums() if put.computed else checked.trailing()), **etag}

        async def bucket_is_there() -> None:  # by the body's end it may be gone: nothing is acknowledged into none
            await self.access.writable_bucket(put.bucket)

        async with aclosing(checked.chunks(bucket_is_there)) as payload:
            receipt = await self.uploader.put(order, payload, known_at_end)
        headers = {**put.headers, **known_at_end()}
        etag = headers.pop(ETAG_HEADER, "") or etag_of_root(receipt.root)
        return PutResult(etag, receipt.job_id, receipt.payload_size, headers, receipt.stored_at_ms)

    async def order_for(self, identity: Identity, put: Put) -> PutOrder:
        """What the account may have stored, once everything that the request's head can get wrong is checked. Raises
        what access raises, ObjectNotCreated, EmptyPayload, ObjectTooLarge, PayloadSizeMismatch, PreconditionFailed."""
        bucket = await self.access.writable_bucket(put.bucket)
        account = _account_of(identity, Action.CREATE_OBJECT, put.bucket)
        await self.access.require(identity, put.bucket, Action.CREATE_OBJECT)
        await self.check_precondition(identity, bucket, put.object_name, put.precondition)
        if identity.custodial or put.delegated:
            return await self._delegated_order(identity, account, bucket, put)
        return await self._created_order(identity, account, bucket, put)

    async def check_precondition(
        self, identity: Identity, bucket: Bucket, object_name: str, precondition: Precondition | None
    ) -> None:
        """Before a body is read for nothing; what counts is the check at the end, together with the acknowledgement.

        PreconditionFailed; NoSuchObject and AccessDenied when content is demanded that is not there, or not for this
        reader to know of.
        """
        if precondition is None:
            return
        try:
            entry = await self.downloader.head(bucket.name, object_name)
        except NoSuchObject:
            if not precondition.absent:
                raise
            return
        if not precondition.absent:
            await self.access.require_object(identity, bucket, object_name, Action.GET_OBJECT, entry)
        precondition.check(entry.etag)

    async def head_object(self, identity: Identity, bucket: str, object_name: str) -> ObjectEntry:
        """What the name means now, CREATED or SEALED. NoSuchObject, AccessDenied."""
        served = await self.access.served_bucket(bucket)
        entry = await self.downloader.head(bucket, object_name)
        await self.access.require_object(identity, served, object_name, Action.GET_OBJECT, entry)
        return entry

    def read(self, entry: ObjectEntry, start: int, stop: int) -> AsyncIterator[bytes | memoryview]:
        """Bytes [start, stop) of an entry that head_object has given to this reader."""
        return self.downloader.get(entry, start, stop)

    async def delete_object(
        self,
        identity: Identity,
        bucket: str,
        object_name: str,
        request_id: str,
        precondition: Precondition | None = None,
    ) -> None:
        """Gone for readers when it returns; deleted on chain and everywhere after that. Absent is success, but where
        the precondition names content: PreconditionFailed, NoSuchObject."""
        served = await self.access.served_bucket(bucket)
        account = _account_of(identity, Action.DELETE_OBJECT, bucket)
        try:
            entry = await self.downloader.head(bucket, object_name)
        except NoSuchObject:
            entry = None
        await self.access.require_object(identity, served, object_name, Action.DELETE_OBJECT, entry)
        if not identity.custodial:
            raise OnChainOnly("delete the object with MsgDeleteObject, signed by the account")
        if precondition is None:
            await self.tasknode.delete_object(bucket, object_name, account, request_id)
            return
        if entry is None:
            raise NoSuchObject(bucket, object_name)
        precondition.check(entry.etag)
        await self.tasknode.delete_object(bucket, object_name, account, request_id, only=entry.job.id)

    async def list_objects(
        self, identity: Identity, bucket: str, prefix: str, delimiter: str, marker: str, limit: int
    ) -> tuple[Bucket, Listing]:
        """Names after `marker`; limit: 1 to 1000 entries and common prefixes together."""
        served = await self.access.served_bucket(bucket)
        await self.access.require(identity, bucket, Action.LIST_OBJECT)
        return served, await self.downloader.list(bucket, prefix, delimiter, marker, limit)

    async def upload_progress(self, identity: Identity, bucket: str, object_name: str) -> Progress:
        """The newest upload of a name; INIT_UNSPECIFIED when it exists on chain only. NotYetOnChain."""
        served = await self.access.served_bucket(bucket)
        try:
            job = (await self.tasknode.get_job_of(bucket, object_name)).job
        except NoSuchObject:
            await self._on_chain(bucket, object_name)
            return Progress(JobState.INIT_UNSPECIFIED, "")
        entry = ObjectEntry(job, job.updated_at_ms)
        await self.access.require_object(identity, served, object_name, Action.GET_OBJECT, entry)
        return Progress(job.state, job.error)

    async def _on_chain(self, bucket: str, object_name: str) -> ChainObject:
        """NotYetOnChain: our view of the chain may lag behind that of who asks."""
        try:
            return await self.access.view.chain.head_object(bucket, object_name)
        except NoSuchObject:
            raise NotYetOnChain(bucket, object_name) from None

    async def _delegated_order(self, identity: Identity, account: Address, bucket: Bucket, put: Put) -> PutOrder:
        if bucket.delegation_disabled:
            raise AccessDenied(account, "CREATE_OBJECT by delegation", put.bucket)
        visibility = put.visibility
        if visibility is Visibility.UNSPECIFIED and not put.delegated:
            visibility = Visibility.PRIVATE  # as in S3, whoever may read the bucket
        if account != bucket.owner:
            visibility = await self._others_overwrite(account, bucket, put, visibility)
        params = await self.access.view.params_now()
        if put.size is not None and put.size > params.max_payload_size:
            raise ObjectTooLarge(put.size, params.max_payload_size)
        return PutOrder(
            put.bucket,
            put.object_name,
            account,
            put.size,
            params,
            visibility=visibility,
            headers=put.headers,
            request_id=put.request_id,
            precondition=put.precondition,
            tags=put.tags,
        )

    async def _others_overwrite(self, account: Address, bucket: Bucket, put: Put, wanted: Visibility) -> Visibility:
        """Who replaces an object needs more than the right to create one, also where he has created it: on chain it is
        the bucket owner's. What an account that is not that owner may make of the visibility; AccessDenied when it asks
        for more."""
        try:
            entry = await self.downloader.head(put.bucket, put.object_name)
        except NoSuchObject:
            return wanted
        current, inside = await self._visibility_of(entry)
        if not await self.access.view.allowed(account, bucket.name, inside, Action.UPDATE_OBJECT_CONTENT):
            raise AccessDenied(account, Action.UPDATE_OBJECT_CONTENT.name, f"{put.bucket}/{put.object_name}")
        if wanted in (Visibility.UNSPECIFIED, current):
            return wanted
        if await self.access.view.allowed(account, put.bucket, inside, Action.UPDATE_OBJECT_INFO):
            return wanted
        if put.visibility is Visibility.UNSPECIFIED:  # it asks for nothing: the ACL stays what it is
            return Visibility.UNSPECIFIED if inside else current
        raise AccessDenied(account, Action.UPDATE_OBJECT_INFO.name, f"{put.bucket}/{put.object_name}")

    async def _visibility_of(self, entry: ObjectEntry) -> tuple[Visibility, str | None]:
        """On chain, with the object's name; before it is there, what its put said, and None."""
        job = entry.job
        try:
            return (await self.access.view.chain.head_object(job.bucket, job.object_name)).visibility, job.object_name
        except NoSuchObject:
            return job.visibility, None

    async def _created_order(self, identity: Identity, account: Address, bucket: Bucket, put: Put) -> PutOrder:
        """For an object that its account has created on chain, or whose content it has said to update."""
        on_chain = await self.access.view.chain.head_object(put.bucket, put.object_name)
        order = await self._order_of(on_chain, account, put)
        if on_chain.update is not None:
            await self.access.require_object(identity, bucket, put.object_name, Action.UPDATE_OBJECT_CONTENT, None)
        assert order.payload_size is not None
        if order.payload_size == 0:
            raise EmptyPayload(put.bucket, put.object_name)
        if order.payload_size > order.params.max_payload_size:
            raise ObjectTooLarge(order.payload_size, order.params.max_payload_size)
        if put.size is not None and put.size != order.payload_size:
            raise PayloadSizeMismatch(order.payload_size, put.size)
        return order

    async def _order_of(self, on_chain: ChainObject, account: Address, put: Put) -> PutOrder:
        expected = on_chain if on_chain.update is None else on_chain.update
        if on_chain.update is None and on_chain.status is not ObjectStatus.CREATED:
            raise ObjectNotCreated(put.bucket, put.object_name, on_chain.status.name)
        params_time = on_chain.params_time if on_chain.update is None else on_chain.update.updated_at
        headers = {"content-type": expected.content_type, **put.headers} if expected.content_type else put.headers
        return PutOrder(
            put.bucket,
            put.object_name,
            account,
            expected.payload_size,
            await self.access.view.chain.params_at(params_time),
            visibility=on_chain.visibility,
            headers=headers,
            object_id=on_chain.id,
            version=expected.version,
            expected_root=expected.checksums[0] if expected.checksums else None,
            request_id=put.request_id,
            precondition=put.precondition,
            tags=put.tags,
        )


def _account_of(identity: Identity, action: Action, resource: str) -> Address:
    if identity.account is None:
        raise AccessDenied(identity.scheme, action.name, resource)
    return identity.account
