"""What a put may bring, by its declaration and by the chain's rules: pure."""

from __future__ import annotations

from sp.domain.errors import IntegrityMismatch, ObjectTooLarge, PayloadSizeMismatch
from sp.domain.ids import PRIMARY, Checksum
from sp.domain.jobs import PutOrder


def check_size(order: PutOrder, size: int) -> None:
    """What has come so far must fit what was declared and what the chain allows."""
    if order.payload_size is not None and size > order.payload_size:
        raise PayloadSizeMismatch(order.payload_size, size)
    if size > order.params.max_payload_size:
        raise ObjectTooLarge(size, order.params.max_payload_size)


def check_complete(order: PutOrder, size: int) -> None:
    """The body has ended: it must be all of what was declared."""
    if order.payload_size is not None and size != order.payload_size:
        raise PayloadSizeMismatch(order.payload_size, size)


def check_root(order: PutOrder, root: Checksum) -> None:
    """All of it has come: it must be what the chain expects, if that is known."""
    if order.expected_root is not None and root != order.expected_root:
        raise IntegrityMismatch(PRIMARY, order.expected_root.hex(), root.hex())
