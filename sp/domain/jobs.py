"""The JobContext: one put from its first byte to its seal, with its secondaries and its history (records only)."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from sp.domain.approvals import ObjectRef, SignedApproval
from sp.domain.errors import ConditionalRequestConflict, PreconditionFailed
from sp.domain.ids import Address, Checksum, JobId, ObjectId, RedundancyIndex, SegmentIndex, Signature, TxHash
from sp.domain.ledger import Visibility
from sp.domain.lifecycle import JobEvent, JobState
from sp.domain.params import StorageParams
from sp.domain.segments import segment_count

INTERNAL_PREFIX: Final = "x-sp-"
"""Kept headers that begin so are ours: no client can set them, and none is shown them."""

ETAG_HEADER: Final = "x-sp-etag"
"""The ETag of an object, without quotes, where it is not that of its root (docs/decisions/0003)."""


@dataclass(frozen=True, slots=True)
class Precondition:
    """What must be true of a name in the moment in which a put of it is acknowledged.

    absent: it means nothing; else it means content, with this ETag unless it is "*". etag: without quotes
    """

    absent: bool = False
    etag: str = "*"

    @property
    def header(self) -> str:
        """The HTTP header that says so."""
        return "If-None-Match" if self.absent else "If-Match"

    def check(self, current_etag: str | None) -> None:
        """PreconditionFailed. current_etag: of what the name means, None for nothing. Of a name that should mean
        something and means nothing the caller knows more: ConditionalRequestConflict."""
        if self.absent:
            if current_etag is not None:
                raise PreconditionFailed(self.header)
        elif current_etag is None:
            raise ConditionalRequestConflict(self.header)
        elif self.etag not in ("*", current_etag):
            raise PreconditionFailed(self.header)


@dataclass(frozen=True, slots=True)
class PutOrder:
    """What is to be stored, as the gateway understood and authorised it.

    account: who puts; becomes the object's creator on chain
    payload_size: bytes, or None when the client did not say (it is counted then)
    object_id, version: of the object that exists on chain already; None for a delegated put (created after the upload)
    expected_root: the primary's integrity hash on chain, or None
    headers: HTTP headers kept and returned with the object (lower-case names: content-type, cache-control,
      content-disposition, content-encoding, content-language, expires, and x-amz-meta-*)
    request_id: of the request, for logs and history
    precondition: checked together with the acknowledgement; None for an unconditional put
    tags: the object's tag set
    """

    bucket: str
    object_name: str
    account: Address
    payload_size: int | None
    params: StorageParams
    visibility: Visibility = Visibility.INHERIT
    headers: dict[str, str] = field(default_factory=dict)
    object_id: ObjectId | None = None
    version: int = 0
    expected_root: Checksum | None = None
    request_id: str = ""
    precondition: Precondition | None = None
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def delegated(self) -> bool:
        """True when the SP creates the object on chain for the account."""
        return self.object_id is None


@dataclass(frozen=True, slots=True)
class Job:
    """One row of the job table.

    row_version: counts every change of the row: the compare-and-set guard and the fencing token of leases
    object_id, version: None, 0 until the chain has created a delegated object
    payload_size, checksums: known from UPLOAD_OBJECT_DONE on; segment_checksums: sha256 of each segment in order
    delegated: the SP creates the object on chain and delivers its checksums with the seal
    attempts: failures of the present step since it last succeeded
    next_attempt_at_ms: unix ms; None in a state that waits for nobody; given_up: no further attempt by itself
    lease_owner, lease_until_ms: the task node that works on it; "" and 0 when free
    error: why it is in an *_ERROR state
    collect: its segments are dead (aborted, replaced or deleted) and the collector removes them
    created_at_ms, updated_at_ms: unix ms
    """

    id: JobId
    state: JobState
    row_version: int
    bucket: str
    object_name: str
    account: Address
    visibility: Visibility
    headers: dict[str, str]
    params: StorageParams
    delegated: bool
    object_id: ObjectId | None
    version: int
    payload_size: int | None
    root: Checksum | None
    segment_checksums: tuple[Checksum, ...]
    attempts: int
    next_attempt_at_ms: int | None
    given_up: bool
    lease_owner: str
    lease_until_ms: int
    tx_hash: TxHash | None
    error: str
    request_id: str
    created_at_ms: int
    updated_at_ms: int
    collect: bool = False

    @property
    def shown_headers(self) -> dict[str, str]:
        """The kept headers but for our own."""
        return {name: value for name, value in self.headers.items() if not name.startswith(INTERNAL_PREFIX)}

    @property
    def segments(self) -> int:
        """Number of segments; only once the payload size is known."""
        assert self.payload_size is not None
        return segment_count(self.payload_size, self.params.max_segment_size)

    def object_ref(self) -> ObjectRef:
        """The object as other providers are asked about it; only once it has its id."""
        assert self.object_id is not None
        assert self.payload_size is not None
        return ObjectRef(self.object_id, self.version, self.bucket, self.object_name, self.payload_size, self.params)


class SecondaryState(IntEnum):
    CHOSEN = 0
    REPLICATING = 1
    DONE = 2  # integrity hash and signature verified
    FAILED = 3  # final for this provider in this job; another row holds its replacement


@dataclass(frozen=True, slots=True)
class Secondary:
    """One provider's part in one job. Several rows may share a redundancy index: at most one is not FAILED.

    integrity_hash, signature: set when DONE; bytes_sent: payload bytes of the last attempt
    started_at_ms, ended_at_ms: unix ms of the last attempt, 0 when not yet
    """

    job_id: JobId
    redundancy_index: RedundancyIndex
    provider: Address
    approval: SignedApproval
    state: SecondaryState
    integrity_hash: Checksum | None = None
    signature: Signature | None = None
    attempts: int = 0
    error: str = ""
    started_at_ms: int = 0
    ended_at_ms: int = 0


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """One thing that happened to a job. A transition has state != from_state; a note (a secondary failed, a lease was
    taken over) has state == from_state. at_ms: unix ms; reason: in words; provider: "" or the secondary concerned."""

    job_id: JobId
    seq: int
    at_ms: int
    from_state: JobState
    state: JobState
    event: str
    attempt: int
    reason: str
    provider: str
    actor: str


@dataclass(frozen=True, slots=True)
class Move:
    """One change of a job to be applied by compare-and-set. Fields left None stay as they are.

    actor: who does it (service name and process), for the history
    reason: for the history and, in an *_ERROR state, the row's error
    """

    event: JobEvent
    actor: str
    reason: str = ""
    provider: str = ""
    object_id: ObjectId | None = None
    version: int | None = None
    tx_hash: TxHash | None = None
    attempts: int | None = None
    next_attempt_at_ms: int | None = None
    given_up: bool | None = None
    release_lease: bool = False


@dataclass(frozen=True, slots=True)
class StoredPayload:
    """What the uploader knows when the last segment is durable.

    headers: that came behind the payload (checksums); kept with those of the order
    """

    payload_size: int
    root: Checksum
    segment_checksums: tuple[Checksum, ...]
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ObjectEntry:
    """The object that a name means on this primary SP now: the index row joined with its job.

    updated_at_ms: when its put was acknowledged (HTTP Last-Modified)
    tags: the object's tag set; left out (empty) where entries are listed
    small: its payload as SPDB has it, not checked, where the content was asked for and is kept there
    """

    job: Job
    updated_at_ms: int
    tags: dict[str, str] = field(default_factory=dict)
    small: bytes | None = field(default=None, repr=False, compare=False)

    @property
    def etag(self) -> str:
        """Without quotes (docs/decisions/0003): the MD5, that of the parts it was put in, or one of the root."""
        assert self.job.root is not None
        return self.job.headers.get(ETAG_HEADER) or etag_of_root(self.job.root)


def etag_of_root(root: Checksum) -> str:
    """Of an object whose MD5 nobody has computed: `<32 hex of the integrity hash>-1`."""
    return f"{root.hex()[:32]}-1"


@dataclass(frozen=True, slots=True)
class Listing:
    """One page of a bucket: entries and common prefixes in UTF-8 byte order, and where the next page starts."""

    entries: tuple[ObjectEntry, ...]
    common_prefixes: tuple[str, ...]
    next_marker: str | None


class ReceivedState(IntEnum):
    RECEIVING = 0  # some pieces are here; nothing is signed
    SIGNED = 1  # all pieces are durable, the receipt was given
    SEALED = 2  # the chain has named us a secondary: kept until the object goes


@dataclass(frozen=True, slots=True)
class ReceivedPiece:
    segment: SegmentIndex
    checksum: Checksum
    size: int


@dataclass(frozen=True, slots=True)
class ReceivedGroup:
    """A replicate data group held (or arriving) for another SP: the row of a Receiver.

    piece_checksums: of all segments, once SIGNED; received_at_ms: of the first byte; checked_height: chain height at
    which its seal was last looked for
    """

    object: ObjectRef
    redundancy_index: RedundancyIndex
    asker: Address
    state: ReceivedState
    integrity_hash: Checksum | None
    piece_checksums: tuple[Checksum, ...]
    received_at_ms: int
    updated_at_ms: int


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs an operator wants to see; newest first. before: only ids below it (paging)."""

    states: tuple[JobState, ...] = ()
    bucket: str = ""
    failed_only: bool = False
    before: JobId | None = None
    limit: int = 50


@dataclass(frozen=True, slots=True)
class PeerRecord:
    """What this SP remembers of another one. frozen_until_ms: not asked before; failures: since its last success"""

    provider: Address
    failures: int
    frozen_until_ms: int
    last_error: str
    last_success_ms: int
    approvals_given: int
    approvals_refused: int
    updated_at_ms: int
