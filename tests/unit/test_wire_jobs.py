"""Orders and entries on the wire: what goes in comes out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from proto import downloader_pb2, uploader_pb2
from sp.domain.errors import InvalidRequest
from sp.domain.ids import Address
from sp.domain.jobs import ObjectEntry, Precondition, PutOrder
from sp.domain.params import StorageParams
from sp.runtime.clock import ManualClock
from sp.wire.jobs import entry, entry_pb, put_order, put_order_pb
from tests.unit.gateway_world import Store, address

ORDER = PutOrder("photos", "k", address(1), 5, StorageParams(), headers={"content-type": "text/plain"})


def sent(order: PutOrder) -> PutOrder:
    return put_order(uploader_pb2.PutOpen.FromString(put_order_pb(order).SerializeToString()))


@pytest.mark.parametrize(
    "precondition",
    [None, Precondition(absent=True), Precondition(), Precondition(etag="0123456789abcdef0123456789abcdef-1")],
)
@pytest.mark.parametrize("tags", [{}, {"colour": "gr\u00fcn", "empty": ""}])
def test_an_order_keeps_its_condition_and_tags(precondition: Precondition | None, tags: dict[str, str]) -> None:
    order = replace(ORDER, precondition=precondition, tags=tags)
    assert sent(order) == order


def test_more_tags_than_an_object_has_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="tags"):
        sent(replace(ORDER, tags={str(n): "" for n in range(11)}))


def test_an_entry_keeps_its_tags() -> None:
    job = Store(ManualClock())._job(replace(ORDER, account=Address(address(1))), b"hello")
    known = ObjectEntry(job, 17, {"a": "b"})
    assert entry(downloader_pb2.ObjectEntry.FromString(entry_pb(known).SerializeToString())) == known
