from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sp.crypto.ec import kernel
from sp.domain.errors import InvalidRequest
from sp.domain.ids import PRIMARY, Checksum, RedundancyIndex
from sp.domain.integrity import ObjectHasher, expected_for, integrity_hash, object_checksums, piece_checksum
from sp.domain.segments import segment_count
from tests.vectors import load, numbered_lines, payload

VECTORS: dict[str, Any] = load("vectors.json")
KERNELS = ("isal", "numpy")
SHA256_OF_NOTHING = Checksum(hashlib.sha256(b"").digest())


def hashed(content: bytes, max_segment_size: int, name: str) -> ObjectHasher:
    hasher = ObjectHasher(4, 2, kernel(name))
    view = memoryview(content)
    for start in range(0, len(content), max_segment_size):
        hasher.add(view[start : start + max_segment_size])
    return hasher


def column_index(name: str) -> RedundancyIndex:
    return PRIMARY if name == "primary" else RedundancyIndex(int(name.removeprefix("secondary")))


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize(
    "vector",
    VECTORS["objects"] + VECTORS["small_segment_objects"],
    ids=lambda vector: f"{vector['size']}-in-{vector['max_segment_size']}",
)
def test_an_object_has_the_checksums_that_the_network_computes(vector: dict[str, Any], name: str) -> None:
    content = payload(vector["size"])
    assert hashlib.sha256(content).hexdigest() == vector["payload_sha256"]
    hasher = hashed(content, vector["max_segment_size"], name)
    assert [each.hex() for each in hasher.checksums()] == vector["expect_checksums_hex"]
    assert [base64.b64encode(each).decode() for each in hasher.checksums()] == vector["expect_checksums_base64"]
    assert segment_count(len(content), vector["max_segment_size"]) == vector["segments"]
    assert len(hasher.piece_checksums(PRIMARY)) == vector["segments"]
    for column, expected in vector.get("piece_checksums_hex", {}).items():
        assert [each.hex() for each in hasher.piece_checksums(column_index(column))] == expected


def test_upstreams_own_test_file_has_the_checksums_written_in_upstreams_test() -> None:
    vector = VECTORS["upstream_go_vector"]
    content = numbered_lines()
    assert len(content) == vector["size"]
    assert hashlib.sha256(content).hexdigest() == vector["payload_sha256"]
    checksums = hashed(content, vector["max_segment_size"], "isal").checksums()
    assert [base64.b64encode(each).decode() for each in checksums] == vector["expect_checksums_base64"]


def test_every_checksum_of_an_empty_object_is_the_hash_of_nothing() -> None:
    assert ObjectHasher(4, 2, kernel("isal")).checksums() == (SHA256_OF_NOTHING,) * 7
    assert object_checksums([], [[]] * 6) == (SHA256_OF_NOTHING,) * 7


@given(st.lists(st.binary(min_size=32, max_size=32), max_size=5))
def test_an_integrity_hash_is_flat_and_ordered(checksums: list[bytes]) -> None:
    column = [Checksum(each) for each in checksums]
    assert integrity_hash(column) == hashlib.sha256(b"".join(checksums)).digest()
    if len(set(checksums)) > 1:
        assert integrity_hash(sorted(column)) != integrity_hash(sorted(column, reverse=True))


def test_the_hasher_gives_out_the_pieces_it_hashed_and_believes_a_given_segment_checksum() -> None:
    segment = bytes(range(100))
    hasher, told = ObjectHasher(4, 2, kernel("isal")), ObjectHasher(4, 2, kernel("isal"))
    pieces = hasher.add(segment)
    told.add(segment, Checksum(b"\7" * 32))
    for column, piece in enumerate(pieces):
        assert hasher.piece_checksums(RedundancyIndex(column)) == (piece_checksum(piece),)
    assert hasher.piece_checksums(PRIMARY) == (piece_checksum(segment),)
    assert told.piece_checksums(PRIMARY) == (b"\7" * 32,)
    assert told.checksums()[1:] == hasher.checksums()[1:]


def test_the_expected_hash_of_an_index_is_one_place_further_on() -> None:
    checksums = tuple(Checksum(bytes([i]) * 32) for i in range(7))
    assert expected_for(checksums, PRIMARY) == checksums[0]
    assert [expected_for(checksums, RedundancyIndex(i)) for i in range(6)] == list(checksums[1:])
    for outside in (-2, 6, 7, -7):
        with pytest.raises(InvalidRequest):
            expected_for(checksums, RedundancyIndex(outside))
