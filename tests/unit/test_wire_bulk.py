"""The hand-framed bulk messages are the generated classes' bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proto import receiver_pb2 as pb
from sp.wire.bulk import bytes_message, payload_of


@given(st.binary(min_size=1, max_size=70_000))
def test_a_chunk_is_written_as_protobuf_writes_it(payload: bytes) -> None:
    assert bytes_message(3, payload) == pb.ReplicateFrame(chunk=payload).SerializeToString()


@pytest.mark.parametrize("size", [0, 1, 127, 128, 16_383, 16_384, 1024 * 1024])
def test_a_payload_is_found_where_it_lies(size: int) -> None:
    payload = payload_of(pb.ReplicateFrame(chunk=bytes(size)).SerializeToString(), 3)
    assert payload is not None
    assert bytes(payload) == bytes(size)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\x1a",
        b"\x1a\x05abc",
        b"\x1a\x03abcd",
        b"\x1a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        pb.ReplicateFrame(piece=pb.PieceHeader(segment=1, size=2)).SerializeToString(),
        pb.ReplicateFrame(end=pb.GroupEnd()).SerializeToString(),
    ],
)
def test_any_other_message_is_left_to_protobuf(message: bytes) -> None:
    assert payload_of(message, 3) is None


@given(st.binary(max_size=40))
def test_whatever_is_taken_as_a_chunk_protobuf_reads_alike(message: bytes) -> None:
    payload = payload_of(message, 3)
    if payload is not None:
        assert pb.ReplicateFrame.FromString(message).chunk == bytes(payload)
