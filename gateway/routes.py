"""Which operation a request asks for: one table, pure. What S3 has and we do not is refused by name."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from gateway.auth.query import operation_parameters
from gateway.errors import InvalidArgument, MethodNotAllowed, NoSuchConfiguration, NoSuchVersion, NotSupported
from gateway.greenfield.routes import GreenfieldOperation, greenfield_operation
from gateway.puts import COPY_SOURCE
from gateway.request import RequestHead, Target
from gateway.subresources import (
    EMPTY_CONFIGURATIONS,
    MISSING_CONFIGURATIONS,
    OBJECT_LOCKS,
    REMOVABLE_CONFIGURATIONS,
)
from gateway.versions import NULL_VERSION


class Operation(StrEnum):
    STATUS = "Status"
    LIST_BUCKETS = "ListBuckets"
    CREATE_BUCKET = "CreateBucket"
    HEAD_BUCKET = "HeadBucket"
    DELETE_BUCKET = "DeleteBucket"
    LOCATION = "GetBucketLocation"
    CONFIGURATION = "GetBucketConfiguration"
    EMPTY_CONFIGURATION = "GetEmptyBucketConfiguration"
    DROP_CONFIGURATION = "DeleteBucketConfiguration"
    BUCKET_ACL = "GetBucketAcl"
    PUT_BUCKET_ACL = "PutBucketAcl"
    PREFLIGHT = "Preflight"
    LIST_VERSIONS = "ListObjectVersions"
    DELETE_OBJECTS = "DeleteObjects"
    POST_OBJECT = "PostObject"
    LIST_OBJECTS = "ListObjects"
    LIST_OBJECTS_V2 = "ListObjectsV2"
    PUT_OBJECT = "PutObject"
    COPY_OBJECT = "CopyObject"
    GET_OBJECT = "GetObject"
    HEAD_OBJECT = "HeadObject"
    DELETE_OBJECT = "DeleteObject"
    ATTRIBUTES = "GetObjectAttributes"
    OBJECT_ACL = "GetObjectAcl"
    PUT_OBJECT_ACL = "PutObjectAcl"
    TAGGING = "GetObjectTagging"
    PUT_TAGGING = "PutObjectTagging"
    DELETE_TAGGING = "DeleteObjectTagging"
    OBJECT_LOCK = "GetObjectLock"
    UPLOAD_PROGRESS = "QueryUploadProgress"
    CREATE_UPLOAD = "CreateMultipartUpload"
    UPLOAD_PART = "UploadPart"
    COPY_PART = "UploadPartCopy"
    LIST_PARTS = "ListParts"
    LIST_UPLOADS = "ListMultipartUploads"
    COMPLETE_UPLOAD = "CompleteMultipartUpload"
    ABORT_UPLOAD = "AbortMultipartUpload"


LIST_PARAMETERS: Final = frozenset(
    {
        "list-type",
        "prefix",
        "delimiter",
        "marker",
        "start-after",
        "continuation-token",
        "max-keys",
        "encoding-type",
        "fetch-owner",
        "include-removed",
    }
)
VERSIONS_PARAMETERS: Final = frozenset(
    {"versions", "prefix", "delimiter", "key-marker", "version-id-marker", "max-keys", "encoding-type"}
)
LIST_BUCKETS_PARAMETERS: Final = frozenset({"prefix", "max-buckets", "continuation-token", "bucket-region"})
RESPONSE_HEADERS: Final = {
    "response-cache-control": "Cache-Control",
    "response-content-disposition": "Content-Disposition",
    "response-content-encoding": "Content-Encoding",
    "response-content-language": "Content-Language",
    "response-content-type": "Content-Type",
    "response-expires": "Expires",
}
"""Query parameters of a GET or HEAD that replace a header of the answer."""

_S3_SUBRESOURCES: Final = frozenset(
    {
        "accelerate",
        "acl",
        "analytics",
        "append",
        "attributes",
        "cors",
        "delete",
        "encryption",
        "intelligent-tiering",
        "inventory",
        "legal-hold",
        "lifecycle",
        "logging",
        "metadataConfiguration",
        "metadataTable",
        "metrics",
        "notification",
        "object-lock",
        "ownershipControls",
        "partNumber",
        "policy",
        "policyStatus",
        "publicAccessBlock",
        "renameObject",
        "replication",
        "requestPayment",
        "restore",
        "retention",
        "select",
        "session",
        "tagging",
        "torrent",
        "uploadId",
        "uploads",
        "versionId",
        "versions",
        "website",
    }
)
_GREENFIELD_QUERIES: Final = frozenset(
    {
        "bucket-meta",
        "bucket-migration-progress",
        "complete",
        "create-folder",
        "delegate",
        "is_update",
        "list-read-record",
        "object-meta",
        "object-policies",
        "objectPath",
        "objects-query",
        "offset",
        "payload_size",
        "read-quota",
        "signature",
        "upload-context",
        "upload-progress",
        "view",
        "visibility",
        "year-month",
    }
)
_SUBRESOURCES: Final = _S3_SUBRESOURCES | _GREENFIELD_QUERIES

LIST_PARTS_PARAMETERS: Final = frozenset({"uploadId", "max-parts", "part-number-marker", "encoding-type"})
LIST_UPLOADS_PARAMETERS: Final = frozenset(
    {"uploads", "prefix", "delimiter", "key-marker", "upload-id-marker", "max-uploads", "encoding-type"}
)
_HARMLESS: Final = frozenset({"x-id", "x-gnfd-expiry-timestamp"})
"""Parameters that clients add and that change nothing."""

_OBJECT_SUBRESOURCES: Final = {
    ("GET", "acl"): Operation.OBJECT_ACL,
    ("PUT", "acl"): Operation.PUT_OBJECT_ACL,
    ("GET", "tagging"): Operation.TAGGING,
    ("PUT", "tagging"): Operation.PUT_TAGGING,
    ("DELETE", "tagging"): Operation.DELETE_TAGGING,
    ("GET", "attributes"): Operation.ATTRIBUTES,
    **{("GET", name): Operation.OBJECT_LOCK for name in OBJECT_LOCKS},
}
_BUCKET_SUBRESOURCES: Final = {
    ("GET", "location"): Operation.LOCATION,
    ("GET", "acl"): Operation.BUCKET_ACL,
    ("PUT", "acl"): Operation.PUT_BUCKET_ACL,
    ("POST", "delete"): Operation.DELETE_OBJECTS,
    **{("GET", name): Operation.CONFIGURATION for name in MISSING_CONFIGURATIONS},
    **{("GET", name): Operation.EMPTY_CONFIGURATION for name in EMPTY_CONFIGURATIONS},
    **{("DELETE", name): Operation.DROP_CONFIGURATION for name in REMOVABLE_CONFIGURATIONS},
}
"""What is asked for with this method and this one parameter."""

_MULTIPART: Final = {
    ("POST", frozenset({"uploads"})): Operation.CREATE_UPLOAD,
    ("POST", frozenset({"uploadId"})): Operation.COMPLETE_UPLOAD,
    ("PUT", frozenset({"uploadId", "partNumber"})): Operation.UPLOAD_PART,
    ("DELETE", frozenset({"uploadId"})): Operation.ABORT_UPLOAD,
}
"""What is asked for with this method and these parameters, of an object."""

_PLAIN_BUCKET: Final = {
    "PUT": Operation.CREATE_BUCKET,
    "HEAD": Operation.HEAD_BUCKET,
    "DELETE": Operation.DELETE_BUCKET,
}
_PLAIN_OBJECT: Final = {
    "PUT": Operation.PUT_OBJECT,
    "GET": Operation.GET_OBJECT,
    "HEAD": Operation.HEAD_OBJECT,
    "DELETE": Operation.DELETE_OBJECT,
}


def operation_of(head: RequestHead, target: Target) -> Operation | GreenfieldOperation:
    """NotSupported for what exists elsewhere but not here, MethodNotAllowed for what exists nowhere."""
    greenfield = greenfield_operation(head, target)
    if greenfield is not None:
        return greenfield
    names = {name for name in operation_parameters(head) if name.lower() not in _HARMLESS}
    if target.bucket is None:
        return _service_operation(head, names)
    if target.bucket == "greenfield":
        raise NotSupported(f"Greenfield's administrative path {head.raw_path[:64]!r}")
    if head.method == "OPTIONS":
        return Operation.PREFLIGHT
    if target.object_name is None:
        if target.bucket == "status" and head.method in ("GET", "HEAD") and not head.values("authorization"):
            return Operation.STATUS
        return _bucket_operation(head, names)
    return _object_operation(head, target, names)


def configuration_missing(head: RequestHead, bucket: str) -> NoSuchConfiguration:
    """The answer to Operation.CONFIGURATION, once it is clear that the bucket exists."""
    name = next(name for name in head.parameters() if name in MISSING_CONFIGURATIONS)
    return NoSuchConfiguration(MISSING_CONFIGURATIONS[name], bucket)


def _service_operation(head: RequestHead, names: set[str]) -> Operation:
    if head.method != "GET":
        raise MethodNotAllowed(head.method, "GET")
    _refuse_others(names, LIST_BUCKETS_PARAMETERS, "the provider")
    return Operation.LIST_BUCKETS


def _bucket_operation(head: RequestHead, names: set[str]) -> Operation:
    if len(names) == 1 and (found := _BUCKET_SUBRESOURCES.get((head.method, min(names)))):
        return found
    if head.method == "GET":
        return _bucket_query(head, names)
    if head.method in _PLAIN_BUCKET:
        _refuse_others(names, frozenset(), f"{head.method} of a bucket")
        return _PLAIN_BUCKET[head.method]
    if head.method == "POST":
        _refuse_others(names, frozenset(), "POST to a bucket")
        return Operation.POST_OBJECT
    raise MethodNotAllowed(head.method, "GET, HEAD, PUT, POST, DELETE")


def _bucket_query(head: RequestHead, names: set[str]) -> Operation:
    if "versions" in names:
        _refuse_others(names, VERSIONS_PARAMETERS, "GET of a bucket's versions")
        return Operation.LIST_VERSIONS
    if "uploads" in names:
        _refuse_others(names, LIST_UPLOADS_PARAMETERS, "GET of a bucket's uploads")
        return Operation.LIST_UPLOADS
    _refuse_others(names, LIST_PARAMETERS, "GET of a bucket")
    return Operation.LIST_OBJECTS_V2 if head.parameters().get("list-type") == "2" else Operation.LIST_OBJECTS


def _object_operation(head: RequestHead, target: Target, names: set[str]) -> Operation:
    if (multipart := _multipart_operation(head, names)) is not None:
        return multipart
    if head.method == "POST":
        raise NotSupported("POST to an object, but for ?uploads and ?uploadId")
    if head.method not in _PLAIN_OBJECT:
        raise MethodNotAllowed(head.method, "GET, HEAD, PUT, DELETE")
    if head.method == "GET" and "upload-progress" in names:
        _refuse_others(names, frozenset({"upload-progress"}), "GET of an upload's progress")
        return Operation.UPLOAD_PROGRESS
    names = _without_version(head, target, names)
    if len(names) == 1 and (found := _OBJECT_SUBRESOURCES.get((head.method, min(names)))):
        return found
    if head.method in ("GET", "HEAD"):  # a reader's own parameters (cache busters) change nothing
        others = names & _SUBRESOURCES
        _refuse_others(others, frozenset({"partNumber"}), f"{head.method} of an object")
    else:
        _refuse_others(names, frozenset(), f"{head.method} of an object")
    if head.method == "PUT" and head.values(COPY_SOURCE):
        return Operation.COPY_OBJECT
    return _PLAIN_OBJECT[head.method]


def _multipart_operation(head: RequestHead, names: set[str]) -> Operation | None:
    if head.method == "GET" and "uploadId" in names:
        _refuse_others(names, LIST_PARTS_PARAMETERS, "GET of an upload's parts")
        return Operation.LIST_PARTS
    found = _MULTIPART.get((head.method, frozenset(names)))
    if found is Operation.UPLOAD_PART and head.values(COPY_SOURCE):
        return Operation.COPY_PART
    return found


def _without_version(head: RequestHead, target: Target, names: set[str]) -> set[str]:
    """Every object has one version, "null": to name it changes nothing. NoSuchVersion for another."""
    if "versionId" not in names or (head.method == "PUT" and not names & {"acl", "tagging"}):
        return names
    version = head.parameters()["versionId"]
    if not version:
        raise InvalidArgument("versionId", "Version id cannot be the empty string")
    if version != NULL_VERSION:
        assert target.bucket is not None
        assert target.object_name is not None
        raise NoSuchVersion(target.bucket, target.object_name, version[:64])
    return names - {"versionId"}


def _refuse_others(names: set[str], known: frozenset[str], where: str) -> None:
    others = sorted(names - known)
    if others:
        raise NotSupported(f"the parameter {others[0][:64]!r} in a {where}")
