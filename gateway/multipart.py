"""Objects put by parts: who may, and what of each request is checked before the Uploader has it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from gateway.auth.scheme import Identity
from gateway.body import BodyPlan, CheckedBody
from gateway.checksums import CHECKSUM_HEADERS, CHECKSUM_PREFIX, CONTENT_MD5
from gateway.puts import Put
from gateway.service import Gateway
from gateway.streams import closed_after
from sp.domain.errors import AccessDenied, DeadlineExceeded, InvalidPart, InvalidRequest, NoSuchUpload, ObjectTooLarge
from sp.domain.ids import Address, UploadId
from sp.domain.jobs import ObjectEntry, Precondition
from sp.domain.ledger import Action, Bucket
from sp.domain.multipart import (
    MAX_PART_BYTES,
    Completion,
    Part,
    Upload,
    UploadOrder,
    UploadsPage,
    UploadsQuery,
    UploadState,
    listed_etag,
    upload_id_text,
)
from uploader.multipart.client import COMPLETE_TIMEOUT_S, Multipart, PartDigests

_OPEN: Final = frozenset({UploadState.OPEN, UploadState.COMPLETING})


@dataclass(frozen=True, slots=True)
class UploadKey:
    """The upload that a request names, by its object and its id."""

    bucket: str
    object_name: str
    id: UploadId


@dataclass(frozen=True, slots=True)
class MultipartUploads:
    """Every use case needs the permission of a put. An upload is its initiator's, and the bucket owner's."""

    gateway: Gateway
    multipart: Multipart

    async def create(self, identity: Identity, order: UploadOrder) -> Upload:
        """order.account: the sender's. What access raises."""
        bucket = await self.gateway.access.writable_bucket(order.bucket)
        await self._permitted(identity, bucket)
        return await self.multipart.create(order)

    async def put_part(
        self, identity: Identity, key: UploadKey, number: int, plan: BodyPlan, body: AsyncIterator[bytes]
    ) -> Part:
        """Store one part; `body` is not asked for its first byte before everything that can be refused is checked.
        NoSuchUpload, InvalidRequest, ObjectTooLarge, and what the body's promises and the Uploader raise."""
        await self.gateway.access.writable_bucket(key.bucket)
        upload = await self.open_upload(identity, key)
        params = await self.gateway.access.view.params_now()
        max_size = min(MAX_PART_BYTES, params.max_payload_size)
        if plan.size is not None and plan.size > max_size:
            raise ObjectTooLarge(plan.size, max_size)
        checked = CheckedBody(body, plan, max_size, self.gateway.pool, (CONTENT_MD5, *_wanted_checksum(upload, plan)))
        async with aclosing(checked.chunks()) as payload:
            return await self.multipart.put_part(
                upload.id, number, payload, lambda: PartDigests(checked.digest(CONTENT_MD5), checked.checksums())
            )

    async def copy_part(
        self, identity: Identity, key: UploadKey, number: int, source: ObjectEntry, start: int, stop: int
    ) -> Part:
        """Bytes [start, stop) of an object that this sender may read, as a part."""
        async with aclosing(self._content(source, start, stop)) as content:
            return await self.put_part(identity, key, number, BodyPlan(stop - start), content)

    async def _content(self, entry: ObjectEntry, start: int, stop: int) -> AsyncGenerator[bytes, None]:
        if start == stop:
            return
        chunks = self.gateway.read(entry, start, stop)
        async with closed_after(chunks):
            async for chunk in chunks:
                yield bytes(chunk)

    async def parts(self, identity: Identity, key: UploadKey, after: int, limit: int) -> tuple[Upload, list[Part]]:
        """NoSuchUpload."""
        upload = await self.open_upload(identity, key)
        return upload, await self.multipart.parts(upload.id, after, limit)

    async def uploads(self, identity: Identity, query: UploadsQuery) -> UploadsPage:
        await self.gateway.access.served_bucket(query.bucket)
        await self.gateway.access.require(identity, query.bucket, Action.LIST_OBJECT)
        return await self.multipart.page(query)

    async def abort(self, identity: Identity, key: UploadKey) -> None:
        """NoSuchUpload."""
        upload = await self.open_upload(identity, key)
        await self.multipart.abort(upload.id)

    async def complete(
        self,
        identity: Identity,
        key: UploadKey,
        asked: Completion,
        checksum_type: str,
        precondition: Precondition | None,
        request_id: str,
    ) -> Upload:
        """The object is stored when it returns. An upload that was completed before is answered the same again, and
        nothing is put. checksum_type: "" when the request does not say. See Multipart.complete and Uploader.put."""
        upload = await self._upload(identity, key)
        if upload.state is UploadState.COMPLETED:
            if listed_etag(asked) != upload.etag:
                raise InvalidPart(asked.parts[-1].number, "the upload was completed from other parts")
            return upload
        if upload.state is not UploadState.OPEN and upload.state is not UploadState.COMPLETING:
            raise NoSuchUpload(upload_id_text(key.id))
        if checksum_type not in ("", upload.order.checksum_type):
            raise InvalidRequest(f"the upload was begun with checksum type {upload.order.checksum_type or 'none'}")
        order = await self.gateway.order_for(identity, _put_of(upload, asked, precondition, request_id))
        try:
            async with asyncio.timeout(COMPLETE_TIMEOUT_S):
                return await self.multipart.complete(upload.id, order, asked)
        except TimeoutError as error:
            raise DeadlineExceeded("completion", round(COMPLETE_TIMEOUT_S * 1000)) from error

    async def open_upload(self, identity: Identity, key: UploadKey) -> Upload:
        """One that has not ended. NoSuchUpload, AccessDenied."""
        upload = await self._upload(identity, key)
        if upload.state not in _OPEN:
            raise NoSuchUpload(upload_id_text(key.id))
        return upload

    async def _upload(self, identity: Identity, key: UploadKey) -> Upload:
        bucket = await self.gateway.access.served_bucket(key.bucket)
        account = await self._permitted(identity, bucket)
        upload = await self.multipart.find(key.id)
        if (upload.order.bucket, upload.order.object_name) != (key.bucket, key.object_name):
            raise NoSuchUpload(upload_id_text(key.id))
        if account not in (upload.order.account, bucket.owner):
            raise AccessDenied(account, Action.CREATE_OBJECT.name, f"upload {upload_id_text(key.id)}")
        return upload

    async def _permitted(self, identity: Identity, bucket: Bucket) -> Address:
        if identity.account is None:
            raise AccessDenied(identity.scheme, Action.CREATE_OBJECT.name, bucket.name)
        await self.gateway.access.require(identity, bucket.name, Action.CREATE_OBJECT)
        return identity.account


def _put_of(upload: Upload, asked: Completion, precondition: Precondition | None, request_id: str) -> Put:
    order = upload.order
    return Put(
        order.bucket,
        order.object_name,
        BodyPlan(asked.payload_size),
        order.headers,
        order.visibility,
        request_id,
        precondition,
        order.tags,
    )


def _wanted_checksum(upload: Upload, plan: BodyPlan) -> tuple[str, ...]:
    """The header of the upload's checksum, to be computed if the part does not bring it. InvalidRequest for a part that
    brings another one."""
    if not upload.order.checksum_algorithm:
        return ()
    wanted = f"{CHECKSUM_PREFIX}{upload.order.checksum_algorithm}"
    trailers = plan.framing.trailers if plan.framing is not None else ()
    brought = [declared.header for declared in plan.digests if declared.header in CHECKSUM_HEADERS]
    for name in (*brought, *trailers):
        if name != wanted:
            expected, actual = wanted.removeprefix(CHECKSUM_PREFIX), name.removeprefix(CHECKSUM_PREFIX)
            raise InvalidRequest(
                f"Checksum Type mismatch occurred, expected checksum Type: {expected}, actual {actual}"
            )
    return (wanted,)
