"""Which contents of an object the chain knows."""

from dataclasses import replace

from sp.domain.approvals import ObjectRef
from sp.domain.contents import content_of, contradiction, same_cut
from sp.domain.ids import Address, ObjectId
from sp.domain.ledger import ChainObject, ContentUpdate, ObjectStatus, RedundancyType, Visibility
from sp.domain.params import StorageParams

OWNER = Address("0x" + "11" * 20)
PARAMS = StorageParams()
OBJECT = ChainObject(
    ObjectId(1),
    "photos",
    "cat.jpg",
    OWNER,
    OWNER,
    100,
    Visibility.INHERIT,
    "",
    50,
    ObjectStatus.SEALED,
    RedundancyType.EC,
    (),
    (OWNER,),
    version=2,
)
UPDATE = ContentUpdate(200, "", (), 3, 60, OWNER)


def test_the_sealed_content_and_the_one_to_replace_it_are_both_known() -> None:
    both = replace(OBJECT, update=UPDATE)
    sealed, coming = content_of(both, 2), content_of(both, 3)
    assert sealed is not None
    assert coming is not None
    assert (sealed.payload_size, sealed.sealed, sealed.secondaries, sealed.params_time) == (100, True, (OWNER,), 50)
    assert (coming.payload_size, coming.sealed, coming.secondaries, coming.params_time) == (200, False, (), 60)


def test_no_other_version_is_known() -> None:
    assert [content_of(OBJECT, version) for version in (0, 1, 3)] == [None, None, None]


def test_a_discontinued_object_has_no_content_any_more() -> None:
    assert content_of(replace(OBJECT, status=ObjectStatus.DISCONTINUED), 2) is None


def test_an_updated_object_was_cut_by_the_rules_of_its_update() -> None:
    updated = content_of(replace(OBJECT, updated_at=70), 2)
    assert updated is not None
    assert updated.params_time == 70


def test_a_reference_is_compared_by_name_and_size() -> None:
    content = content_of(OBJECT, 2)
    assert content is not None
    ref = ObjectRef(ObjectId(1), 2, "photos", "cat.jpg", 100, PARAMS)
    assert contradiction(OBJECT, content, ref) == ""
    assert "name" in contradiction(OBJECT, content, replace(ref, object_name="dog.jpg"))
    assert "name" in contradiction(OBJECT, content, replace(ref, bucket="photos2"))
    assert "100 bytes" in contradiction(OBJECT, content, replace(ref, payload_size=99))


def test_only_what_cuts_an_object_makes_parameters_differ() -> None:
    assert same_cut(PARAMS, replace(PARAMS, max_payload_size=1, min_charge_size=1))
    for change in ({"max_segment_size": 1}, {"data_chunks": 5}, {"parity_chunks": 3}):
        assert not same_cut(PARAMS, replace(PARAMS, **change))
