"""The parts of an object as text: what is kept is what comes back, and it is bounded."""

from __future__ import annotations

from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sp.domain.part_layout import (
    CHECKSUMS_HEADER,
    MAX_CHARACTERS,
    SIZES_HEADER,
    PartSpan,
    layout_headers,
    spans_of,
    without_layout,
)

GAPS_AND_SIZES = st.lists(
    st.tuples(st.sampled_from([1, 1, 1, 7]), st.sampled_from([0, 1, 5 << 20, 5 << 30])), max_size=12
)


@given(GAPS_AND_SIZES)
def test_what_is_kept_comes_back(gaps_and_sizes: list[tuple[int, int]]) -> None:
    numbers = accumulate(gap for gap, _ in gaps_and_sizes)
    sizes = list(zip(numbers, (size for _, size in gaps_and_sizes), strict=True))
    checksums = [f"sum{number}" for number, _ in sizes]
    spans = spans_of(layout_headers(sizes, checksums))
    assert [(span.number, span.stop - span.start) for span in spans] == sizes
    assert [span.checksum for span in spans] == checksums
    assert all(after.start == before.stop for before, after in pairwise(spans))


def test_parts_of_one_size_are_one_run() -> None:
    kept = layout_headers([(1, 8), (2, 8), (3, 8), (5, 8), (6, 1)], [])
    assert kept == {SIZES_HEADER: "1:8*3,5:8*1,6:1*1"}
    assert len(layout_headers([(number, 5 << 20) for number in range(1, 10_001)], [])[SIZES_HEADER]) < 24


@pytest.mark.parametrize("headers", [{}, {"content-type": "a/b"}, {SIZES_HEADER: ""}])
def test_an_object_that_was_not_put_in_parts_has_none(headers: dict[str, str]) -> None:
    assert spans_of(headers) == ()


def test_checksums_that_do_not_fit_are_left_out() -> None:
    sizes = [(number, 5 << 20) for number in range(1, 10_001)]
    kept = layout_headers(sizes, ["NhCmhg=="] * 10_000)
    assert CHECKSUMS_HEADER not in kept
    assert spans_of(kept)[1] == PartSpan(2, 5 << 20, 10 << 20)
    assert len(layout_headers(sizes[:900], ["NhCmhg=="] * 900)[CHECKSUMS_HEADER]) <= MAX_CHARACTERS


def test_sizes_that_do_not_fit_are_left_out() -> None:
    assert layout_headers([(number, (5 << 20) + number) for number in range(1, 10_001)], []) == {}


def test_the_layout_is_told_from_other_headers() -> None:
    kept = layout_headers([(1, 8)], ["a"])
    assert without_layout({**kept, "content-type": "a/b"}) == {"content-type": "a/b"}
