"""Which parts become an object, and what its ETag and checksums are then."""

import base64
import hashlib
import zlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sp.crypto import checksums
from sp.domain.errors import (
    InvalidPart,
    InvalidPartOrder,
    InvalidRequest,
    PartTooSmall,
    PayloadDigestMismatch,
    PayloadSizeMismatch,
    SpError,
)
from sp.domain.ids import Address, Checksum, UploadId
from sp.domain.jobs import ETAG_HEADER
from sp.domain.multipart import (
    COMPOSITE,
    FULL_OBJECT,
    CompletedPart,
    Completion,
    Part,
    PartState,
    Upload,
    UploadOrder,
    UploadState,
    assembly_of,
    completed_etag,
    listed_etag,
    object_checksum,
    upload_id_text,
)

MIN = 5
CRC32 = "x-amz-checksum-crc32"


def part(number: int, payload: bytes = b"12345", algorithm: str = "") -> Part:
    digests = {}
    if algorithm:
        digests[f"x-amz-checksum-{algorithm}"] = base64.b64encode(checksums.digest(algorithm, payload)).decode()
    md5 = hashlib.md5(payload).digest()
    return Part(UploadId(7), number, number + 10, PartState.STORED, 3, len(payload), md5, digests)


def upload(algorithm: str = "", kind: str = "") -> Upload:
    order = UploadOrder(
        "b", "k", Address("0x"), headers={"content-type": "a/b"}, checksum_algorithm=algorithm, checksum_type=kind
    )
    return Upload(UploadId(7), order, UploadState.OPEN, 1, 0, 0)


def listed(*parts: Part) -> tuple[CompletedPart, ...]:
    return tuple(CompletedPart(one.number, one.etag) for one in parts)


def refused(asked: Completion, *stored: Part) -> SpError:
    with pytest.raises(SpError) as refusal:
        assembly_of(upload(), asked, stored, MIN)
    return refusal.value


def test_the_listed_parts_are_taken_in_order_and_the_others_left_out() -> None:
    stored = [part(number, b"%05d" % number) for number in (9, 2, 4)]
    made = assembly_of(upload(), Completion(listed(stored[1], stored[0])), stored, MIN)
    assert [one.number for one in made.parts] == [2, 9]
    assert made.payload_size == 10
    assert made.headers["content-type"] == "a/b"


def test_the_etag_is_that_of_s3() -> None:
    # The example of https://teppen.io/2018/10/23/aws_s3_verify_etags/ by its formula: MD5 of the MD5s, dash, count.
    bodies = [b"a" * 5, b"b" * 5, b"c"]
    stored = [part(number + 1, body) for number, body in enumerate(bodies)]
    made = assembly_of(upload(), Completion(listed(*stored)), stored, MIN)
    joined = b"".join(hashlib.md5(body).digest() for body in bodies)
    assert made.headers[ETAG_HEADER] == f"{hashlib.md5(joined).hexdigest()}-3"
    assert listed_etag(Completion(listed(*stored))) == made.headers[ETAG_HEADER]
    assert listed_etag(Completion((CompletedPart(1, "no hex"),))) == ""


@pytest.mark.parametrize("numbers", [(2, 1), (1, 1), (3, 2, 4)])
def test_a_list_that_is_not_ascending_is_refused(numbers: tuple[int, ...]) -> None:
    stored = [part(number) for number in range(1, 5)]
    asked = Completion(tuple(CompletedPart(number, stored[number - 1].etag) for number in numbers))
    assert isinstance(refused(asked, *stored), InvalidPartOrder)


@pytest.mark.parametrize(
    "wrong",
    [CompletedPart(3, part(2).etag), CompletedPart(2, "0" * 32), CompletedPart(2, ""), CompletedPart(0, part(2).etag)],
)
def test_a_part_that_is_not_there_or_is_another_is_refused_by_its_number(wrong: CompletedPart) -> None:
    error = refused(Completion((wrong,)), part(2, b"other"), part(4))
    assert isinstance(error, InvalidPart)
    assert error.part_number == wrong.number


def test_an_etag_may_be_in_capitals() -> None:
    asked = Completion((CompletedPart(1, part(1).etag.upper()),))
    assert assembly_of(upload(), asked, [part(1)], MIN).payload_size == 5


def test_only_the_last_part_may_be_small() -> None:
    small, large, last = part(1, b"1234"), part(2), part(3, b"")
    error = refused(Completion(listed(small, large)), small, large)
    assert isinstance(error, PartTooSmall)
    assert (error.part_number, error.size_bytes, error.min_bytes) == (1, 4, MIN)
    assert assembly_of(upload(), Completion(listed(large, last)), [large, last], MIN).payload_size == 5
    assert assembly_of(upload(), Completion(listed(last)), [last], MIN).payload_size == 0


