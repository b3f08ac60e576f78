"""Bytes where they lie: how the kernels reach memory without copying it."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

Buffer = bytes | bytearray | memoryview
"""Contiguous bytes. None of them is copied on its way into a hash or an erasure-code kernel."""

_PyBUF_SIMPLE: Final = 0
_PyBUF_WRITABLE: Final = 1


class _PyBuffer(ctypes.Structure):
    """CPython's `Py_buffer`, part of the stable ABI since 3.11 (Include/pybuffer.h)."""

    _fields_ = (
        ("buf", ctypes.c_void_p),
        ("obj", ctypes.c_void_p),  # owned: PyBuffer_Release gives it back
        ("len", ctypes.c_ssize_t),
        ("itemsize", ctypes.c_ssize_t),
        ("readonly", ctypes.c_int),
        ("ndim", ctypes.c_int),
        ("format", ctypes.c_void_p),
        ("shape", ctypes.c_void_p),
        ("strides", ctypes.c_void_p),
        ("suboffsets", ctypes.c_void_p),
        ("internal", ctypes.c_void_p),
    )


# Prototypes of our own: the functions on ctypes.pythonapi are shared by everyone who sets their argtypes.
_get_buffer = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object, ctypes.POINTER(_PyBuffer), ctypes.c_int)(
    ("PyObject_GetBuffer", ctypes.pythonapi)
)
_release_buffer = ctypes.PYFUNCTYPE(None, ctypes.POINTER(_PyBuffer))(("PyBuffer_Release", ctypes.pythonapi))
_new_bytearray = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_ssize_t)(
    ("PyByteArray_FromStringAndSize", ctypes.pythonapi)
)


def unwritten(size: int) -> bytearray:
    """A bytearray of `size` bytes that hold anything: the caller writes every one before it shows them to anyone.

    `bytearray(size)` would first clear them, which costs as much as the encoding itself.
    """
    made: bytearray = _new_bytearray(None, size)
    return made


@contextmanager
def addresses(buffers: Sequence[Buffer], *, writable: bool = False) -> Iterator[ctypes.Array[ctypes.c_void_p]]:
    """A C array of pointers to the first byte of each buffer, valid inside the `with` only.

    While it is open the memory can be neither freed nor resized. Raises BufferError for a buffer that is not
    contiguous, or read-only where `writable` is asked for.
    """
    pinned: list[_PyBuffer] = []
    try:
        for buffer in buffers:
            view = _PyBuffer()
            _get_buffer(buffer, view, _PyBUF_WRITABLE if writable else _PyBUF_SIMPLE)
            pinned.append(view)
        yield (ctypes.c_void_p * len(pinned))(*(view.buf for view in pinned))
    finally:
        for view in pinned:
            _release_buffer(view)
