from __future__ import annotations

import json
from base64 import b64decode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sp.crypto.hashing import keccak256
from sp.crypto.private import PrivateKey
from sp.domain.addresses import signer_of
from sp.domain.errors import InvalidRequest
from sp.domain.ids import Address, Checksum, ObjectId
from sp.domain.signdocs import canonical_json, secondary_sp_sign_bytes
from tests.vectors import load

VECTORS: dict[str, Any] = load("signdoc_vectors.json")
KEY = PrivateKey.from_hex(VECTORS["key_hex"])
OBJECT_1000: dict[str, Any] = next(each for each in load("vectors.json")["objects"] if each["size"] == 1000)


def test_a_secondarys_sign_document_its_hash_and_its_signature_are_the_networks() -> None:
    vector = VECTORS["secondary_sp_sign_doc_v0"]
    checksum = Checksum(b64decode(OBJECT_1000["expect_checksums_base64"][vector["column"] + 1]))
    sign_bytes = secondary_sp_sign_bytes(Address(VECTORS["address"]), ObjectId(int(vector["object_id"])), checksum)
    assert sign_bytes == vector["sign_bytes"].encode()
    digest = keccak256(sign_bytes)
    assert digest.hex() == vector["keccak256"]
    assert KEY.sign(digest).hex() == vector["signature"]
    assert signer_of(digest, bytes.fromhex(vector["signature"])) == VECTORS["address"]


@pytest.mark.parametrize(
    ("name", "signature"),
    [
        ("create_bucket_approval_v0_1_2_plus", "signature_by_same_key"),
        ("receive_piece_task_v1_10", "signature"),
        ("secondary_sp_seal_object_sign_doc_bls", None),
    ],
)
def test_every_sign_document_of_the_network_is_already_canonical(name: str, signature: str | None) -> None:
    vector = VECTORS[name]
    sign_bytes = canonical_json(json.loads(vector["sign_bytes"]))
    assert sign_bytes == vector["sign_bytes"].encode()
    assert keccak256(sign_bytes).hex() == vector["keccak256"]
    if signature:
        assert KEY.sign(keccak256(sign_bytes)).hex() == vector[signature]


@pytest.mark.parametrize("field", ["operator", "object", "checksum"])
def test_a_sign_document_changes_with_each_of_its_fields(field: str) -> None:
    fields = {"operator": KEY.address, "object": 42, "checksum": bytes(32)}
    other = {"operator": "0x" + "0" * 40, "object": 43, "checksum": b"\1" + bytes(31)}

    def sign_bytes(document: dict[str, Any]) -> bytes:
        return secondary_sp_sign_bytes(
            Address(document["operator"]), ObjectId(document["object"]), Checksum(document["checksum"])
        )

    assert sign_bytes(fields) != sign_bytes({**fields, field: other[field]})


def test_an_object_id_of_64_bits_is_written_out_in_decimal() -> None:
    sign_bytes = secondary_sp_sign_bytes(Address(KEY.address), ObjectId(2**64 - 1), Checksum(bytes(32)))
    assert b'"object_id":"18446744073709551615"' in sign_bytes


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("<a>&b", rb"\u003ca\u003e\u0026b"),
        ("\u2028\u2029", rb"\u2028\u2029"),
        ("\b\f\n\r\t\x00\x1f", rb"\u0008\u000c\n\r\t\u0000\u001f"),
        ('"\\/', rb"\"\\/"),
        ("\\b\\<", rb"\\b\\\u003c"),
        ("\\u003c", rb"\\u003c"),
        ("é日\U0001f600\x7f", "é日\U0001f600\x7f".encode()),
    ],
)
def test_text_is_escaped_as_go_escapes_it(text: str, written: bytes) -> None:
    assert canonical_json({"name": text}) == b'{"name":"' + written + b'"}'
    assert canonical_json({text: 1}) == b'{"' + written + b'":1}'


def test_keys_are_sorted_at_every_level_and_lists_are_not() -> None:
    document = {"b": [{"z": 1, "a": [3, 1, 2]}, None], "a": {"Z": True, "_": False, "a": -1, "é": "", "": []}}
    assert canonical_json(document) == (
        '{"a":{"":[],"Z":true,"_":false,"a":-1,"é":""},"b":[{"a":[3,1,2],"z":1},null]}'.encode()
    )


def test_a_number_that_go_would_round_must_be_written_as_a_string() -> None:
    assert canonical_json({"n": 2**53 - 1}) == b'{"n":9007199254740991}'
    for number in (2**53, -(2**53), 2**64):
        with pytest.raises(AssertionError, match="as strings"):
            canonical_json({"n": [number]})


@pytest.mark.parametrize("value", [1.5, float("nan"), b"raw", {1: "a"}, {"a": {None: "b"}}, object(), {"a"}])
def test_a_type_that_go_would_write_otherwise_is_refused(value: object) -> None:
    with pytest.raises(TypeError):
        canonical_json({"value": [value]})


def test_text_that_is_no_unicode_is_the_requests_fault() -> None:
    with pytest.raises(InvalidRequest):
        canonical_json({"name": "\udcff"})


documents = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), documents, max_size=4))
def test_a_document_reads_back_as_it_was_and_has_one_spelling(document: dict[str, Any]) -> None:
    written = canonical_json(document)
    assert json.loads(written) == document
    assert canonical_json(dict(reversed(document.items()))) == written
    assert not set(b"<>&") & set(written)
