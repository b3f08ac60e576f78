"""Intel ISA-L through ctypes: the fastest kernel, some 25 GB/s a thread on one core with GFNI.

ctypes gives up the GIL for the call, so pieces of several objects are coded in parallel by threads.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from sp.crypto.buffers import Buffer, addresses, unwritten
from sp.crypto.ec.kernel import KernelUnavailable, Matrix, check_shapes, results

_TABLE_BYTES: Final = 32  # per coefficient, erasure_code.h; builds with GFNI use only 8 of them
_MAX_SIZE: Final = 2**31 - 1  # the length is a C int


class IsalKernel:
    """`ec_init_tables` and `ec_encode_data` of one and the same library: the table layout differs between builds.

    Raises KernelUnavailable when no library is found.
    """

    name: Final = "isal"

    def __init__(self) -> None:
        library = _load()
        self._init_tables = library.ec_init_tables
        self._init_tables.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_char_p]
        self._init_tables.restype = None
        self._encode = library.ec_encode_data
        self._encode.argtypes = [*[ctypes.c_int] * 3, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_void_p]
        self._encode.restype = None
        self._tables = lru_cache(maxsize=512)(self._expanded)  # at most a few per loss pattern, 192 bytes for 4+2

    def combine(
        self, rows: Matrix, sources: Sequence[Buffer], size: int, into: Sequence[memoryview] = ()
    ) -> list[Buffer]:
        check_shapes(rows, sources, size)
        if size > _MAX_SIZE:
            raise ValueError(f"{size} bytes are more than ISA-L takes at once")
        if not rows or not size:
            return results(rows, size, into, bytearray)
        tables = self._tables(bytes(coefficient for row in rows for coefficient in row), len(rows))
        combined = results(rows, size, into, unwritten)
        with addresses(sources) as readable, addresses(combined, writable=True) as writable:
            self._encode(size, len(sources), len(rows), tables, readable, writable)
        return combined

    def _expanded(self, coefficients: bytes, rows: int) -> ctypes.Array[ctypes.c_char]:
        tables = ctypes.create_string_buffer(_TABLE_BYTES * len(coefficients))
        self._init_tables(len(coefficients) // rows, rows, coefficients, tables)
        return tables


def _load() -> ctypes.CDLL:
    refusals = []
    for candidate in _candidates():
        try:
            library = ctypes.CDLL(candidate)
            if library.ec_init_tables and library.ec_encode_data:  # the look-up raises AttributeError
                return library
        except (OSError, AttributeError) as refusal:
            refusals.append(f"{candidate}: {refusal}")
    raise KernelUnavailable("no usable ISA-L: " + "; ".join(refusals))


def _candidates() -> Iterator[str]:
    """The library in pyeclib's wheel (without importing pyeclib, whose codes are not the network's); the system's."""
    spec = find_spec("pyeclib")
    for package in (spec and spec.submodule_search_locations) or ():
        bundled = Path(package).parent / "pyeclib.libs"
        yield from sorted(str(path) for path in bundled.glob("libisal*.so*"))
    yield "libisal.so.2"
