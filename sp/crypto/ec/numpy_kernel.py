"""numpy, for machines without ISA-L: 3 to 4 GB/s of payload for 4+2.

Horner's rule over the bits of the coefficients: doubling a whole block costs a few vector passes, and a sum of sources
that several rows need is made once. Blocks of 128 KiB stay in the second-level cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sp.crypto.buffers import Buffer, unwritten
from sp.crypto.ec.field import POLYNOMIAL
from sp.crypto.ec.kernel import Matrix, check_shapes

_BLOCK_BYTES: Final = 128 * 1024
_REDUCTION: Final = np.uint8(POLYNOMIAL & 0xFF)
_TOP_BIT: Final = np.uint8(7)

Block = NDArray[np.uint8]
Subset = int
"""Bit j set: source j is a term of the sum."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """sums: (subset, smaller subset made before, the one source it lacks), in the order to make them.
    levels: for each bit of the coefficients from the highest, the subset that each row adds there (0: nothing).
    """

    sums: tuple[tuple[Subset, Subset, Subset], ...]
    levels: tuple[tuple[Subset, ...], ...]


class NumpyKernel:
    name: Final = "numpy"

    def combine(self, rows: Matrix, sources: Sequence[Buffer], size: int) -> list[bytearray]:
        check_shapes(rows, sources, size)
        plan = _plan(tuple(tuple(row) for row in rows))
        combined = [unwritten(size) for _ in rows]
        inputs = [np.frombuffer(source, np.uint8) for source in sources]
        outputs = [np.frombuffer(output, np.uint8) for output in combined]
        block = min(size, _BLOCK_BYTES)
        scratch = np.empty((len(plan.sums) + 2 * len(rows), block), np.uint8)
        for start in range(0, size, _BLOCK_BYTES):
            stop = min(start + _BLOCK_BYTES, size)
            totals = _combine_block(plan, [each[start:stop] for each in inputs], scratch[:, : stop - start])
            for output, total in zip(outputs, totals, strict=True):
                output[start:stop] = total
        return combined


def _combine_block(plan: _Plan, sources: list[Block], scratch: Block) -> Block:
    """One row of the result per row of the matrix, in `scratch`."""
    sums: dict[Subset, Block] = {1 << j: source for j, source in enumerate(sources)}
    for place, (subset, smaller, lacking) in zip(scratch, plan.sums, strict=False):
        sums[subset] = np.bitwise_xor(sums[smaller], sums[lacking], out=place)
    totals, carries = np.split(scratch[len(plan.sums) :], 2)
    totals[:] = 0
    for depth, level in enumerate(plan.levels):
        if depth:
            _double(totals, carries)
        for total, subset in zip(totals, level, strict=True):
            if subset:
                np.bitwise_xor(total, sums[subset], out=total)
    return totals


def _double(values: Block, carries: Block) -> None:
    """Every byte of `values` times 2 in the field, in place. `carries` is room of the same shape."""
    np.right_shift(values, _TOP_BIT, out=carries)
    np.multiply(carries, _REDUCTION, out=carries)
    np.add(values, values, out=values)  # wraps: the top bit falls out, and comes back as the reduction
    np.bitwise_xor(values, carries, out=values)


@lru_cache(maxsize=512)
def _plan(rows: tuple[tuple[int, ...], ...]) -> _Plan:
    bits = max((coefficient for row in rows for coefficient in row), default=0).bit_length()
    levels = tuple(
        tuple(sum((coefficient >> bit & 1) << j for j, coefficient in enumerate(row)) for row in rows)
        for bit in reversed(range(bits))
    )
    sums: dict[Subset, tuple[Subset, Subset]] = {}
    for wanted in sorted({subset for level in levels for subset in level}, key=int.bit_count):
        have = max((made for made in sums if made & wanted == made), key=int.bit_count, default=wanted & -wanted)
        while have != wanted:
            lacking = (wanted ^ have) & -(wanted ^ have)
            sums.setdefault(have | lacking, (have, lacking))
            have |= lacking
    return _Plan(tuple((subset, *parts) for subset, parts in sums.items()), levels)
