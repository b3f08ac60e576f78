"""Greenfield's XML: Go's field names, enums as numbers, no namespace (REAL-NETWORK 7). Pure.

What only an indexer of the chain knows (transaction hashes of creations, heights of changes, balances) is shown as the
network's own providers show the absent: empty or zero. docs of each shape: greenfield-docs api/storage-provider-rest.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from gateway.greenfield.params import ListingQuery, encoded_token
from gateway.s3_xml import element
from sp.domain.ids import Address, Checksum
from sp.domain.jobs import Job, Listing, ObjectEntry
from sp.domain.ledger import Bucket, ChainObject, ObjectStatus, RedundancyType, Visibility
from sp.domain.lifecycle import JobState

_NO_BALANCE: Final = "0x" + "0" * 64


def document(name: str, *children: str, attributes: str = "") -> bytes:
    return f"<{name}{attributes}>{''.join(children)}</{name}>".encode()


def resume_offset(offset: int) -> bytes:
    return document("QueryResumeOffset", element("Offset", offset), attributes=' version="1.0"')


def permission(effect: int) -> bytes:
    return document("QueryVerifyPermissionResponse", element("Effect", effect))


def results(name: str, *values: str) -> bytes:
    """The answers of the /auth paths."""
    return document(name, *(element("Result", value) for value in values))


def nonce() -> bytes:
    """Of keys of the first kind, which nobody can register here: so it is always that of an account without one."""
    fields = (("CurrentNonce", "0"), ("NextNonce", "1"), ("CurrentPublicKey", ""), ("ExpiryDate", "0"))
    return document("RequestNonceResp", *(element(name, value) for name, value in fields))


# --- objects ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ObjectFacts:
    """What is shown of one object. object_id: 0 until the chain has created it; checksums: those known"""

    owner: Address
    creator: Address
    bucket: str
    object_name: str
    object_id: int
    payload_size: int
    visibility: Visibility
    content_type: str
    create_at_s: int
    status: ObjectStatus
    checksums: tuple[Checksum, ...]
    is_updating: bool = False
    updated_at_s: int = 0
    version: int = 0
    seal_tx_hash: str = ""


def facts_of_chain(found: ChainObject, job: Job | None) -> ObjectFacts:
    """job: of the same content here, if there is one"""
    sealed_by_us = job is not None and job.state is JobState.SEAL_OBJECT_DONE and job.tx_hash
    return ObjectFacts(
        found.owner,
        found.creator,
        found.bucket,
        found.name,
        found.id,
        found.payload_size,
        found.visibility,
        found.content_type,
        found.create_at,
        found.status,
        found.checksums,
        found.update is not None,
        found.updated_at,
        found.version,
        f"0x{job.tx_hash}" if job is not None and sealed_by_us else "",
    )


def facts_of_entry(entry: ObjectEntry, bucket: Bucket) -> ObjectFacts:
    """Of an object as this provider has it, whether the chain has it already or not. Of the checksums only the first
    is known without asking the chain."""
    job = entry.job
    sealed = job.state is JobState.SEAL_OBJECT_DONE
    return ObjectFacts(
        bucket.owner,
        job.account,
        job.bucket,
        job.object_name,
        job.object_id or 0,
        job.payload_size or 0,
        job.visibility,
        job.headers.get("content-type", "application/octet-stream"),
        job.created_at_ms // 1000,
        ObjectStatus.SEALED if sealed else ObjectStatus.CREATED,
        () if job.root is None else (job.root,),
        version=job.version,
        seal_tx_hash=f"0x{job.tx_hash}" if sealed and job.tx_hash else "",
    )


def object_meta(facts: ObjectFacts) -> bytes:
    return document("GfSpGetObjectMetaResponse", f"<Object>{_object(facts)}</Object>")


def object_listing(bucket: Bucket, query: ListingQuery, page: Listing) -> bytes:
    rows = [f"<Objects>{_object(facts_of_entry(entry, bucket))}</Objects>" for entry in page.entries]
    token = "" if page.next_marker is None else encoded_token(page.next_marker)
    fields = (
        ("KeyCount", str(len(page.entries) + len(page.common_prefixes))),
        ("MaxKeys", str(query.max_keys)),
        ("IsTruncated", _flag(page.next_marker is not None)),
        ("NextContinuationToken", token),
        ("Name", bucket.name),
        ("Prefix", query.prefix),
        ("Delimiter", query.delimiter),
    )
    prefixes = [element("CommonPrefixes", prefix) for prefix in page.common_prefixes]
    return document(
        "GfSpListObjectsByBucketNameResponse",
        *rows,
        *_elements(fields),
        *prefixes,
        element("ContinuationToken", query.token),
    )


def _object(facts: ObjectFacts) -> str:
    checksums = "".join(element("Checksums", b64encode(checksum).decode()) for checksum in facts.checksums)
    first = (
        ("Owner", facts.owner),
        ("Creator", facts.creator),
        ("BucketName", facts.bucket),
        ("ObjectName", facts.object_name),
        ("Id", facts.object_id),
        ("LocalVirtualGroupId", 0),
        ("PayloadSize", facts.payload_size),
        ("Visibility", int(facts.visibility)),
        ("ContentType", facts.content_type),
        ("CreateAt", facts.create_at_s),
        ("ObjectStatus", int(facts.status)),
        ("RedundancyType", int(RedundancyType.EC)),
        ("SourceType", 0),
    )
    last = (
        ("IsUpdating", _flag(facts.is_updating)),
        ("UpdatedAt", facts.updated_at_s),
        ("UpdatedBy", ""),
        ("Version", facts.version),
    )
    beside = (
        ("LockedBalance", _NO_BALANCE),
        ("Removed", "false"),
        ("UpdateAt", 0),
        ("DeleteAt", 0),
        ("DeleteReason", ""),
        ("Operator", ""),
        ("CreateTxHash", ""),
        ("UpdateTxHash", ""),
        ("SealTxHash", facts.seal_tx_hash),
    )
    info = "".join((*_elements(first), checksums, *_elements(last)))
    return f"<ObjectInfo>{info}</ObjectInfo>{''.join(_elements(beside))}"


# --- buckets ------------------------------------------------------------------------------------------------------


def bucket_meta(bucket: Bucket) -> bytes:
    return document("GfSpGetBucketMetaResponse", f"<Bucket>{_bucket(bucket)}</Bucket>", "<StreamRecord></StreamRecord>")


def user_buckets(buckets: Iterable[Bucket]) -> bytes:
    rows = (f"<Buckets>{_bucket(bucket)}</Buckets>" for bucket in buckets)
    return document("GfSpGetUserBucketsResponse", *rows)


def _bucket(bucket: Bucket) -> str:
    info = (
        ("Owner", bucket.owner),
        ("BucketName", bucket.name),
        ("Visibility", int(bucket.visibility)),
        ("Id", bucket.id),
        ("SourceType", 0),
        ("CreateAt", bucket.create_at),
        ("PaymentAddress", bucket.owner),
        ("GlobalVirtualGroupFamilyId", 0),
        ("ChargedReadQuota", 0),
        ("BucketStatus", int(bucket.status)),
        ("SpAsDelegatedAgentDisabled", _flag(bucket.delegation_disabled)),
    )
    beside = (
        ("Removed", "false"),
        ("DeleteAt", 0),
        ("DeleteReason", ""),
        ("Operator", ""),
        ("CreateTxHash", ""),
        ("UpdateTxHash", ""),
        ("UpdateAt", 0),
        ("UpdateTime", bucket.create_at),
        ("StorageSize", 0),
        ("OffChainStatus", 0),
    )
    return f"<BucketInfo>{''.join(_elements(info))}</BucketInfo>{''.join(_elements(beside))}"


def _elements(fields: Iterable[tuple[str, str | int]]) -> list[str]:
    return [element(name, value) for name, value in fields]


def _flag(value: bool) -> str:
    return "true" if value else "false"
