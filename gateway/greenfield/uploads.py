"""Puts that S3 does not have: in several requests, or created on chain by us for an account that keeps its own key."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, replace

from downloader.client import Downloader
from gateway.access import Access
from gateway.auth.scheme import Identity
from gateway.body import BodyPlan, CheckedBody
from gateway.errors import InvalidArgument, InvalidObjectName
from gateway.greenfield.errors import NoUploadingRecord
from gateway.greenfield.params import DelegateQuery, PartQuery
from gateway.puts import Put
from gateway.service import Gateway, PutResult
from sp.domain.errors import AccessDenied, NoSuchObject, ObjectNotCreated, ObjectTooLarge, PayloadSizeMismatch
from sp.domain.ledger import Action, ObjectStatus
from sp.runtime.pool import CpuPool
from uploader.client import Part, PartReceipt, Uploader


@dataclass(frozen=True, slots=True)
class GreenfieldUploads:
    gateway: Gateway
    access: Access
    uploader: Uploader
    downloader: Downloader
    pool: CpuPool

    async def resume_offset(self, identity: Identity, bucket: str, object_name: str) -> int:
        """Where the account's next part begins. NoUploadingRecord, AccessDenied."""
        await self.access.served_bucket(bucket)
        await self.access.require(identity, bucket, Action.CREATE_OBJECT)
        if identity.account is None:
            raise AccessDenied(identity.scheme, Action.CREATE_OBJECT.name, bucket)
        offset = await self.uploader.resume_offset(bucket, object_name, identity.account)
        if offset is None:
            raise NoUploadingRecord(bucket, object_name)
        return offset

    async def put_part(
        self, identity: Identity, put: Put, plan: BodyPlan, query: PartQuery, body: AsyncIterator[bytes]
    ) -> PartReceipt:
        """Store one part of an object; of the last one, the whole object's root must be the chain's. As
        Gateway.put_object. put: of the whole object; plan: of this part's body"""
        order = await self.gateway.order_for(identity, put)
        checked = CheckedBody(body, plan, order.params.max_payload_size, self.pool)
        async with aclosing(checked.chunks()) as payload:
            return await self.uploader.put_part_at(order, Part(query.offset, query.complete, plan.size), payload)

    async def put_delegated(
        self, identity: Identity, put: Put, query: DelegateQuery, body: AsyncIterator[bytes]
    ) -> PutResult:
        """Store an object that we create on chain for the account, after its payload has come (REAL-NETWORK 8)."""
        if put.size is not None and put.size != query.payload_size:
            raise PayloadSizeMismatch(query.payload_size, put.size)
        wanted = await self.delegated(identity, put, query)
        return await self.gateway.put_object(identity, wanted, body)

    async def delegated(self, identity: Identity, put: Put, query: DelegateQuery) -> Put:
        """The put that a delegate request means, if it may be. ObjectTooLarge also for nothing at all."""
        name = put.object_name
        if ".." in name or name == "/" or "\\" in name:
            raise InvalidObjectName("it holds .. or a backslash, or is a slash alone")
        if query.payload_size == 0 and not name.endswith("/"):
            raise ObjectTooLarge(0, (await self.access.view.params_now()).max_payload_size)
        await self.access.served_bucket(put.bucket)  # before its objects are spoken of
        await self.access.require(identity, put.bucket, Action.CREATE_OBJECT)
        await (self._check_update if query.is_update else self._check_new)(identity, put, query)
        whole = replace(put.body, size=query.payload_size)
        return replace(put, body=whole, visibility=query.visibility, delegated=True)

    async def _check_new(self, identity: Identity, put: Put, query: DelegateQuery) -> None:
        """A name that means something is taken, unless what it means waits for this very payload."""
        try:
            found = await self.access.view.chain.head_object(put.bucket, put.object_name)
        except NoSuchObject:
            return
        same = found.payload_size == query.payload_size and identity.account in (found.creator, found.owner)
        if found.status is not ObjectStatus.CREATED:
            raise ObjectNotCreated(put.bucket, put.object_name, found.status.name)
        if not same or found.checksums:
            raise InvalidArgument("delegate", "the object exists on chain, of another size or account, or with a root")

    async def _check_update(self, identity: Identity, put: Put, query: DelegateQuery) -> None:
        """NoSuchObject, AccessDenied."""
        bucket = await self.access.served_bucket(put.bucket)
        entry = await self.downloader.head(put.bucket, put.object_name)
        await self.access.require_object(identity, bucket, put.object_name, Action.UPDATE_OBJECT_CONTENT, entry)
