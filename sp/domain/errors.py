"""What can go wrong, one class per thing a caller can act on.

The docstring of a class is its message, its fields are the facts (never a secret, never a payload), its kind says
what the caller may do. Fields are int, str or bool only, so that an error crosses a process as it is: the gRPC
interceptor sends {class name, kind, facts} and the client raises the same class again (see sp.runtime.errors).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum
from typing import ClassVar


class Kind(StrEnum):
    INVALID = "invalid"  # the request is wrong: a retry cannot help
    DENIED = "denied"  # the asker may not, or did not prove who it is
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"  # the state moved: read again, then decide
    BUSY = "busy"  # at a limit: retry later
    UNAVAILABLE = "unavailable"  # a neighbour is down or slow: retry later
    CORRUPT = "corrupt"  # stored bytes are damaged: repair, never serve


Fact = int | str | bool


@dataclass(eq=False)
class SpError(Exception):
    """Something failed."""

    kind: ClassVar[Kind] = Kind.UNAVAILABLE
    registry: ClassVar[dict[str, type[SpError]]] = {}

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        SpError.registry[cls.__name__] = cls

    @property
    def facts(self) -> dict[str, Fact]:
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def __str__(self) -> str:
        facts = ", ".join(f"{name}={value}" for name, value in self.facts.items())
        first_line = (self.__doc__ or "").strip().splitlines()[0]
        return f"{first_line} ({facts})" if facts else first_line

    def __reduce__(self) -> tuple[type[SpError], tuple[Fact, ...]]:
        return type(self), tuple(self.facts.values())


# --- requests -----------------------------------------------------------------------------------------------------


@dataclass(eq=False)
class InvalidRequest(SpError):
    """The request is not well-formed."""

    kind = Kind.INVALID
    reason: str


@dataclass(eq=False)
class SignatureMismatch(SpError):
    """The signature does not match the request: it was signed by another key, or changed on the way."""

    kind = Kind.DENIED
    reason: str


@dataclass(eq=False)
class AccessDenied(SpError):
    """The account has no permission for this action on this resource."""

    kind = Kind.DENIED
    account: str
    action: str
    resource: str


@dataclass(eq=False)
class NotForThisSp(SpError):
    """This bucket's primary SP is another one."""

    kind = Kind.INVALID
    bucket: str
    primary_endpoint: str


@dataclass(eq=False)
class Overloaded(SpError):
    """At the configured limit; try again later."""

    kind = Kind.BUSY
    limit: str


@dataclass(eq=False)
class DeadlineExceeded(SpError):
    """No answer within the configured time."""

    kind = Kind.UNAVAILABLE
    waiting_for: str
    timeout_ms: int


@dataclass(eq=False)
class ServiceUnavailable(SpError):
    """A neighbour did not answer."""

    kind = Kind.UNAVAILABLE
    service: str
    reason: str


@dataclass(eq=False)
class MethodUnknown(ServiceUnavailable):
    """A neighbour does not know this call; it may know an older one."""


@dataclass(eq=False)
class InternalError(SpError):
    """Our own mistake; the log has the trace under this request id."""

    kind = Kind.UNAVAILABLE
    request_id: str


# --- buckets, objects, payloads -----------------------------------------------------------------------------------


@dataclass(eq=False)
class NoSuchBucket(SpError):
    """No such bucket."""

    kind = Kind.NOT_FOUND
    bucket: str


@dataclass(eq=False)
class NoSuchObject(SpError):
    """No such object."""

    kind = Kind.NOT_FOUND
    bucket: str
    object_name: str


@dataclass(eq=False)
class NoSuchObjectId(SpError):
    """The chain has no object with this id."""

    kind = Kind.NOT_FOUND
    object_id: int


@dataclass(eq=False)
class BucketExists(SpError):
    """A bucket of this name exists already."""

    kind = Kind.CONFLICT
    bucket: str
    owner: str


@dataclass(eq=False)
class BucketNotEmpty(SpError):
    """The bucket still holds objects."""

    kind = Kind.CONFLICT
    bucket: str


@dataclass(eq=False)
class ObjectExists(SpError):
    """An object of this name exists already."""

    kind = Kind.CONFLICT
    bucket: str
    object_name: str


