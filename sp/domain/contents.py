"""Which contents of an object the chain knows: the sealed or created one, and the one that is to replace it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sp.domain.approvals import ObjectRef
from sp.domain.ids import Address, Checksum, RedundancyIndex
from sp.domain.ledger import ChainObject, ObjectStatus, StorageProvider
from sp.domain.params import StorageParams


@dataclass(frozen=True, slots=True)
class Content:
    """One version of an object, on chain.

    checksums: 1 + k + m integrity hashes, or empty until the seal of a delegated object
    params_time: unix seconds at which its StorageParams were valid
    secondaries: operator addresses in column order; empty while it is not sealed
    """

    version: int
    payload_size: int
    checksums: tuple[Checksum, ...]
    params_time: int
    sealed: bool
    secondaries: tuple[Address, ...]


def content_of(found: ChainObject, version: int) -> Content | None:
    """This version of an object, or None where the chain does not know it (any more, or yet)."""
    if version == found.version and found.status is not ObjectStatus.DISCONTINUED:
        return Content(
            version,
            found.payload_size,
            found.checksums,
            found.params_time,
            found.status is ObjectStatus.SEALED,
            found.secondaries,
        )
    update = found.update
    if update is not None and version == update.version:
        return Content(version, update.payload_size, update.checksums, update.updated_at, sealed=False, secondaries=())
    return None


def leaving(content: Content, providers: Mapping[Address, StorageProvider]) -> dict[RedundancyIndex, Address]:
    """Whose columns of a sealed content are to be taken over: their holders leave."""
    return {
        RedundancyIndex(index): operator
        for index, operator in enumerate(content.secondaries)
        if departed(operator, providers)
    }


def departed(operator: Address, providers: Mapping[Address, StorageProvider]) -> bool:
    """Whether this provider leaves. Of one that is not registered, as far as we know, nothing is known: it may be newer
    than our view of the register, and the chain strikes none off that it still names."""
    return operator in providers and providers[operator].exiting


def contradiction(found: ChainObject, content: Content, ref: ObjectRef) -> str:
    """What a reference says otherwise than the chain, in words; "" when they agree (params are looked at elsewhere)."""
    if (found.bucket, found.name) != (ref.bucket, ref.object_name):
        return "the object has another name on chain"
    if content.payload_size != ref.payload_size:
        return f"the object has {content.payload_size} bytes on chain, not {ref.payload_size}"
    return ""


def same_cut(one: StorageParams, other: StorageParams) -> bool:
    """Whether both cut and code an object alike. The other parameters are limits of their time, and in no signature."""
    return (one.max_segment_size, one.data_chunks, one.parity_chunks) == (
        other.max_segment_size,
        other.data_chunks,
        other.parity_chunks,
    )
