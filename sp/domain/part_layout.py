"""Where the parts of an object that was put in parts begin and end, and their checksums: as text kept with it. Pure.

The sizes are runs, `FIRST_NUMBER:SIZE*COUNT`, joined by commas: `1:8388608*12,13:1048576*1` for 97 MiB in parts of 8.
Both texts are bounded, since they travel with every job: what does not fit is left out, and then not known.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from sp.domain.jobs import INTERNAL_PREFIX

SIZES_HEADER: Final = f"{INTERNAL_PREFIX}part-sizes"
CHECKSUMS_HEADER: Final = f"{INTERNAL_PREFIX}part-checksums"
"""Base64 digests in the parts' order, joined by commas."""

MAX_CHARACTERS: Final = 8192
"""Of each of the two. Ten thousand parts of one size are twenty; 900 checksums of CRC-32 fit, and 180 of SHA-256."""


@dataclass(frozen=True, slots=True)
class PartSpan:
    """One part: bytes [start, stop) of the object. checksum: base64, "" when it is not known"""

    number: int
    start: int
    stop: int
    checksum: str = ""


def layout_headers(sizes: Sequence[tuple[int, int]], checksums: Sequence[str]) -> dict[str, str]:
    """The headers to be kept. sizes: number and bytes of each part, in order; checksums: of each, or of none"""
    assert len(checksums) in (0, len(sizes))
    text = ",".join(f"{number}:{size}*{count}" for number, size, count in _runs(sizes))
    if len(text) > MAX_CHARACTERS:
        return {}
    joined = ",".join(checksums)
    return {SIZES_HEADER: text} | ({CHECKSUMS_HEADER: joined} if 0 < len(joined) <= MAX_CHARACTERS else {})


def spans_of(headers: Mapping[str, str]) -> tuple[PartSpan, ...]:
    """The parts, from the headers that were kept; () when they are not known, or the object was not put in parts."""
    checksums = iter(headers.get(CHECKSUMS_HEADER, "").split(","))
    spans: list[PartSpan] = []
    start = 0
    for run in filter(None, headers.get(SIZES_HEADER, "").split(",")):
        number, _, sizes = run.partition(":")
        size, _, count = sizes.partition("*")
        for index in range(int(count)):
            spans.append(PartSpan(int(number) + index, start, start + int(size), next(checksums, "")))
            start += int(size)
    return tuple(spans)


def without_layout(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name not in (SIZES_HEADER, CHECKSUMS_HEADER)}


def _runs(sizes: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int, int]]:
    """Number of the first part, bytes of each, count: of parts of one size whose numbers follow each other."""
    if not sizes:
        return
    first, count = sizes[0], 1
    for (number, size), following in pairwise(sizes):
        if following == (number + 1, size):
            count += 1
            continue
        yield *first, count
        first, count = following, 1
    yield *first, count
