"""The life of a put: every state, every legal move. Nothing else decides a state.

States and numbers are the network's (GREENFIELD.md 3.2). The store applies a move with compare-and-set on state and
version, together with its durable effect and a history row, in one transaction.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import Final

from sp.domain.errors import IllegalMove


class JobState(IntEnum):
    INIT_UNSPECIFIED = 0  # row exists, no byte received
    UPLOAD_OBJECT_DOING = 1  # segments are arriving; nothing is promised
    UPLOAD_OBJECT_DONE = 2  # every segment durable and checked: the client has its 200
    UPLOAD_OBJECT_ERROR = 3  # final: the client puts again, the collector removes the pieces
    ALLOC_SECONDARY_DOING = 4  # the object gets its id on chain, other providers are asked for approvals
    ALLOC_SECONDARY_DONE = 5  # the ordered secondaries are chosen and stored
    ALLOC_SECONDARY_ERROR = 6
    REPLICATE_OBJECT_DOING = 7  # columns are streaming to the secondaries
    REPLICATE_OBJECT_DONE = 8  # every secondary has signed for its column, every signature is verified
    REPLICATE_OBJECT_ERROR = 9
    SIGN_OBJECT_DOING = 10  # the seal transaction is being signed and broadcast
    SIGN_OBJECT_DONE = 11  # broadcast, its hash stored
    SIGN_OBJECT_ERROR = 12
    SEAL_OBJECT_TX_DOING = 13  # watching the chain
    SEAL_OBJECT_DONE = 14  # seen in a block: the object is redundant
    SEAL_OBJECT_ERROR = 15
    OBJECT_DISCONTINUED = 16  # final: deleted or replaced before it was sealed


class JobEvent(StrEnum):
    UPLOAD_STARTED = "upload started"
    PAYLOAD_STORED = "payload stored"
    UPLOAD_FAILED = "upload failed"
    ALLOCATION_STARTED = "allocation started"
    SECONDARIES_CHOSEN = "secondaries chosen"
    ALLOCATION_FAILED = "allocation failed"
    REPLICATION_STARTED = "replication started"
    ALL_SECONDARIES_SIGNED = "all secondaries signed"
    REPLICATION_FAILED = "replication failed"
    SIGNING_STARTED = "signing started"
    SEAL_BROADCAST = "seal broadcast"
    SIGNING_FAILED = "signing failed"
    SEAL_WATCH_STARTED = "watching for the seal"
    SEAL_SEEN = "seal seen in a block"
    SEAL_FAILED = "seal failed"
    SECONDARIES_REJECTED = "the chain refused the secondaries"
    SEAL_REJECTED = "given up on chain"
    DISCONTINUED = "discontinued"
    RECOVERED = "recovered"


S, E = JobState, JobEvent

_ERRORS: Final = {
    S.ALLOC_SECONDARY_ERROR: (E.ALLOCATION_STARTED, S.ALLOC_SECONDARY_DOING),
    S.REPLICATE_OBJECT_ERROR: (E.REPLICATION_STARTED, S.REPLICATE_OBJECT_DOING),
    S.SIGN_OBJECT_ERROR: (E.SIGNING_STARTED, S.SIGN_OBJECT_DOING),
    S.SEAL_OBJECT_ERROR: (E.SEAL_WATCH_STARTED, S.SEAL_OBJECT_TX_DOING),
}
"""The way out of each *_ERROR state: its *_DOING again."""

_BACKGROUND: Final = tuple(
    s for s in S if S.ALLOC_SECONDARY_DOING <= s <= S.SEAL_OBJECT_ERROR and s is not S.SEAL_OBJECT_DONE
)
"""States in which the chain may turn out to have sealed the object already (a broadcast we gave up on landed)."""

TABLE: Final[dict[tuple[JobState, JobEvent], JobState]] = {
    (S.INIT_UNSPECIFIED, E.UPLOAD_STARTED): S.UPLOAD_OBJECT_DOING,
    (S.INIT_UNSPECIFIED, E.UPLOAD_FAILED): S.UPLOAD_OBJECT_ERROR,
    (S.UPLOAD_OBJECT_DOING, E.PAYLOAD_STORED): S.UPLOAD_OBJECT_DONE,
    (S.UPLOAD_OBJECT_DOING, E.UPLOAD_FAILED): S.UPLOAD_OBJECT_ERROR,
    # its database was lost; the chain has its seal, and its secondaries have given it back
    (S.UPLOAD_OBJECT_DOING, E.RECOVERED): S.SEAL_OBJECT_DONE,
    (S.UPLOAD_OBJECT_DONE, E.ALLOCATION_STARTED): S.ALLOC_SECONDARY_DOING,
    (S.ALLOC_SECONDARY_DOING, E.SECONDARIES_CHOSEN): S.ALLOC_SECONDARY_DONE,
    (S.ALLOC_SECONDARY_DOING, E.ALLOCATION_FAILED): S.ALLOC_SECONDARY_ERROR,
    (S.ALLOC_SECONDARY_DONE, E.REPLICATION_STARTED): S.REPLICATE_OBJECT_DOING,
    (S.REPLICATE_OBJECT_DOING, E.ALL_SECONDARIES_SIGNED): S.REPLICATE_OBJECT_DONE,
    (S.REPLICATE_OBJECT_DOING, E.REPLICATION_FAILED): S.REPLICATE_OBJECT_ERROR,
    (S.REPLICATE_OBJECT_DONE, E.SIGNING_STARTED): S.SIGN_OBJECT_DOING,
    (S.SIGN_OBJECT_DOING, E.SEAL_BROADCAST): S.SIGN_OBJECT_DONE,
    (S.SIGN_OBJECT_DOING, E.SIGNING_FAILED): S.SIGN_OBJECT_ERROR,
    (S.SIGN_OBJECT_DONE, E.SEAL_WATCH_STARTED): S.SEAL_OBJECT_TX_DOING,
    (S.SEAL_OBJECT_TX_DOING, E.SEAL_FAILED): S.SEAL_OBJECT_ERROR,
    # a secondary left the network between its receipt and the seal: its column is placed anew
    (S.SIGN_OBJECT_ERROR, E.SECONDARIES_REJECTED): S.REPLICATE_OBJECT_DOING,
    (S.SEAL_OBJECT_ERROR, E.SECONDARIES_REJECTED): S.REPLICATE_OBJECT_DOING,
    # given up: the chain has let go of what was created for the put, so that a retry begins with creating it
    **{(error, E.SEAL_REJECTED): S.ALLOC_SECONDARY_ERROR for error in _ERRORS},
    **{(error, event): doing for error, (event, doing) in _ERRORS.items()},
    **{(state, E.SEAL_SEEN): S.SEAL_OBJECT_DONE for state in _BACKGROUND},
    **{(state, E.DISCONTINUED): S.OBJECT_DISCONTINUED for state in (S.UPLOAD_OBJECT_DONE, *_BACKGROUND)},
}

FINAL: Final[frozenset[JobState]] = frozenset({S.UPLOAD_OBJECT_ERROR, S.SEAL_OBJECT_DONE, S.OBJECT_DISCONTINUED})

UPLOADING: Final[frozenset[JobState]] = frozenset({S.INIT_UNSPECIFIED, S.UPLOAD_OBJECT_DOING})
"""The uploader's; everything else that is not final is the task node's."""

BACKGROUND: Final[frozenset[JobState]] = frozenset({S.UPLOAD_OBJECT_DONE, *_BACKGROUND})
"""States from which a task node takes a job, by lease."""

ERROR_EVENT: Final = {
    S.INIT_UNSPECIFIED: E.UPLOAD_FAILED,
    S.UPLOAD_OBJECT_DOING: E.UPLOAD_FAILED,
    S.ALLOC_SECONDARY_DOING: E.ALLOCATION_FAILED,
    S.REPLICATE_OBJECT_DOING: E.REPLICATION_FAILED,
    S.SIGN_OBJECT_DOING: E.SIGNING_FAILED,
    S.SEAL_OBJECT_TX_DOING: E.SEAL_FAILED,
}
"""What happened when the work of a *_DOING state failed."""

RETRY_EVENT: Final = {state: event for state, (event, _) in _ERRORS.items()}
"""What brings an *_ERROR state back to its *_DOING."""


def advance(state: JobState, event: JobEvent) -> JobState:
    """Where `event` takes a job that is in `state`; IllegalMove if the table has no such move."""
    if (state, event) not in TABLE:
        raise IllegalMove(state.name, event.value)
    return TABLE[state, event]


DESCRIPTIONS: Final = {
    S.INIT_UNSPECIFIED: "object meta is created onto the chain",
    S.UPLOAD_OBJECT_DOING: "object payload is uploading to the primary SP",
    S.UPLOAD_OBJECT_DONE: "object payload is uploading to the primary SP",
    S.UPLOAD_OBJECT_ERROR: "something is wrong in uploading to the primary SP",
    S.ALLOC_SECONDARY_DOING: "object payload is replicating to the secondary SPs in the background",
    S.ALLOC_SECONDARY_DONE: "object payload is replicating to the secondary SPs in the background",
    S.ALLOC_SECONDARY_ERROR: "something is wrong in allocating secondary SPs",
    S.REPLICATE_OBJECT_DOING: "object payload is replicating to the secondary SPs in the background",
    S.REPLICATE_OBJECT_DONE: "object payload is replicating to the secondary SPs in the background",
    S.REPLICATE_OBJECT_ERROR: "something is wrong in replicating secondary SPs",
    S.SIGN_OBJECT_DOING: "object meta is sealing onto the chain in the background",
    S.SIGN_OBJECT_DONE: "object meta is sealing onto the chain in the background",
    S.SIGN_OBJECT_ERROR: "something is wrong in signing the object",
    S.SEAL_OBJECT_TX_DOING: "object meta is sealing onto the chain in the background",
    S.SEAL_OBJECT_DONE: "object is succeed to upload and seal onto the chain",
    S.SEAL_OBJECT_ERROR: "something is wrong in sealing object",
    S.OBJECT_DISCONTINUED: "object has been discontinued",
}
"""What a Greenfield client reads of an upload's progress (GREENFIELD.md 3.4), word for word."""
