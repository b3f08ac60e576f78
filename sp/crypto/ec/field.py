"""GF(2^8) with polynomial 0x11d and generator 2, and small matrices over it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import reedsolo

Row = tuple[int, ...]
Matrix = tuple[Row, ...]

POLYNOMIAL: Final = 0x11D
GENERATOR: Final = 2
ORDER: Final = 256


def _tables() -> tuple[bytes, bytes]:
    """reedsolo's logarithms and powers, copied.

    reedsolo keeps its tables in globals that every `init_tables` and `RSCodec` replaces, half-filled at first: using
    them in place would not be safe beside another thread. Runs once, under the import lock, in 0.1 ms.
    """
    logarithms, powers, _ = reedsolo.init_tables(prim=POLYNOMIAL, generator=GENERATOR, c_exp=8)
    return bytes(logarithms), bytes(powers)


_LOG, _EXP = _tables()


def multiply(a: int, b: int) -> int:
    return _EXP[_LOG[a] + _LOG[b]] if a and b else 0


def inverse(a: int) -> int:
    """ZeroDivisionError for 0."""
    if a == 0:
        raise ZeroDivisionError("0 has no inverse")
    return _EXP[(ORDER - 1) - _LOG[a]]


def power(a: int, exponent: int) -> int:
    """a to an exponent from 0; 0 to the 0 is 1."""
    if exponent == 0:
        return 1
    return _EXP[_LOG[a] * exponent % (ORDER - 1)] if a else 0


def identity(size: int) -> Matrix:
    return tuple(tuple(int(row == column) for column in range(size)) for row in range(size))


def product(left: Sequence[Row], right: Sequence[Row]) -> Matrix:
    """left x right. left: rows of n coefficients; right: n rows."""
    columns = list(zip(*right, strict=True))
    return tuple(tuple(_dot(row, column) for column in columns) for row in left)


def inverted(matrix: Sequence[Row]) -> Matrix:
    """The inverse of a square matrix by Gauss-Jordan elimination. ZeroDivisionError when it is singular."""
    size = len(matrix)
    work = [[*row, *unit] for row, unit in zip(matrix, identity(size), strict=True)]
    for column in range(size):
        pivot = next((r for r in range(column, size) if work[r][column]), column)
        work[column], work[pivot] = work[pivot], work[column]
        scale = inverse(work[column][column])
        work[column] = [multiply(scale, value) for value in work[column]]
        for r in range(size):
            if r != column and work[r][column]:
                factor = work[r][column]
                work[r] = [value ^ multiply(factor, lead) for value, lead in zip(work[r], work[column], strict=True)]
    return tuple(tuple(row[size:]) for row in work)


def _dot(row: Sequence[int], column: Sequence[int]) -> int:
    total = 0
    for a, b in zip(row, column, strict=True):
        total ^= multiply(a, b)
    return total
