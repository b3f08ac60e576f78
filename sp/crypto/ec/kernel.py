"""What an erasure-code kernel promises. Which combinations to make is sp.domain.erasure's matter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from sp.crypto.buffers import Buffer

Row = Sequence[int]
"""One coefficient per source, each a field element 0..255."""

Matrix = Sequence[Row]


class KernelUnavailable(Exception):
    """This kernel cannot run here: its library is missing, or computes wrongly on this machine."""


class Kernel(Protocol):
    """Multiplies a matrix by byte strings. Has no state that a call changes: any number of threads may share one."""

    @property
    def name(self) -> str:
        """For status pages and metrics."""

    def combine(
        self, rows: Matrix, sources: Sequence[Buffer], size: int, into: Sequence[memoryview] = ()
    ) -> Sequence[Buffer]:
        """For each row, the sum over j of row[j] * sources[j], byte by byte, in GF(2^8) with polynomial 0x11d.

        sources: one buffer of exactly `size` bytes per coefficient; never written, never copied whole.
        into: memory for the first results, writable buffers of `size` bytes that overlap no source; who codes many
              segments keeps it, since the first touch of fresh memory costs more than the coding
        Returns one buffer of `size` bytes per row: those of `into`, then new bytearrays. Raises ValueError when the
        shapes do not fit.
        """


def check_shapes(rows: Matrix, sources: Sequence[Buffer], size: int) -> None:
    """ValueError unless each source has `size` bytes and each row one coefficient per source.

    Not an assert: a wrong shape would make native code read past a buffer.
    """
    for source in sources:
        view = memoryview(source)
        if view.nbytes != size or not view.c_contiguous:
            raise ValueError(f"a source has {view.nbytes} bytes, not {size} in a row")
    for row in rows:
        if len(row) != len(sources):
            raise ValueError(f"a row of {len(row)} coefficients does not fit {len(sources)} sources")
    if not sources:
        raise ValueError("nothing to combine")


def results(rows: Matrix, size: int, into: Sequence[memoryview], make: Callable[[int], bytearray]) -> list[Buffer]:
    """Where the results go: `into`, and what `make` makes for the rest. ValueError when `into` does not fit."""
    if len(into) > len(rows):
        raise ValueError(f"memory for {len(into)} results, but {len(rows)} rows")
    for given in into:
        if given.nbytes != size or given.readonly or not given.c_contiguous:
            raise ValueError(f"a result has {given.nbytes} bytes, not {size} in a row to be written")
    return [*into, *(make(size) for _ in range(len(rows) - len(into)))]
