"""Laws of what is parsed, over inputs that Hypothesis makes up: what is written is read back, and nothing else is."""

from __future__ import annotations

import base64
from collections.abc import Callable
from urllib.parse import quote, quote_from_bytes

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.conditions import requested_range
from gateway.copying import source_of
from gateway.deletions import requested_deletions
from gateway.errors import InvalidObjectName, NameTooLong
from gateway.http_post import put_of_form
from gateway.multipart_requests import completion_of
from gateway.post_form import Form
from gateway.post_policy import policy_of
from gateway.request import MAX_OBJECT_NAME_BYTES, RequestHead, object_name_of, resolve
from gateway.s3_xml import document, element
from gateway.tags import MAX_KEY, MAX_TAGS, MAX_VALUE, tagging, tags_of_header, tags_of_xml
from p2p.policy import check_sizes
from signer.sealing import KEY_BYTES, NotThisKey, seal, unseal
from sp.domain.approvals import ApprovalRequest, ObjectRef
from sp.domain.errors import InvalidRange, InvalidRequest, SpError
from sp.domain.ids import Address, ObjectId
from sp.domain.params import StorageParams
from sp.wire.common import approval_request, approval_request_pb
from tests.fuzz.targets import TARGETS, target
from tests.unit.gateway_world import ALICE

QUICK = sorted(TARGETS.keys() - {"site", "stream", "config", "keystore", "documents"})
"""Targets that neither listen nor write."""

names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=300)
xml_names = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="￾￿"), min_size=1, max_size=300)
tag_words = st.text(st.sampled_from("aZ09é_+-=.:/@ "), max_size=64)


def head(target: str, *headers: tuple[str, str], method: str = "GET") -> RequestHead:
    return RequestHead.of_target(method, target, headers)


@pytest.mark.parametrize("name", QUICK)
@given(raw=st.binary(max_size=300))
@settings(max_examples=60)
def test_any_bytes_are_taken_or_refused(name: str, raw: bytes) -> None:
    target(name)(raw)


@given(name=names)
def test_a_name_is_what_its_url_says_or_is_refused(name: str) -> None:
    raw = name.encode()
    if len(raw) > MAX_OBJECT_NAME_BYTES:
        with pytest.raises(NameTooLong):
            object_name_of(raw)
        return
    for spelt in (quote_from_bytes(raw, safe=""), quote_from_bytes(raw, safe="/+=")):
        assert resolve(head(f"/photos/{spelt}"), "").object_name == name
    assert source_of(head("/photos/k", ("x-amz-copy-source", f"/photos/{quote(name, safe='')}"))).object_name == name


@given(raw=st.binary(max_size=64))
def test_what_is_no_text_is_no_name(raw: bytes) -> None:
    try:
        name = object_name_of(raw)
    except InvalidObjectName:
        return
    assert name.encode() == raw
    assert "\0" not in name


@given(first=st.integers(0, 2000), length=st.integers(1, 2000), size=st.integers(1, 2000))
def test_a_range_is_what_python_would_cut(first: int, length: int, size: int) -> None:
    asked = head("/photos/k", ("Range", f"bytes={first}-{first + length - 1}"))
    cut = list(range(size))[first : first + length]
    try:
        found = requested_range(asked, size, "etag", 0)
    except InvalidRange:
        assert cut == []
        return
    assert found is not None
    assert list(range(*found)) == cut


@given(tags=st.dictionaries(tag_words.filter(lambda word: 0 < len(word) <= MAX_KEY), tag_words, max_size=MAX_TAGS))
def test_tags_come_back_from_xml_and_from_a_header(tags: dict[str, str]) -> None:
    assert all(len(value) <= MAX_VALUE for value in tags.values())
    assert tags_of_xml(tagging(tags)) == tags
    written = "&".join(f"{quote(key, safe='')}={quote(value, safe='')}" for key, value in tags.items())
    assert tags_of_header(head("/photos/k", ("x-amz-tagging", written))) == tags


@given(keys=st.lists(xml_names, min_size=1, max_size=20), quiet=st.booleans())
def test_a_list_of_deletions_names_what_was_written_into_it(keys: list[str], quiet: bool) -> None:
    rows = (f"<Object>{element('Key', key)}</Object>" for key in keys)
    wanted, said = requested_deletions(document("Delete", element("Quiet", str(quiet).lower()), *rows))
    assert ([each.key for each in wanted], said) == (keys, quiet)


@given(numbers=st.lists(st.integers(0, 10**9 - 1), min_size=1, max_size=20))
def test_a_completion_lists_the_parts_that_were_written_into_it(numbers: list[int]) -> None:
    parts = (f"<Part>{element('PartNumber', n)}{element('ETag', f'{n:x}')}</Part>" for n in numbers)
    asked = completion_of(head("/photos/k", method="POST"), document("CompleteMultipartUpload", *parts))
    assert [(part.number, part.etag) for part in asked.parts] == [(n, f"{n:x}") for n in numbers]


@given(fields=st.dictionaries(names.map(str.lower), names, max_size=8))
def test_the_fields_of_a_form_become_a_put_or_a_refusal(fields: dict[str, str]) -> None:
    try:
        put = put_of_form(Form(fields, "x"), "photos", "k", "id")
    except SpError:
        return
    assert put.headers.items() <= fields.items()


@given(text=st.text(max_size=200))
def test_any_text_is_a_policy_or_refused(text: str) -> None:
    try:
        policy = policy_of(base64.b64encode(text.encode("utf-8", "surrogatepass")).decode())
    except SpError:
        return
    assert policy.min_bytes <= policy.max_bytes or policy.conditions == ()


@given(
    object_id=st.integers(0, 2**64 - 1),
    version=st.integers(0, 2**32),
    names=st.tuples(names, names),
    size=st.integers(0, 2**64 - 1),
    asked_at_s=st.integers(0, 2**62),
    nonce=st.text("0123456789abcdef", min_size=30, max_size=34),
)
def test_a_question_of_a_stranger_is_within_bounds_and_signed_as_it_travelled(
    object_id: int, version: int, names: tuple[str, str], size: int, asked_at_s: int, nonce: str
) -> None:
    ref = ObjectRef(ObjectId(object_id), version, *names, size, StorageParams())
    question = ApprovalRequest(ref, Address(ALICE), asked_at_s, nonce)
    try:
        arrived = approval_request(approval_request_pb(question))
        check_sizes(arrived, bytes(65))
    except InvalidRequest:
        return
    assert arrived == question
    assert arrived.sign_bytes() == question.sign_bytes()
    assert 1 <= arrived.object.object_id < 2**63
    assert 1 <= arrived.object.payload_size < 2**63
    assert len(arrived.nonce) == 32


@given(secret=st.binary(max_size=64), at=st.integers(0, 10**6), flip=st.integers(1, 255), label=st.text(max_size=20))
def test_a_sealed_secret_opens_under_its_own_key_and_label_and_unchanged_alone(
    secret: bytes, at: int, flip: int, label: str
) -> None:
    key = bytes(range(KEY_BYTES))
    draw: Callable[[int], bytes] = bytes
    label = label.encode("utf-8", "replace").decode()
    sealed = seal(key, label, secret, draw)
    assert unseal(key, label, sealed) == secret
    raw = bytearray(bytes.fromhex(sealed))
    raw[at % len(raw)] ^= flip
    other = bytearray(key)
    other[at % KEY_BYTES] ^= flip
    for changed_key, changed_label, text in (
        (key, label, raw.hex()),
        (bytes(other), label, sealed),
        (key, label + "x", sealed),
    ):
        with pytest.raises(NotThisKey):
            unseal(changed_key, changed_label, text)
