from __future__ import annotations

import random
import threading
from collections.abc import Sequence

import pytest
import reedsolo
from hypothesis import given, settings
from hypothesis import strategies as st

from sp.crypto.buffers import Buffer, addresses, unwritten
from sp.crypto.ec import Kernel, KernelUnavailable, best_kernel, field, isal, kernel, selection
from sp.crypto.ec.kernel import Matrix
from sp.crypto.ec.reference import ReferenceKernel, checked
from sp.crypto.ec.schedule import schedule
from tests.unit import oracle

KERNELS = ("isal", "numpy", "reference")
PARITY = ((27, 28, 18, 20), (28, 27, 20, 18))


@pytest.fixture(params=KERNELS)
def ec(request: pytest.FixtureRequest) -> Kernel:
    return kernel(request.param)


elements = st.integers(0, 255)


@st.composite
def combinations(draw: st.DrawFn) -> tuple[list[list[int]], list[memoryview], int]:
    """Rows, sources that start at any address, and their size."""
    count, size = draw(st.integers(1, 12)), draw(st.integers(0, 70))
    rows = draw(st.lists(st.lists(elements, min_size=count, max_size=count), max_size=8))
    offset = draw(st.integers(0, 9))
    noise = random.Random(draw(st.integers(0, 2**32)))
    return rows, [memoryview(noise.randbytes(offset + size + 3))[offset : offset + size] for _ in range(count)], size


@pytest.mark.parametrize("name", KERNELS)
def test_a_kernel_computes_what_reedsolo_does_for_any_matrix_and_size(name: str) -> None:
    @settings(max_examples=80)
    @given(combinations())
    def agrees(case: tuple[list[list[int]], list[memoryview], int]) -> None:
        assert kernel(name).combine(*case) == oracle.combine(*case)

    agrees()


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 63, 65, 4097, 256 * 1024 - 1, 256 * 1024, 256 * 1024 + 1, 600_001])
def test_kernels_agree_on_sizes_around_their_block_and_vector_borders(size: int) -> None:
    noise = random.Random(size).randbytes(4 * size + 4)
    sources = [memoryview(noise)[j * size + j : (j + 1) * size + j] for j in range(4)]
    expected = ReferenceKernel().combine(PARITY, sources, size)
    for name in ("isal", "numpy"):
        assert kernel(name).combine(PARITY, sources, size) == expected


@pytest.mark.parametrize("given", [0, 1, 2])
def test_results_go_where_the_caller_says_and_nowhere_else(ec: Kernel, given: int) -> None:
    size = 1001
    sources = [random.Random(j).randbytes(size) for j in range(4)]
    room = bytearray(b"\xaa" * (given * size + 2))
    into = [memoryview(room)[1 + n * size : 1 + (n + 1) * size] for n in range(given)]
    combined = ec.combine(PARITY, sources, size, into)
    assert combined == oracle.combine(PARITY, sources, size)
    assert all(one is other for one, other in zip(combined, into, strict=False))
    assert (room[0], room[-1]) == (0xAA, 0xAA)
    assert [bytes(view) for view in into] == oracle.combine(PARITY, sources, size)[:given]


@pytest.mark.parametrize(
    "into",
    [
        [memoryview(bytearray(7))],
        [memoryview(bytes(8))],
        [memoryview(bytearray(16))[::2]],
        [memoryview(bytearray(8))] * 3,
    ],
    ids=["short", "read-only", "with gaps", "too many"],
)
def test_memory_for_results_that_does_not_fit_is_refused(ec: Kernel, into: list[memoryview]) -> None:
    with pytest.raises(ValueError, match="result"):
        ec.combine(PARITY, [bytes(8)] * 4, 8, into)


def test_the_networks_parity_takes_5_doublings_and_12_sums() -> None:
    steps = schedule(PARITY).steps
    assert [sum(step.right is None for step in steps), sum(step.right is not None for step in steps)] == [5, 12]


def test_every_product_of_two_field_elements_is_right(ec: Kernel) -> None:
    every = bytes(range(256))
    rows = [[coefficient] for coefficient in range(256)]
    assert ec.combine(rows, [every], 256) == oracle.combine(rows, [every], 256)


def test_sources_of_any_kind_give_the_same_and_stay_as_they_were(ec: Kernel) -> None:
    first, second = b"some bytes here", b"and others, too"
    expected = oracle.combine([[3, 200]], [first, second], 15)
    sources: Sequence[Buffer] = [bytearray(first), memoryview(bytearray(b"-" + second))[1:]]
    assert ec.combine([[3, 200]], sources, 15) == expected
    assert ec.combine([[3, 200]], [first, second], 15) == expected
    assert [bytes(source) for source in sources] == [first, second]


def test_a_result_is_new_memory_that_can_be_resized(ec: Kernel) -> None:
    source = bytearray(b"abc")
    (first,) = ec.combine([[1]], [source], 3)
    (second,) = ec.combine([[1]], [source], 3)
    assert isinstance(first, bytearray)
    first.append(0)
    source.append(0)  # raises BufferError if the kernel had kept hold of it
    assert second == b"abc"


@pytest.mark.parametrize(
    ("rows", "sources", "size"),
    [
        ([[1, 1]], [b"ab", b"c"], 2),
        ([[1, 1]], [b"ab", b"cde"], 2),
        ([[1]], [b"ab"], 3),
        ([[1, 2]], [b"ab"], 2),
        ([[1], [1, 2]], [b"ab"], 2),
        ([[1]], [b"ab", b"cd"], 2),
        ([[]], [], 2),
    ],
)
def test_shapes_that_do_not_fit_are_refused(ec: Kernel, rows: Matrix, sources: list[Buffer], size: int) -> None:
    with pytest.raises(ValueError, match=r"bytes, not|does not fit|nothing to combine"):
        ec.combine(rows, sources, size)


