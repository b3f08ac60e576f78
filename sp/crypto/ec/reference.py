"""The slow kernel, short enough to check by eye. The others are held to it before they are used."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from sp.crypto.buffers import Buffer
from sp.crypto.ec.field import ORDER, multiply
from sp.crypto.ec.kernel import Kernel, KernelUnavailable, Matrix, check_shapes, results

# Around the widths of vector registers (16, 32, 64 bytes), where tails are handled, and past a few of them.
_CHECKED_SIZES: Final = (1, 15, 16, 17, 31, 33, 63, 64, 65, 127, 200, 1031)
_CHECKED_SOURCES: Final = (1, 2, 4, 11)
_CHECKED_ROWS: Final = 7  # vector code takes up to six rows at a time


class ReferenceKernel:
    """Pure Python: a translation table per coefficient, sums as big integers."""

    name: Final = "reference"

    def combine(
        self, rows: Matrix, sources: Sequence[Buffer], size: int, into: Sequence[memoryview] = ()
    ) -> list[Buffer]:
        check_shapes(rows, sources, size)
        combined = results(rows, size, into, bytearray)
        for place, row in zip(combined, rows, strict=True):
            memoryview(place)[:] = _combined(row, sources, size)
        return combined


def _combined(row: Sequence[int], sources: Sequence[Buffer], size: int) -> bytearray:
    total = 0
    for coefficient, source in zip(row, sources, strict=True):
        total ^= int.from_bytes(bytes(source).translate(_products(coefficient)), "little")
    return bytearray(total.to_bytes(size, "little"))


@lru_cache(maxsize=ORDER)
def _products(coefficient: int) -> bytes:
    return bytes(multiply(coefficient, value) for value in range(ORDER))


def checked(kernel: Kernel) -> Kernel:
    """`kernel`, once it has agreed with the reference on every shape tried; KernelUnavailable when it has not.

    About 10 ms. A processor or a library build that computes wrongly must not touch a payload.
    """
    reference = ReferenceKernel()
    for count in _CHECKED_SOURCES:
        rows = [[(37 * row + 101 * column + 1) % ORDER for column in range(count)] for row in range(_CHECKED_ROWS)]
        for size in _CHECKED_SIZES:
            sources = [bytes((7 * i + 59 * j + i * j + 3) % ORDER for i in range(size)) for j in range(count)]
            for taken in (1, 2, _CHECKED_ROWS):
                if kernel.combine(rows[:taken], sources, size) != reference.combine(rows[:taken], sources, size):
                    raise KernelUnavailable(f"{kernel.name} computes wrongly ({taken} x {count}, {size} bytes)")
    return kernel
