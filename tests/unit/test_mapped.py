from __future__ import annotations

import ctypes
from itertools import pairwise

import pytest

from piecestore.disk.direct_io import BlockPool
from piecestore.notes import BLOCK_BYTES
from sp.runtime.mapped import HUGE_PAGE_BYTES, mapped


def _address(memory: memoryview) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(memory))


@pytest.mark.parametrize("size_bytes", [1, HUGE_PAGE_BYTES, 5 * HUGE_PAGE_BYTES + 3])
def test_mapped_memory_begins_at_a_huge_page_and_holds_zeros(size_bytes: int) -> None:
    memory = mapped(size_bytes)
    assert _address(memory) % HUGE_PAGE_BYTES == 0
    assert memory == bytes(size_bytes)
    memory[-1] = 1
    assert memory[-1] == 1


def test_the_blocks_that_are_out_never_overlap_and_two_of_them_make_a_huge_page() -> None:
    pool = BlockPool()
    blocks = [pool.take() for _ in range(6)]
    assert {len(block) for block in blocks} == {BLOCK_BYTES}
    addresses = sorted(map(_address, blocks))
    assert all(high - low >= BLOCK_BYTES for low, high in pairwise(addresses))
    assert [address % HUGE_PAGE_BYTES for address in addresses] == [0, BLOCK_BYTES] * 3


def test_a_block_that_came_back_is_the_next_one_to_leave() -> None:
    pool = BlockPool()
    block = pool.take()
    pool.give(block)
    assert pool.take() is block