def test_memory_with_gaps_is_refused(ec: Kernel) -> None:
    gaps = memoryview(b"a-b-c-d-")[::2]
    with pytest.raises(ValueError, match="in a row"):
        ec.combine([[1]], [gaps], 4)


def test_a_buffer_can_not_be_resized_while_its_address_is_known_and_can_after() -> None:
    buffer = bytearray(b"abc")
    with addresses([buffer], writable=True) as pointers:
        assert pointers[0] is not None
        with pytest.raises(BufferError):
            buffer.append(0)
    buffer.append(0)
    with pytest.raises(BufferError), addresses([buffer, b"read-only"], writable=True):
        pytest.fail("a read-only buffer was opened for writing")
    buffer.append(0)  # the first of the two was given back


def test_unwritten_memory_has_the_size_asked_for() -> None:
    assert [len(unwritten(size)) for size in (0, 1, 4097)] == [0, 1, 4097]


def test_one_kernel_serves_many_threads_at_once(ec: Kernel) -> None:
    size = 20_000
    jobs = [[random.Random(10 * seed + j).randbytes(size) for j in range(4)] for seed in range(4)]
    expected = [ReferenceKernel().combine(PARITY, sources, size) for sources in jobs]
    wrong: list[int] = []

    def work(number: int) -> None:
        if any(ec.combine(PARITY, jobs[number], size) != expected[number] for _ in range(5)):
            wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(jobs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_the_best_kernel_is_isal_where_its_library_is() -> None:
    assert best_kernel().name == "isal"
    assert best_kernel() is kernel("isal")


def test_a_name_that_is_no_kernel_is_refused() -> None:
    with pytest.raises(ValueError, match="'cauchy'"):
        kernel("cauchy")


def test_numpy_takes_over_when_no_isal_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isal, "_candidates", lambda: iter(["/nowhere/libisal.so.2"]))
    monkeypatch.setattr(selection, "kernel", selection.kernel.__wrapped__)
    assert selection.best_kernel.__wrapped__().name == "numpy"
    with pytest.raises(KernelUnavailable, match="/nowhere/libisal"):
        selection.kernel("isal")


def test_a_library_without_the_coder_is_no_isal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isal, "_candidates", lambda: iter(["libc.so.6"]))
    with pytest.raises(KernelUnavailable, match="ec_init_tables"):
        isal.IsalKernel()


@pytest.mark.parametrize("wrong_size", [1, 64, 1031])
def test_a_kernel_that_is_wrong_by_one_byte_is_not_used(wrong_size: int) -> None:
    class OneByteOff(ReferenceKernel):
        def combine(
            self, rows: Matrix, sources: Sequence[Buffer], size: int, into: Sequence[memoryview] = ()
        ) -> list[Buffer]:
            combined = super().combine(rows, sources, size, into)
            if size == wrong_size and len(rows) == 7:
                memoryview(combined[6])[-1] ^= 1
            return combined

    with pytest.raises(KernelUnavailable, match=f"computes wrongly .*{wrong_size} bytes"):
        checked(OneByteOff())


def test_the_field_is_reedsolos_and_stays_so_when_that_is_set_to_another() -> None:
    reedsolo.init_tables(prim=0x11D, generator=2, c_exp=8)
    products = [[reedsolo.gf_mul(a, b) for b in range(256)] for a in range(256)]
    reedsolo.init_tables(prim=0x187, generator=2, c_exp=8)
    try:
        assert [[field.multiply(a, b) for b in range(256)] for a in range(256)] == products
    finally:
        reedsolo.init_tables(prim=0x11D, generator=2, c_exp=8)


def test_inverse_and_power_agree_with_multiplication() -> None:
    for a in range(1, 256):
        assert field.multiply(a, field.inverse(a)) == 1
        raised = 1
        for exponent in range(20):
            assert field.power(a, exponent) == raised
            raised = field.multiply(raised, a)
    assert [field.power(0, exponent) for exponent in range(3)] == [1, 0, 0]
    with pytest.raises(ZeroDivisionError):
        field.inverse(0)


@settings(max_examples=50)
@given(
    st.integers(1, 6).flatmap(lambda n: st.lists(st.lists(elements, min_size=n, max_size=n), min_size=n, max_size=n))
)
def test_a_matrix_times_its_inverse_is_the_identity_or_it_has_none(rows: list[list[int]]) -> None:
    matrix = [tuple(row) for row in rows]
    try:
        inverse = field.inverted(matrix)
    except ZeroDivisionError:
        assert not _independent(rows)
    else:
        assert field.product(matrix, inverse) == field.identity(len(rows))
        assert field.product(inverse, matrix) == field.identity(len(rows))


def _independent(rows: list[list[int]]) -> bool:
    """Whether no row is a combination of the others, by elimination down each row's first non-zero place."""
    left = [list(row) for row in rows]
    while left:
        row = left.pop()
        place = next((i for i, value in enumerate(row) if value), None)
        if place is None:
            return False
        for other in left:
            factor = reedsolo.gf_div(other[place], row[place])
            for i, value in enumerate(row):
                other[i] ^= reedsolo.gf_mul(factor, value)
    return True
