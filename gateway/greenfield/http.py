"""Greenfield's operations over HTTP: parse, ask, answer."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Final

from aiohttp import web

from gateway.auth.gnfd2 import ACCOUNT_HEADER
from gateway.auth.scheme import Identity
from gateway.body import BodyPlan, body_plan
from gateway.errors import UnsupportedScheme
from gateway.greenfield import xml
from gateway.greenfield.approvals import Approver
from gateway.greenfield.challenge import Challenges, challenge_question
from gateway.greenfield.keys import GreenfieldKeys
from gateway.greenfield.metadata import GreenfieldMetadata, permission_question
from gateway.greenfield.params import delegate_query, listing_query, part_query
from gateway.greenfield.reading import UniversalEndpoint, disposition, link_disposition, linked_object
from gateway.greenfield.routes import GreenfieldOperation as Op
from gateway.greenfield.uploads import GreenfieldUploads
from gateway.http_call import BYTES_IN, Call, Serve
from gateway.http_objects import ObjectOperations
from gateway.puts import put_of, put_without_body
from gateway.request import RequestHead
from gateway.service import Gateway
from sp.domain.addresses import parse_address
from sp.domain.errors import InvalidRequest, NotForThisSp
from sp.runtime.clock import Clock
from sp.runtime.pool import CpuPool

MAX_KEYS_BODY_BYTES: Final = 65_536


@dataclass(frozen=True, slots=True)
class GreenfieldHttp:
    gateway: Gateway
    objects: ObjectOperations
    uploads: GreenfieldUploads
    metadata: GreenfieldMetadata
    endpoint: UniversalEndpoint
    keys: GreenfieldKeys
    approver: Approver
    challenges: Challenges
    pool: CpuPool
    clock: Clock

    def table(self) -> dict[Op, Serve]:
        table: dict[Op, Serve] = {
            Op.UPLOAD_CONTEXT: self.upload_context,
            Op.PUT_PART: self.put_part,
            Op.DELEGATED_PUT: self.put_delegated,
            Op.CREATE_FOLDER: self.create_folder,
            Op.LINK: self.link,
            Op.OBJECT_META: self.object_meta,
            Op.BUCKET_META: self.bucket_meta,
            Op.USER_BUCKETS: self.user_buckets,
            Op.LIST_OBJECTS: self.list_objects,
            Op.VIEW: self.view,
            Op.DOWNLOAD: self.download,
            Op.PERMISSION: self.permission,
            Op.GET_APPROVAL: self.get_approval,
            Op.CHALLENGE: self.challenge,
            Op.REQUEST_NONCE: self.request_nonce,
            Op.UPDATE_KEY: self.update_key,
            Op.UPDATE_KEY_V2: self.update_key_v2,
            Op.KEYS_V2: self.keys_v2,
            Op.DELETE_KEYS_V2: self.delete_keys_v2,
        }
        assert table.keys() == set(Op)
        return table

    # --- puts -----------------------------------------------------------------------------------------------------

    async def upload_context(self, call: Call) -> web.StreamResponse:
        _, identity, bucket, name = _object_parts(call)
        return call.xml(xml.resume_offset(await self.uploads.resume_offset(identity, bucket, name)))

    async def put_part(self, call: Call) -> web.StreamResponse:
        head, identity, bucket, name = _object_parts(call)
        query = part_query(head)
        put = put_without_body(head, bucket, name, call.request_id)
        if "delegate" in head.parameters():
            put = await self.uploads.delegated(identity, put, delegate_query(head))
        else:
            put = replace(put, body=BodyPlan(None))
        plan = body_plan(head, identity.body_check, unsaid=0)
        async with aclosing(call.body.chunks()) as body:
            await self.uploads.put_part(identity, put, plan, query, body)
        BYTES_IN.inc(call.body.received)
        return call.respond(200)

    async def put_delegated(self, call: Call) -> web.StreamResponse:
        head, identity, bucket, name = _object_parts(call)
        query = delegate_query(head)
        put = put_of(head, bucket, name, identity, call.request_id)
        async with aclosing(call.body.chunks()) as body:
            result = await self.uploads.put_delegated(identity, put, query, body)
        BYTES_IN.inc(result.payload_size)
        return call.respond(200)

    async def create_folder(self, call: Call) -> web.StreamResponse:
        """An empty object whose name ends with a slash."""
        head, identity, bucket, name = _object_parts(call)
        if not name.endswith("/"):
            raise InvalidRequest("a folder's name ends with a slash")
        query = delegate_query(head, folder=True)
        put = replace(
            put_without_body(head, bucket, name, call.request_id), body=body_plan(head, identity.body_check, unsaid=0)
        )
        async with aclosing(call.body.chunks()) as body:
            await self.uploads.put_delegated(identity, put, query, body)
        return call.respond(200)

    # --- reading --------------------------------------------------------------------------------------------------

    async def link(self, call: Call) -> web.StreamResponse:
        """GET of an object by a presigned link."""
        head, identity, bucket, name = _object_parts(call)
        shown = link_disposition(head, name)
        entry = await self.gateway.head_object(identity, bucket, name)
        return await self.objects.serve(call, entry, {} if shown is None else {"content-disposition": shown})

    async def view(self, call: Call) -> web.StreamResponse:
        return await self._universal(call, download=False)

    async def download(self, call: Call) -> web.StreamResponse:
        return await self._universal(call, download=True)

    async def _universal(self, call: Call, *, download: bool) -> web.StreamResponse:
        head, identity = _parts(call)
        bucket, name = linked_object(head, call.target)
        try:
            entry = await self.endpoint.open(identity, head, bucket, name, self._now_s())
        except NotForThisSp as elsewhere:
            if not elsewhere.primary_endpoint:
                raise
            query = f"?{head.raw_query}" if head.raw_query else ""
            return call.respond(302, {"Location": f"{elsewhere.primary_endpoint.rstrip('/')}{head.raw_path}{query}"})
        return await self.objects.serve(call, entry, {"content-disposition": disposition(name, download=download)})

    # --- what is known --------------------------------------------------------------------------------------------

    async def object_meta(self, call: Call) -> web.StreamResponse:
        _, identity, bucket, name = _object_parts(call)
        return call.xml(xml.object_meta(await self.metadata.object(identity, bucket, name)))

    async def bucket_meta(self, call: Call) -> web.StreamResponse:
        assert call.target.bucket is not None
        return call.xml(xml.bucket_meta(await self.metadata.bucket(call.target.bucket)))

    async def user_buckets(self, call: Call) -> web.StreamResponse:
        """Of the account in X-Gnfd-User-Address, else of the one that signs."""
        head, identity = _parts(call)
        asked = head.header(ACCOUNT_HEADER)
        owner = parse_address(asked) if asked else identity.account
        if owner is None:
            raise InvalidRequest(f"{ACCOUNT_HEADER} is missing")
        return call.xml(xml.user_buckets(await self.metadata.buckets_of(owner)))

    async def list_objects(self, call: Call) -> web.StreamResponse:
        head, identity = _parts(call)
        assert call.target.bucket is not None
        query = listing_query(head)
        bucket, page = await self.gateway.list_objects(
            identity, call.target.bucket, query.prefix, query.delimiter, query.after, query.max_keys
        )
        return call.xml(xml.object_listing(bucket, query, page))

    async def permission(self, call: Call) -> web.StreamResponse:
        head, _ = _parts(call)
        return call.xml(xml.permission(await self.metadata.effect(permission_question(head, call.target))))

    # --- the provider's word --------------------------------------------------------------------------------------

    async def get_approval(self, call: Call) -> web.StreamResponse:
        """Any account may ask: python-sdk's signature of this request recovers to a random one."""
        head, identity = _parts(call)
        if identity.account is None:
            raise UnsupportedScheme("none; an approval is asked for by an account")
        message, action = head.header("x-gnfd-unsigned-msg"), head.parameters().get("action", "")
        if action == "CreateBucket":
            approved = await self.approver.bucket(message)
        elif action == "CreateObject":
            approved = await self.approver.object(message)
        else:
            raise InvalidRequest(f"no approvals of {action[:64]!r}; action is CreateBucket or CreateObject")
        return call.respond(200, {"X-Gnfd-Signed-Msg": approved})

    async def challenge(self, call: Call) -> web.StreamResponse:
        head, identity = _parts(call)
        question = challenge_question(head)
        proof = await self.challenges.answer(identity, question)
        headers = {
            "X-Gnfd-Object-ID": str(question.object_id),
            "X-Gnfd-Integrity-Hash": proof.root.hex(),
            "X-Gnfd-Piece-Hash": ",".join(checksum.hex() for checksum in proof.checksums),
            "Content-Type": "application/octet-stream",
        }
        return call.respond(200, headers, proof.piece)

    # --- keys of applications -------------------------------------------------------------------------------------

    async def request_nonce(self, call: Call) -> web.StreamResponse:
        return call.xml(xml.nonce())

    async def update_key(self, call: Call) -> web.StreamResponse:
        """Keys of GNFD1-EDDSA, on another curve, are not taken."""
        raise UnsupportedScheme("GNFD1-EDDSA; register an Ed25519 key with /auth/update_key_v2")

    async def update_key_v2(self, call: Call) -> web.StreamResponse:
        head, identity = _parts(call)
        await self.keys.register(identity, head, self._now_s())
        return call.xml(xml.results("UpdateUserPublicKeyResp", "true"))

    async def keys_v2(self, call: Call) -> web.StreamResponse:
        head, _ = _parts(call)
        return call.xml(xml.results("ListUserPublicKeyV2Resp", *(await self.keys.list(head))))

    async def delete_keys_v2(self, call: Call) -> web.StreamResponse:
        head, identity = _parts(call)
        body = await call.body.small(head, identity.body_check, MAX_KEYS_BODY_BYTES, self.pool)
        await self.keys.remove(identity, head, body)
        return call.xml(xml.results("DeleteUserPublicKeyV2Resp", "true"))

    def _now_s(self) -> float:
        return self.clock.now_ms() / 1000


def _parts(call: Call) -> tuple[RequestHead, Identity]:
    assert call.head is not None
    assert call.identity is not None
    return call.head, call.identity


def _object_parts(call: Call) -> tuple[RequestHead, Identity, str, str]:
    head, identity = _parts(call)
    assert call.target.bucket is not None
    assert call.target.object_name is not None
    return head, identity, call.target.bucket, call.target.object_name