def test_no_parts_and_too_many_parts_are_refused() -> None:
    assert isinstance(refused(Completion(())), InvalidRequest)
    many = [part(number) for number in range(1, 10_002)]
    assert isinstance(refused(Completion(listed(*many)), *many), InvalidRequest)
    assert len(assembly_of(upload(), Completion(listed(*many[:-1])), many, MIN).parts) == 10_000


def test_a_size_that_is_said_must_be_true() -> None:
    asked = Completion(listed(part(1)), payload_size=6)
    assert isinstance(refused(asked, part(1)), PayloadSizeMismatch)
    assert assembly_of(upload(), replace(asked, payload_size=5), [part(1)], MIN).payload_size == 5


def test_the_checksum_of_a_listed_part_must_be_the_recorded_one() -> None:
    stored = part(1, algorithm="crc32")
    right = CompletedPart(1, stored.etag, {CRC32: stored.checksums[CRC32]})
    assert assembly_of(upload(), Completion((right,)), [stored], MIN).payload_size == 5
    wrong = replace(right, checksums={CRC32: "AAAAAA=="})
    assert isinstance(refused(Completion((wrong,)), stored), InvalidPart)
    assert isinstance(refused(Completion((right,)), part(1)), InvalidPart), "nothing was recorded to compare with"


@pytest.mark.parametrize("algorithm", ["crc32", "crc32c", "sha1", "sha256"])
def test_a_composite_checksum_is_that_of_the_parts_checksums(algorithm: str) -> None:
    parts = [part(number, b"%05d" % number, algorithm) for number in (1, 2, 3)]
    joined = b"".join(checksums.digest(algorithm, b"%05d" % number) for number in (1, 2, 3))
    expected = base64.b64encode(checksums.digest(algorithm, joined)).decode()
    assert object_checksum(algorithm, COMPOSITE, parts) == {
        f"x-amz-checksum-{algorithm}": f"{expected}-3",
        "x-amz-checksum-type": COMPOSITE,
    }


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=5), st.sampled_from(sorted(checksums.COMBINABLE)))
def test_a_full_object_checksum_is_that_of_the_whole(bodies: list[bytes], algorithm: str) -> None:
    parts = [part(number + 1, body, algorithm) for number, body in enumerate(bodies)]
    whole = base64.b64encode(checksums.digest(algorithm, b"".join(bodies))).decode()
    assert object_checksum(algorithm, FULL_OBJECT, parts)[f"x-amz-checksum-{algorithm}"] == whole


def test_there_is_no_checksum_of_the_whole_when_a_part_came_without() -> None:
    assert object_checksum("crc32", COMPOSITE, [part(1, algorithm="crc32"), part(2)]) == {}


def test_a_declared_checksum_of_the_whole_must_be_true_and_checkable() -> None:
    stored = [part(1, b"abcde", "crc32"), part(2, b"fg", "crc32")]
    whole = base64.b64encode(zlib.crc32(b"abcdefg").to_bytes(4, "big")).decode()
    asked = Completion(listed(*stored), {CRC32: whole})
    assert assembly_of(upload("crc32", FULL_OBJECT), asked, stored, MIN).headers[CRC32] == whole
    with pytest.raises(PayloadDigestMismatch):
        assembly_of(upload("crc32", FULL_OBJECT), replace(asked, checksums={CRC32: "AAAAAA=="}), stored, MIN)
    with pytest.raises(InvalidRequest):
        assembly_of(upload("crc32", FULL_OBJECT), asked, [part(1, b"abcde"), part(2, b"fg")], MIN)


def test_checksums_are_those_of_their_algorithms() -> None:
    # Check values of "123456789": CRC-32C 0xE3069283, CRC-64/NVME 0xAE8B14860A799888 (reveng catalogue).
    assert checksums.digest("crc32c", b"123456789").hex() == "e3069283"
    assert checksums.digest("crc64nvme", b"123456789").hex() == "ae8b14860a799888"
    assert checksums.digest("crc32", b"123456789").hex() == "cbf43926"


def test_the_pieces_of_a_part_cover_it() -> None:
    made = replace(
        part(1, b"12345678"), piece_checksums=(Checksum(b"a" * 32), Checksum(b"b" * 32), Checksum(b"c" * 32))
    )
    assert [(str(key), size) for key, size, _ in made.pieces()] == [
        ("m7_p1_11_s0", 3),
        ("m7_p1_11_s1", 3),
        ("m7_p1_11_s2", 2),
    ]


def test_upload_ids_sort_as_text_as_they_do_as_numbers() -> None:
    ids = [UploadId(n) for n in (1, 9, 10, 2**40, 2**63 - 1)]
    assert sorted(map(upload_id_text, ids)) == list(map(upload_id_text, ids))
    assert completed_etag([]) == "d41d8cd98f00b204e9800998ecf8427e-0"
