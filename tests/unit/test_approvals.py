"""What providers sign for each other: every field is covered by the signature, and every refusal has its reason."""

from dataclasses import replace

import pytest

from sp.domain.approvals import (
    MESSAGE_LIFETIME_S,
    Approval,
    ApprovalRequest,
    ObjectRef,
    Offer,
    PieceRequest,
    SignedApproval,
    check_age,
    check_approval,
)
from sp.domain.errors import SignatureError
from sp.domain.ids import Address, ObjectId, RedundancyIndex
from sp.domain.params import StorageParams

A, B, C = (Address("0x" + digit * 40) for digit in "123")
REF = ObjectRef(ObjectId(42), 0, "photos", "a.jpg", 1000, StorageParams())
APPROVAL = Approval(REF, A, B, 2000, 500)
REQUEST = ApprovalRequest(REF, A, 1000, "00" * 16)
OFFER = Offer(SignedApproval(APPROVAL, b"s" * 65), RedundancyIndex(3), 1000)
PIECE = PieceRequest(ObjectId(42), 0, 1, RedundancyIndex(3), A, B, 1000)

CHANGED = [
    replace(APPROVAL, object=replace(REF, object_id=ObjectId(43))),
    replace(APPROVAL, object=replace(REF, version=1)),
    replace(APPROVAL, object=replace(REF, bucket="b")),
    replace(APPROVAL, object=replace(REF, object_name="b")),
    replace(APPROVAL, object=replace(REF, payload_size=1001)),
    replace(APPROVAL, object=replace(REF, params=StorageParams(max_segment_size=1))),
    replace(APPROVAL, object=replace(REF, params=StorageParams(data_chunks=3))),
    replace(APPROVAL, object=replace(REF, params=StorageParams(parity_chunks=3))),
    replace(APPROVAL, asker=C),
    replace(APPROVAL, approver=C),
    replace(APPROVAL, expires_at_s=2001),
    replace(APPROVAL, expires_height=501),
]


def test_no_field_of_an_approval_can_change_without_changing_the_signed_bytes() -> None:
    assert len({a.sign_bytes() for a in [APPROVAL, *CHANGED]}) == 1 + len(CHANGED)


def test_no_field_of_an_offer_can_change_without_changing_the_signed_bytes() -> None:
    others = [
        replace(OFFER, redundancy_index=RedundancyIndex(4)),
        replace(OFFER, offered_at_s=1001),
        replace(OFFER, approval=SignedApproval(APPROVAL, b"t" * 65)),
        replace(OFFER, approval=SignedApproval(replace(APPROVAL, asker=C), b"s" * 65)),
        replace(OFFER, approval=SignedApproval(replace(APPROVAL, approver=C), b"s" * 65)),
    ]
    assert len({o.sign_bytes() for o in [OFFER, *others]}) == 1 + len(others)


def test_no_field_of_a_piece_request_can_change_without_changing_the_signed_bytes() -> None:
    others = [
        replace(PIECE, object_id=ObjectId(43)),
        replace(PIECE, version=1),
        replace(PIECE, segment=2),
        replace(PIECE, redundancy_index=RedundancyIndex(-1)),
        replace(PIECE, asker=C),
        replace(PIECE, holder=C),
        replace(PIECE, asked_at_s=1001),
    ]
    assert len({p.sign_bytes() for p in [PIECE, *others]}) == 1 + len(others)


def test_a_document_of_one_kind_can_never_pass_for_another() -> None:
    kinds = [d.sign_bytes().split(b'"type":')[1].split(b"}")[0] for d in (APPROVAL, REQUEST, OFFER, PIECE)]
    assert len(set(kinds)) == 4


def check(approval: Approval, **changes: object) -> None:
    facts = {"object_id": ObjectId(42), "asker": A, "me": B, "now_s": 2000, "height": 500, **changes}
    check_approval(approval, **facts)  # type: ignore[arg-type]  # a table of keyword arguments


def test_an_approval_holds_up_to_its_last_second_and_block() -> None:
    check(APPROVAL)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"now_s": 2001}, "approval expired"),
        ({"height": 501}, "approval expired"),
        ({"asker": C}, "approval for another asker"),
        ({"me": C}, "approval of another provider"),
        ({"object_id": ObjectId(43)}, "approval for another object"),
    ],
)
def test_an_approval_that_does_not_fit_is_refused_with_its_reason(changes: dict[str, object], reason: str) -> None:
    with pytest.raises(SignatureError) as refused:
        check(APPROVAL, **changes)
    assert refused.value.reason == reason


def test_a_message_is_fresh_for_its_lifetime_and_not_from_the_future() -> None:
    check_age(1000, 1000 + MESSAGE_LIFETIME_S)
    check_age(1000, 900)
    with pytest.raises(SignatureError):
        check_age(1000, 1001 + MESSAGE_LIFETIME_S)
    with pytest.raises(SignatureError):
        check_age(1000, 800)