@dataclass(eq=False)
class ObjectNotCreated(SpError):
    """The object is not in the state CREATED: its payload was stored or sealed already."""

    kind = Kind.CONFLICT
    bucket: str
    object_name: str
    status: str


@dataclass(eq=False)
class UploadInProgress(SpError):
    """Another upload of this object is under way."""

    kind = Kind.CONFLICT
    bucket: str
    object_name: str


@dataclass(eq=False)
class PreconditionFailed(SpError):
    """A condition of the request does not hold."""

    kind = Kind.CONFLICT
    condition: str


@dataclass(eq=False)
class ConditionalRequestConflict(SpError):
    """What the condition was about went away while the request was under way: try again."""

    kind = Kind.CONFLICT
    condition: str


@dataclass(eq=False)
class ObjectTooLarge(SpError):
    """The payload is larger than the chain allows."""

    kind = Kind.INVALID
    payload_size: int
    max_payload_size: int


@dataclass(eq=False)
class OffsetRefused(SpError):
    """Invalid offset: a part begins where the parts before it have ended."""

    kind = Kind.CONFLICT
    offset: int
    stored: int


@dataclass(eq=False)
class PartNotAligned(SpError):
    """Every part but the last is a whole number of segments long."""

    kind = Kind.INVALID
    received: int
    segment_size: int


@dataclass(eq=False)
class PayloadSizeMismatch(SpError):
    """The body is shorter or longer than the declared payload size."""

    kind = Kind.INVALID
    declared: int
    received: int


@dataclass(eq=False)
class PayloadDigestMismatch(SpError):
    """The body does not have the digest that the request declared."""

    kind = Kind.INVALID
    algorithm: str
    declared: str
    computed: str


@dataclass(eq=False)
class IntegrityMismatch(SpError):
    """The integrity hash of the received bytes is not the one on chain."""

    kind = Kind.INVALID
    redundancy_index: int
    expected: str
    computed: str


@dataclass(eq=False)
class InvalidRange(SpError):
    """The requested range lies outside the object."""

    kind = Kind.INVALID
    payload_size: int


# --- multipart uploads --------------------------------------------------------------------------------------------


@dataclass(eq=False)
class NoSuchUpload(SpError):
    """No such multipart upload: it never was, or it was aborted or completed."""

    kind = Kind.NOT_FOUND
    upload_id: str


@dataclass(eq=False)
class UploadCompleting(SpError):
    """This multipart upload is being completed."""

    kind = Kind.CONFLICT
    upload_id: str


@dataclass(eq=False)
class UploadMoved(SpError):
    """The lease on this multipart upload, or on a part of it, was lost: send the request again."""

    kind = Kind.UNAVAILABLE
    upload_id: str


@dataclass(eq=False)
class InvalidPart(SpError):
    """A part that is to be completed was not uploaded, or its ETag or checksum is another one."""

    kind = Kind.INVALID
    part_number: int
    reason: str


@dataclass(eq=False)
class InvalidPartOrder(SpError):
    """The parts to be completed must be listed in ascending order, each once."""

    kind = Kind.INVALID
    part_number: int


@dataclass(eq=False)
class PartTooSmall(SpError):
    """A part that is not the last one is smaller than the minimum."""

    kind = Kind.INVALID
    part_number: int
    size_bytes: int
    min_bytes: int
    etag: str


# --- pieces -------------------------------------------------------------------------------------------------------


@dataclass(eq=False)
class PieceNotFound(SpError):
    """The store has no such piece."""

    kind = Kind.NOT_FOUND
    key: str


@dataclass(eq=False)
class PieceExists(SpError):
    """The store holds other bytes under this key."""

    kind = Kind.CONFLICT
    key: str


@dataclass(eq=False)
class ShortPiece(SpError):
    """The piece ends before the requested range does."""

    kind = Kind.CORRUPT
    key: str
    size: int
    stop: int


@dataclass(eq=False)
class WrongPieceSize(SpError):
    """A piece is not as long as a piece of its segment must be: get it from elsewhere."""

    kind = Kind.CORRUPT
    redundancy_index: int
    expected_bytes: int
    actual_bytes: int


