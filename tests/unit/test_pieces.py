from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sp.domain.errors import InvalidRequest
from sp.domain.ids import JobId, ObjectId, RedundancyIndex, SegmentIndex, UploadId
from sp.domain.pieces import EcPieceKey, PieceKey, SegmentKey, StagedKey, parse_key

segment_indexes = st.integers(0, 10**9 - 1).map(SegmentIndex)
keys = st.one_of(
    st.builds(SegmentKey, st.integers(0, 2**63 - 1).map(JobId), segment_indexes),
    st.builds(
        EcPieceKey,
        st.integers(0, 2**64 - 1).map(ObjectId),
        st.integers(0, 10**9 - 1),
        segment_indexes,
        st.integers(0, 255).map(RedundancyIndex),
    ),
    st.builds(
        StagedKey,
        st.integers(0, 2**63 - 1).map(UploadId),
        st.integers(0, 10_000),
        st.integers(0, 10**9 - 1),
        segment_indexes,
    ),
)


@pytest.mark.parametrize(
    ("key", "name"),
    [
        (SegmentKey(JobId(7), SegmentIndex(0)), "u7_s0"),
        (EcPieceKey(ObjectId(42), 0, SegmentIndex(3), RedundancyIndex(5)), "e42_s3_p5"),
        (EcPieceKey(ObjectId(42), 2, SegmentIndex(3), RedundancyIndex(5)), "e42_s3_p5_v2"),
        (StagedKey(UploadId(9), 17, 4, SegmentIndex(2)), "m9_p17_4_s2"),
    ],
)
def test_a_key_is_spelled_as_on_the_network(key: PieceKey, name: str) -> None:
    assert str(key) == name
    assert parse_key(name) == key


@given(keys)
def test_a_key_round_trips_through_its_name(key: PieceKey) -> None:
    assert parse_key(str(key)) == key


@given(keys, keys)
def test_different_keys_have_different_names(one: PieceKey, other: PieceKey) -> None:
    assert (str(one) == str(other)) == (one == other)


@given(keys)
def test_a_name_is_safe_as_a_file_name(key: PieceKey) -> None:
    assert set(str(key)) <= set("0123456789uempsv_")
    assert len(str(key)) < 64


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../u1_s0",
        "u1_s0/",
        "/u1_s0",
        "u1_s0/../../etc/passwd",
        "u1_s0\0",
        "u1_s0\n",
        "\nu1_s0",
        " u1_s0",
        "u1_s0 ",
        "U1_S0",
        "u_s",
        "u01_s0",
        "u1_s00",
        "u+1_s0",
        "u-1_s0",
        "u1_s-1",
        "u1__s0",
        "u1_0_s0",
        "u١_s0",
        "u1_s0_p0",
        "u1_s0_v1",
        "e1_s0",
        "e1_s0_p",
        "e1_s0_p01",
        "e1_s0_p-1",
        "e1_s0_p0_v0",
        "e1_s0_p0_v01",
        "e1_s0_p0_v1_v1",
        "e1_s0_p0.tmp",
        "u" + "9" * 20 + "_s0",
        "u" + "9" * 10_000 + "_s0",
        "s1_s0",
        "m1_p1_s0",
        "m1_p1_0",
        "m1_p01_0_s0",
        "m1_p1_00_s0",
        "m1_p100000_0_s0",
    ],
)
def test_a_name_that_no_key_prints_is_refused(name: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        parse_key(name)
    assert len(str(refusal.value)) < 500


@given(st.text() | st.text("0123456789uempsv_-+. /\\", max_size=30))
def test_whatever_is_parsed_prints_as_it_was_written(name: str) -> None:
    try:
        key = parse_key(name)
    except InvalidRequest:
        return
    assert str(key) == name
