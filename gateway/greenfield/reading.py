"""Reading by link: the universal endpoint, whose links hold a wallet's signature over a text (GREENFIELD.md 7.4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from gateway.auth.personal import personal_signer
from gateway.auth.scheme import Identity
from gateway.errors import InvalidArgument, InvalidUri
from gateway.greenfield.errors import ForbiddenLink, LinkExpiryRefused
from gateway.greenfield.params import expiry_fault
from gateway.request import RequestHead, Target, check_bucket_name, object_name_of
from gateway.service import Gateway
from sp.domain.errors import AccessDenied
from sp.domain.jobs import ObjectEntry

EXPIRY: Final = "X-Gnfd-Expiry-Timestamp"
_SCHEME: Final = "universal endpoint"


def linked_object(head: RequestHead, target: Target) -> tuple[str, str]:
    """Bucket and object of /view/{bucket}/{object} or /view?objectPath={bucket}/{object} (for names that a browser
    would not ask for). InvalidUri, InvalidBucketName, InvalidObjectName, NameTooLong."""
    path = target.object_name or head.parameters().get("objectPath", "")
    bucket, slash, name = path.partition("/")
    if not slash:
        raise InvalidUri("it must name a bucket and an object")
    check_bucket_name(bucket)
    return bucket, object_name_of(name.encode())


def signed_text(bucket: str, object_name: str, expiry: str) -> str:
    """What a wallet shows its owner and signs."""
    return (
        f"Sign this message to access the file:\ngnfd://{bucket}/{object_name}\n"
        f"This signature will not cost you any fees.\nExpiration Time: {expiry}"
    )


def disposition(object_name: str, *, download: bool) -> str:
    if not download:
        return "inline"
    name = object_name.rstrip("/").rpartition("/")[2]
    return f'attachment; filename="{quote(name, safe="")}"'


def link_disposition(head: RequestHead, object_name: str) -> str | None:
    """Of a presigned link: view=1 shows the object, view=0 saves it; otherwise as it was put."""
    view = head.parameters().get("view", "")
    if view not in ("", "0", "1"):
        raise InvalidArgument("view", "it must be 0 or 1")
    return disposition(object_name, download=view == "0") if view else None


@dataclass(frozen=True, slots=True)
class UniversalEndpoint:
    gateway: Gateway

    async def open(
        self, identity: Identity, head: RequestHead, bucket: str, object_name: str, now_s: float
    ) -> ObjectEntry:
        """The object, for whoever may read it: everybody, the request's sender, or the link's signer. NotForThisSp,
        NoSuchObject, ForbiddenLink, LinkExpiryRefused, SignatureMismatch."""
        try:
            return await self.gateway.head_object(identity, bucket, object_name)
        except AccessDenied:
            signer = self._signer(head, bucket, object_name, now_s)
        try:
            return await self.gateway.head_object(signer, bucket, object_name)
        except AccessDenied as denied:
            raise ForbiddenLink(f"{bucket}/{object_name}") from denied

    def _signer(self, head: RequestHead, bucket: str, object_name: str, now_s: float) -> Identity:
        given = head.parameters()
        signature, expiry = given.get("signature", ""), given.get(EXPIRY, "")
        if not signature:
            raise ForbiddenLink(f"{bucket}/{object_name}")
        if fault := expiry_fault(expiry, now_s):
            raise LinkExpiryRefused(fault)
        return Identity(personal_signer(signed_text(bucket, object_name, expiry), signature), _SCHEME)