@dataclass(eq=False)
class GroupIncomplete(SpError):
    """Pieces of a replicate data group have not been sent: send them, then end it again."""

    kind = Kind.CONFLICT
    missing: int
    pieces: str


@dataclass(eq=False)
class PieceCorrupt(SpError):
    """Stored bytes no longer match the checksum recorded for them."""

    kind = Kind.CORRUPT
    key: str
    expected: str
    actual: str


@dataclass(eq=False)
class StoreFull(SpError):
    """The piece store has no space left."""

    kind = Kind.BUSY
    store: str


@dataclass(eq=False)
class StoreFailed(SpError):
    """The piece store could not carry out an operation."""

    kind = Kind.UNAVAILABLE
    store: str
    reason: str


@dataclass(eq=False)
class TooFewPieces(SpError):
    """Fewer pieces than the erasure code needs could be had."""

    kind = Kind.UNAVAILABLE
    object_name: str
    segment_index: int
    have: int
    need: int
    reasons: str


# --- jobs ---------------------------------------------------------------------------------------------------------


@dataclass(eq=False)
class NoSuchJob(SpError):
    """No such job."""

    kind = Kind.NOT_FOUND
    job_id: int


@dataclass(eq=False)
class IllegalMove(SpError):
    """The state machine has no such move."""

    kind = Kind.CONFLICT
    state: str
    event: str


@dataclass(eq=False)
class JobMoved(SpError):
    """Someone else moved this job: read it again."""

    kind = Kind.CONFLICT
    job_id: int


# --- between providers --------------------------------------------------------------------------------------------


@dataclass(eq=False)
class SignatureError(SpError):
    """SIGNATURE_ERROR: the approval or message was not signed by whom it must be, names another object, or expired."""

    kind = Kind.DENIED
    reason: str


@dataclass(eq=False)
class ApprovalRefused(SpError):
    """The provider does not take this object."""

    kind = Kind.BUSY
    provider: str
    reason: str


@dataclass(eq=False)
class TooFewApprovals(SpError):
    """Fewer providers than the object needs agreed to take it."""

    kind = Kind.UNAVAILABLE
    accepted: int
    needed: int
    refusals: str


@dataclass(eq=False)
class TooFewReachable(SpError):
    """Fewer providers than the object needs can be reached, so none was asked to take it."""

    kind = Kind.UNAVAILABLE
    needed: int
    refusals: str


@dataclass(eq=False)
class SecondaryFailed(SpError):
    """A secondary SP did not do its part."""

    kind = Kind.UNAVAILABLE
    provider: str
    redundancy_index: int
    reason: str


@dataclass(eq=False)
class UnknownProvider(SpError):
    """The chain knows no provider in service with this address."""

    kind = Kind.DENIED
    address: str


# --- chain, keys --------------------------------------------------------------------------------------------------


@dataclass(eq=False)
class TxRefused(SpError):
    """The chain refused the transaction. `code` is the chain's (GREENFIELD.md 6.4), `codespace` its module."""

    kind = Kind.INVALID
    codespace: str
    code: int
    log: str


@dataclass(eq=False)
class TxNotSeen(SpError):
    """The transaction was broadcast but is in no block yet."""

    kind = Kind.UNAVAILABLE
    tx_hash: str


@dataclass(eq=False)
class EventsPruned(SpError):
    """The chain no longer has events that old: look at the objects themselves, and follow from `oldest_height` on."""

    kind = Kind.CONFLICT
    after_height: int
    oldest_height: int


@dataclass(eq=False)
class NoSuchAccount(SpError):
    """No such account or access key."""

    kind = Kind.NOT_FOUND
    account: str


@dataclass(eq=False)
class KeyNotAllowed(SpError):
    """This key does not sign messages of this type."""

    kind = Kind.DENIED
    role: str
    message: str


@dataclass(eq=False)
class KeystoreLocked(SpError):
    """The keystore could not be opened with this password."""

    kind = Kind.INVALID
    keystore: str


@dataclass(eq=False)
class ConfigError(SpError):
    """The configuration is wrong."""

    kind = Kind.INVALID
    where: str
    reason: str
