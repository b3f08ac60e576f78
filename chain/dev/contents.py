"""What every declared content must be, whether it is an object's first or a later one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from chain.dev.codes import Code
from chain.dev.state import State
from sp.crypto.hashing import sha256
from sp.domain.ids import Checksum

CONTENT_TYPE_MAX_BYTES: Final = 1024
EMPTY_CHECKSUM: Final = Checksum(sha256(b""))


def check_content_type(content_type: str) -> None:
    if len(content_type.encode()) > CONTENT_TYPE_MAX_BYTES:
        raise Code.INVALID_CONTENT_TYPE.refusal(f"more than {CONTENT_TYPE_MAX_BYTES} bytes")


def check_size(state: State, payload_size: int) -> None:
    if payload_size > state.params_now.max_payload_size:
        raise Code.TOO_LARGE.refusal(f"{payload_size} of at most {state.params_now.max_payload_size} bytes")


def declared_checksums(
    state: State, expect: Sequence[Checksum], payload_size: int, *, delegated: bool
) -> tuple[Checksum, ...]:
    """What goes on chain of the checksums in a message: 1 + k + m by the parameters valid now.

    A provider that acts for a user may leave them out until the seal. An empty content's are known to all.
    """
    count = 1 + state.params_now.secondaries
    if not (delegated and not expect) and len(expect) != count:
        raise Code.INVALID_CHECKSUM.refusal(f"{len(expect)} checksums where {count} belong")
    if payload_size:
        return tuple(expect)
    if any(checksum != EMPTY_CHECKSUM for checksum in expect):
        raise Code.INVALID_CHECKSUM.refusal("not those of an empty payload")
    return (EMPTY_CHECKSUM,) * count
