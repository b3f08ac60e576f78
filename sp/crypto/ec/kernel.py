"""What an erasure-code kernel promises. Which combinations to make is sp.domain.erasure's matter."""

from __future__ import annotations

from collections.abc import Sequence
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

    def combine(self, rows: Matrix, sources: Sequence[Buffer], size: int) -> list[bytearray]:
        """For each row, the sum over j of row[j] * sources[j], byte by byte, in GF(2^8) with polynomial 0x11d.

        sources: one buffer of exactly `size` bytes per coefficient; never written, never copied whole.
        Returns one new bytearray of `size` bytes per row. Raises ValueError when the shapes do not fit.
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
