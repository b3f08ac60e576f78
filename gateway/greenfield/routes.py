"""Greenfield's operations beside S3's, and which of them a request asks for: pure (GREENFIELD.md 7.1)."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from gateway.greenfield.style import FIXED_PATHS, speaks_greenfield, speaks_s3
from gateway.request import RequestHead, Target


class GreenfieldOperation(StrEnum):
    UPLOAD_CONTEXT = "GreenfieldQueryResumeOffset"
    PUT_PART = "GreenfieldResumablePut"
    DELEGATED_PUT = "GreenfieldDelegatedPut"
    CREATE_FOLDER = "GreenfieldCreateFolder"
    LINK = "GreenfieldGetByLink"
    OBJECT_META = "GreenfieldGetObjectMeta"
    BUCKET_META = "GreenfieldGetBucketMeta"
    USER_BUCKETS = "GreenfieldGetUserBuckets"
    LIST_OBJECTS = "GreenfieldListObjects"
    VIEW = "GreenfieldView"
    DOWNLOAD = "GreenfieldDownload"
    PERMISSION = "GreenfieldVerifyPermission"
    GET_APPROVAL = "GreenfieldGetApproval"
    CHALLENGE = "GreenfieldChallenge"
    REQUEST_NONCE = "GreenfieldRequestNonce"
    UPDATE_KEY = "GreenfieldUpdateKey"
    UPDATE_KEY_V2 = "GreenfieldUpdateKeyV2"
    KEYS_V2 = "GreenfieldListKeysV2"
    DELETE_KEYS_V2 = "GreenfieldDeleteKeysV2"


Op = GreenfieldOperation

_FIXED: Final = {
    ("GET", "/auth/request_nonce"): Op.REQUEST_NONCE,
    ("POST", "/auth/update_key"): Op.UPDATE_KEY,
    ("POST", "/auth/update_key_v2"): Op.UPDATE_KEY_V2,
    ("GET", "/auth/keys_v2"): Op.KEYS_V2,
    ("POST", "/auth/delete_keys_v2"): Op.DELETE_KEYS_V2,
    ("GET", "/greenfield/admin/v1/get-approval"): Op.GET_APPROVAL,
    ("GET", "/greenfield/admin/v1/challenge"): Op.CHALLENGE,
}
_UNIVERSAL: Final = {"view": Op.VIEW, "download": Op.DOWNLOAD}
_OBJECT_QUERIES: Final = {
    "upload-context": Op.UPLOAD_CONTEXT,
    "object-meta": Op.OBJECT_META,
}
_LISTING: Final = frozenset({"max-keys", "prefix", "delimiter", "start-after", "continuation-token", "include-removed"})
_GREENFIELD_LISTING: Final = frozenset({"continuation-token", "include-removed"})
"""Parameters that S3's first version of the listing does not have: without a list-type, Greenfield is meant."""

_NOT_ASKED_FOR: Final = frozenset({"x-gnfd-expiry-timestamp", "x-id"})


def greenfield_operation(head: RequestHead, target: Target) -> GreenfieldOperation | None:
    """None: it is S3's, or nobody's."""
    if speaks_s3(head) and target.object_name is None:
        return None
    fixed = _fixed_operation(head, target)
    if fixed is not None:
        return fixed
    names = {name for name in head.parameters() if name.lower() not in _NOT_ASKED_FOR}
    if target.bucket is None:
        asks_for_own = head.method == "GET" and names <= {"include-removed"} and speaks_greenfield(head)
        return Op.USER_BUCKETS if asks_for_own else None
    if target.object_name is None:
        return _bucket_operation(head, names)
    return _object_operation(head, names)


def _fixed_operation(head: RequestHead, target: Target) -> GreenfieldOperation | None:
    """Of a path that is no bucket's. A signature of S3 says that it is one all the same."""
    if speaks_s3(head) or target.bucket not in FIXED_PATHS:
        return None
    if head.method in ("GET", "HEAD") and target.bucket in _UNIVERSAL:
        return _UNIVERSAL[target.bucket]
    if head.method == "GET" and target.bucket == "permission":
        return Op.PERMISSION
    return _FIXED.get((head.method, head.raw_path))


def _bucket_operation(head: RequestHead, names: set[str]) -> GreenfieldOperation | None:
    if head.method != "GET":
        return None
    if names == {"bucket-meta"}:
        return Op.BUCKET_META
    if names <= _LISTING and (speaks_greenfield(head) or names & _GREENFIELD_LISTING):
        return Op.LIST_OBJECTS
    return None


def _object_operation(head: RequestHead, names: set[str]) -> GreenfieldOperation | None:
    if head.method == "GET" and len(names) == 1 and names <= _OBJECT_QUERIES.keys():
        return _OBJECT_QUERIES[next(iter(names))]
    if head.method in ("GET", "HEAD") and "Authorization" in names and speaks_greenfield(head):
        return Op.LINK
    if head.method == "POST" and "create-folder" in names:
        return Op.CREATE_FOLDER
    if head.method == "POST" and {"offset", "complete"} & names:
        return Op.PUT_PART
    if head.method in ("POST", "PUT") and "delegate" in names:
        return Op.DELEGATED_PUT
    return None
