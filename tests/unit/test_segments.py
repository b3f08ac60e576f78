from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sp.domain.errors import InvalidRange
from sp.domain.ids import SegmentIndex
from sp.domain.segments import group_size, piece_size, resolve_range, segment_count, segment_size

MIB = 1024**2
sizes = st.integers(0, 10**6)
segment_sizes = st.integers(1, 10**5)


@pytest.mark.parametrize(
    ("payload_size", "count", "last"),
    [
        (1, 1, 1),
        (16 * MIB - 1, 1, 16 * MIB - 1),
        (16 * MIB, 1, 16 * MIB),
        (16 * MIB + 1, 2, 1),
        (50 * MIB, 4, 2 * MIB),
        (50_000_000, 3, 16_445_568),
    ],
)
def test_an_object_is_cut_where_the_network_cuts_it(payload_size: int, count: int, last: int) -> None:
    assert segment_count(payload_size, 16 * MIB) == count
    assert segment_size(payload_size, 16 * MIB, SegmentIndex(count - 1)) == last


def test_an_empty_object_has_no_segment() -> None:
    assert segment_count(0, 16 * MIB) == 0
    assert group_size(0, 16 * MIB, 4) == 0
    with pytest.raises(AssertionError):
        segment_size(0, 16 * MIB, SegmentIndex(0))


@given(sizes, st.integers(1000, 10**5))
def test_segments_are_full_but_for_the_last_and_make_up_the_payload(payload_size: int, max_segment_size: int) -> None:
    count = segment_count(payload_size, max_segment_size)
    cut = [segment_size(payload_size, max_segment_size, SegmentIndex(i)) for i in range(count)]
    assert sum(cut) == payload_size
    assert all(size == max_segment_size for size in cut[:-1])
    assert all(0 < size <= max_segment_size for size in cut)
    for outside in (-1, count):
        with pytest.raises(AssertionError):
            segment_size(payload_size, max_segment_size, SegmentIndex(outside))


@given(sizes, st.integers(1000, 10**5), st.integers(1, 20))
def test_a_group_is_as_long_as_its_pieces_together(payload_size: int, max_segment_size: int, data_chunks: int) -> None:
    count = segment_count(payload_size, max_segment_size)
    cut = [segment_size(payload_size, max_segment_size, SegmentIndex(i)) for i in range(count)]
    assert group_size(payload_size, max_segment_size, data_chunks) == sum(piece_size(each, data_chunks) for each in cut)


@given(sizes, st.integers(1, 20))
def test_pieces_hold_their_segment_with_less_than_one_piece_of_padding_each_row(segment: int, data_chunks: int) -> None:
    padding = piece_size(segment, data_chunks) * data_chunks - segment
    assert 0 <= padding < data_chunks


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        (0, 0, (0, 1)),
        (0, None, (0, 10)),
        (9, None, (9, 10)),
        (3, 5, (3, 6)),
        (3, 9, (3, 10)),
        (3, 10, (3, 10)),
        (3, 10**30, (3, 10)),
        (None, 1, (9, 10)),
        (None, 10, (0, 10)),
        (None, 11, (0, 10)),
    ],
)
def test_a_range_is_resolved_as_http_says(first: int | None, last: int | None, expected: tuple[int, int]) -> None:
    assert resolve_range(first, last, 10) == expected


@pytest.mark.parametrize(("first", "last"), [(10, None), (10, 12), (5, 4), (None, 0)])
def test_a_range_of_which_nothing_lies_inside_is_refused(first: int | None, last: int | None) -> None:
    with pytest.raises(InvalidRange):
        resolve_range(first, last, 10)


def test_nothing_of_an_empty_object_can_be_asked_for() -> None:
    for first, last in ((0, None), (0, 0), (None, 5)):
        with pytest.raises(InvalidRange):
            resolve_range(first, last, 0)


@given(st.integers(1, 500), st.integers(0, 600), st.none() | st.integers(0, 600))
def test_a_resolved_range_lies_inside_and_holds_what_was_asked(size: int, first: int, last: int | None) -> None:
    assume(first < size and (last is None or last >= first))
    start, stop = resolve_range(first, last, size)
    assert range(start, stop) == range(size)[first : None if last is None else last + 1]
