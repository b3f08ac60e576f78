"""Access control lists, as far as the chain's visibility can express them: private, or readable by everyone.

On Greenfield the bucket's owner owns every object in it, so an ACL always says that the owner has FULL_CONTROL.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from chain.client import Chain
from gateway import xml_in
from gateway.auth.scheme import Identity
from gateway.buckets import Buckets
from gateway.canned import of_canned
from gateway.errors import InvalidArgument, MalformedAcl, MalformedXml, NotSupported, OnChainOnly, UnknownEmail
from gateway.request import RequestHead
from gateway.s3_xml import document, element
from gateway.service import Gateway
from sp.domain.errors import AccessDenied, NoSuchObject, ServiceUnavailable
from sp.domain.ids import Address
from sp.domain.jobs import ObjectEntry
from sp.domain.ledger import Action, Bucket, Visibility
from sp.domain.messages import MsgUpdateBucketInfo, MsgUpdateObjectInfo

MAX_XML_BYTES: Final = 65_536
ALL_USERS: Final = "http://acs.amazonaws.com/groups/global/AllUsers"
_XSI: Final = "http://www.w3.org/2001/XMLSchema-instance"
_PERMISSIONS: Final = frozenset({"FULL_CONTROL", "READ", "WRITE", "READ_ACP", "WRITE_ACP"})

BUCKET_ACLS: Final = {"private": Visibility.PRIVATE, "public-read": Visibility.PUBLIC_READ}
OBJECT_ACLS: Final = {
    **BUCKET_ACLS,
    "bucket-owner-full-control": Visibility.PRIVATE,
    "bucket-owner-read": Visibility.PRIVATE,
}
_ADDRESS: Final = re.compile(r"0x[0-9a-fA-F]{40}")


def acl_document(owner: Address, *, public: bool) -> bytes:
    """An AccessControlPolicy."""
    identity = element("ID", owner) + element("DisplayName", owner)
    grants = _grant("CanonicalUser", identity, "FULL_CONTROL")
    if public:
        grants += _grant("Group", element("URI", ALL_USERS), "READ")
    return document(
        "AccessControlPolicy", f"<Owner>{identity}</Owner>", f"<AccessControlList>{grants}</AccessControlList>"
    )


def _grant(kind: str, grantee: str, permission: str) -> str:
    who = f'<Grantee xmlns:xsi="{_XSI}" xsi:type="{kind}">{grantee}</Grantee>'
    return f"<Grant>{who}{element('Permission', permission)}</Grant>"


def requested(head: RequestHead, body: bytes, canned: dict[str, Visibility], owner: Address) -> Visibility:
    """What a PUT ?acl asks for: a canned ACL in x-amz-acl, or the same said in XML.

    NotSupported for what visibility cannot express; InvalidArgument, UnknownEmail for what nobody could; MalformedXml,
    MalformedAcl; AccessDenied for another owner.
    """
    for name in head.header_names():
        if name.startswith("x-amz-grant-"):
            raise NotSupported(f"the header {name}; an ACL is private or public-read")
    acl = head.header("x-amz-acl")
    return of_canned(acl, canned) if acl else _of_xml(body, owner)


def _of_xml(body: bytes, owner: Address) -> Visibility:
    root = xml_in.parsed(body, "AccessControlPolicy")
    for named in xml_in.children(root, "Owner"):
        _check_owner(xml_in.text(named, "ID"), owner)
    try:
        listed = xml_in.only(root, "AccessControlList")
        grants = {_grant_of(grant, owner) for grant in xml_in.children(listed, "Grant")}
    except MalformedXml as error:
        raise MalformedAcl(error.reason) from error
    if ("owner", "FULL_CONTROL") not in grants:
        raise NotSupported("an ACL in which the owner has no FULL_CONTROL")
    others = grants - {("owner", "FULL_CONTROL"), (ALL_USERS, "READ")}
    if others:
        who, permission = min(others)
        raise NotSupported(f"the grant of {permission} to {who[:64]}; an ACL is private or public-read")
    return Visibility.PUBLIC_READ if (ALL_USERS, "READ") in grants else Visibility.PRIVATE


def _grant_of(grant: xml_in.Element, owner: Address) -> tuple[str, str]:
    """Grantee and permission."""
    grantee = xml_in.only(grant, "Grantee")
    permission = xml_in.text(grant, "Permission").strip()
    if permission not in _PERMISSIONS:
        raise MalformedAcl(f"there is no permission {permission[:64]!r}")
    if email := xml_in.text(grantee, "EmailAddress", "").strip():
        raise UnknownEmail(email[:64])
    if who := xml_in.text(grantee, "URI", "").strip():
        return who, permission
    if not (who := xml_in.text(grantee, "ID", "").strip()):
        raise MalformedAcl("a grantee has an ID or a URI")
    if not _ADDRESS.fullmatch(who):
        raise InvalidArgument("CanonicalUser/ID", "Invalid id: it must be the address of an account")
    return ("owner" if who.lower() == owner.lower() else who), permission


def _check_owner(named: str, owner: Address) -> None:
    if named.strip() and named.strip().lower() != owner.lower():
        raise AccessDenied(named.strip()[:64], "own", "")


@dataclass(frozen=True, slots=True)
class Acls:
    gateway: Gateway
    buckets: Buckets

    async def of_bucket(self, identity: Identity, bucket: str) -> Bucket:
        """The bucket, whose owner and visibility are the ACL. AccessDenied."""
        _require_account(identity, bucket)
        return await self.buckets.head(identity, bucket)

    async def of_object(self, identity: Identity, bucket: str, object_name: str) -> tuple[Address, bool]:
        """The owner, and whether everyone may read."""
        _require_account(identity, bucket)
        entry = await self.gateway.head_object(identity, bucket, object_name)
        found = await self.gateway.access.view.head_bucket(bucket)
        visibility = entry.job.visibility
        if entry.job.object_id is not None or visibility is Visibility.UNSPECIFIED:
            with suppress(NoSuchObject):  # it will be there as its put said
                visibility = (await self._chain.head_object(bucket, object_name)).visibility
        if visibility in (Visibility.INHERIT, Visibility.UNSPECIFIED):
            visibility = found.visibility
        return found.owner, visibility is Visibility.PUBLIC_READ

    async def set_bucket(self, identity: Identity, bucket: str, visibility: Visibility) -> None:
        """On chain when it returns. AccessDenied, OnChainOnly."""
        account = await self._changer(identity, bucket, "MsgUpdateBucketInfo")
        await self.gateway.access.require(identity, bucket, Action.UPDATE_BUCKET_INFO)
        await self.buckets.execute(MsgUpdateBucketInfo(account, bucket, visibility))

    async def set_object(self, identity: Identity, bucket: str, object_name: str, visibility: Visibility) -> None:
        """On chain when it returns, or in the job that will bring the object there. NoSuchObject, AccessDenied,
        OnChainOnly; ServiceUnavailable when a task node is just at that and it takes too long."""
        account = await self._changer(identity, bucket, "MsgUpdateObjectInfo")
        served = await self.gateway.access.served_bucket(bucket)
        entry = await self.gateway.downloader.head(bucket, object_name)
        await self.gateway.access.require_object(identity, served, object_name, Action.UPDATE_OBJECT_INFO, entry)
        last_height = (await self._chain.latest_block()).height + self.buckets.wait_blocks
        while not await self._set_now(account, entry, visibility):
            height = (await self._chain.latest_block()).height
            if height >= last_height:
                raise ServiceUnavailable("chain", "the object is being brought there; its ACL cannot change before")
            await self._chain.next_block(height)
            entry = await self.gateway.downloader.head(bucket, object_name)

    async def _set_now(self, account: Address, entry: ObjectEntry, visibility: Visibility) -> bool:
        """False while a task node brings the object on chain: which visibility it takes along is not known."""
        if entry.job.object_id is None:
            return await self.gateway.tasknode.set_visibility(entry.job.id, visibility)
        bucket, object_name = entry.job.bucket, entry.job.object_name
        await self.buckets.execute(MsgUpdateObjectInfo(account, bucket, object_name, visibility))
        return True

    async def _changer(self, identity: Identity, bucket: str, message: str) -> Address:
        account = _require_account(identity, bucket)
        await self.gateway.access.served_bucket(bucket)
        if not identity.custodial:
            raise OnChainOnly(f"change the visibility with {message}, signed by the account")
        return account

    @property
    def _chain(self) -> Chain:
        return self.gateway.access.view.chain


def _require_account(identity: Identity, resource: str) -> Address:
    if identity.account is None:
        raise AccessDenied(identity.scheme, "ACL", resource)
    return identity.account
