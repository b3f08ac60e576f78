"""Erasure coding byte by byte with reedsolo's own arithmetic: slow, and not one line in common with ours."""

from __future__ import annotations

from collections.abc import Sequence

import reedsolo

from sp.crypto.buffers import Buffer


def combine(rows: Sequence[Sequence[int]], sources: Sequence[Buffer], size: int) -> list[bytearray]:
    reedsolo.init_tables(prim=0x11D, generator=2, c_exp=8)
    combined = [bytearray(size) for _ in rows]
    for row, total in zip(rows, combined, strict=True):
        for coefficient, source in zip(row, sources, strict=True):
            for i, value in enumerate(source):
                total[i] ^= reedsolo.gf_mul(coefficient, value)
    return combined
