"""Which operation a request asks for: one table, pure. What S3 has and we do not is refused by name."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from gateway.errors import MethodNotAllowed, NoSuchConfiguration, NotSupported
from gateway.request import RequestHead, Target


class Operation(StrEnum):
    STATUS = "Status"
    LIST_BUCKETS = "ListBuckets"
    CREATE_BUCKET = "CreateBucket"
    HEAD_BUCKET = "HeadBucket"
    DELETE_BUCKET = "DeleteBucket"
    LOCATION = "GetBucketLocation"
    VERSIONING = "GetBucketVersioning"
    CONFIGURATION = "GetBucketConfiguration"
    LIST_OBJECTS = "ListObjects"
    LIST_OBJECTS_V2 = "ListObjectsV2"
    PUT_OBJECT = "PutObject"
    GET_OBJECT = "GetObject"
    HEAD_OBJECT = "HeadObject"
    DELETE_OBJECT = "DeleteObject"
    UPLOAD_PROGRESS = "QueryUploadProgress"


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
RESPONSE_HEADERS: Final = {
    "response-cache-control": "Cache-Control",
    "response-content-disposition": "Content-Disposition",
    "response-content-encoding": "Content-Encoding",
    "response-content-language": "Content-Language",
    "response-content-type": "Content-Type",
    "response-expires": "Expires",
}
"""Query parameters of a GET or HEAD that replace a header of the answer."""

MISSING_CONFIGURATIONS: Final = {
    "policy": "NoSuchBucketPolicy",
    "cors": "NoSuchCORSConfiguration",
    "tagging": "NoSuchTagSet",
    "lifecycle": "NoSuchLifecycleConfiguration",
    "website": "NoSuchWebsiteConfiguration",
    "encryption": "ServerSideEncryptionConfigurationNotFoundError",
    "replication": "ReplicationConfigurationNotFoundError",
    "publicAccessBlock": "NoSuchPublicAccessBlockConfiguration",
    "ownershipControls": "OwnershipControlsNotFoundError",
    "object-lock": "ObjectLockConfigurationNotFoundError",
}
"""Sub-resources of a bucket that it truly does not have, and what S3 answers then."""

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
_HARMLESS: Final = frozenset({"x-id", "x-gnfd-expiry-timestamp"})
"""Parameters that clients add and that change nothing."""

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


def operation_of(head: RequestHead, target: Target) -> Operation:
    """NotSupported for what exists elsewhere but not here, MethodNotAllowed for what exists nowhere."""
    names = {name for name in head.parameters() if name.lower() not in _HARMLESS}
    if target.bucket is None:
        return _service_operation(head, names)
    if target.bucket == "greenfield":
        raise NotSupported(f"Greenfield's administrative path {head.raw_path[:64]!r}")
    if target.object_name is None:
        if target.bucket == "status" and head.method in ("GET", "HEAD") and not head.values("authorization"):
            return Operation.STATUS
        return _bucket_operation(head, names)
    return _object_operation(head, names)


def configuration_missing(head: RequestHead, bucket: str) -> NoSuchConfiguration:
    """The answer to Operation.CONFIGURATION, once it is clear that the bucket exists."""
    name = next(name for name in head.parameters() if name in MISSING_CONFIGURATIONS)
    return NoSuchConfiguration(MISSING_CONFIGURATIONS[name], bucket)


def _service_operation(head: RequestHead, names: set[str]) -> Operation:
    if head.method != "GET":
        raise MethodNotAllowed(head.method, "GET")
    _refuse_others(names, frozenset(), "the provider")
    return Operation.LIST_BUCKETS


def _bucket_operation(head: RequestHead, names: set[str]) -> Operation:
    if head.method == "GET":
        return _bucket_query(head, names)
    if head.method in _PLAIN_BUCKET:
        _refuse_others(names, frozenset(), f"{head.method} of a bucket")
        return _PLAIN_BUCKET[head.method]
    if head.method == "POST":
        raise NotSupported("DeleteObjects" if "delete" in names else "POST to a bucket")
    raise MethodNotAllowed(head.method, "GET, HEAD, PUT, DELETE")


def _bucket_query(head: RequestHead, names: set[str]) -> Operation:
    if names == {"location"}:
        return Operation.LOCATION
    if names == {"versioning"}:
        return Operation.VERSIONING
    if len(names) == 1 and names <= MISSING_CONFIGURATIONS.keys():
        return Operation.CONFIGURATION
    _refuse_others(names, LIST_PARAMETERS, "GET of a bucket")
    return Operation.LIST_OBJECTS_V2 if head.parameters().get("list-type") == "2" else Operation.LIST_OBJECTS


def _object_operation(head: RequestHead, names: set[str]) -> Operation:
    if head.method == "POST":
        raise NotSupported("multi-part and resumable uploads" if names & {"uploads", "uploadId", "offset"} else "POST")
    if head.method not in _PLAIN_OBJECT:
        raise MethodNotAllowed(head.method, "GET, HEAD, PUT, DELETE")
    if head.method == "GET" and "upload-progress" in names:
        _refuse_others(names, frozenset({"upload-progress"}), "GET of an upload's progress")
        return Operation.UPLOAD_PROGRESS
    if head.method in ("GET", "HEAD"):  # a reader's own parameters (cache busters) change nothing
        _refuse_others(names & (_S3_SUBRESOURCES | _GREENFIELD_QUERIES), frozenset(), f"{head.method} of an object")
    else:
        _refuse_others(names, frozenset(), f"{head.method} of an object")
    return _PLAIN_OBJECT[head.method]


def _refuse_others(names: set[str], known: frozenset[str], where: str) -> None:
    others = sorted(names - known)
    if others:
        raise NotSupported(f"the parameter {others[0][:64]!r} in a {where}")
