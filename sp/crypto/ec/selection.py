"""Which kernel runs here."""

from __future__ import annotations

from functools import cache
from typing import Final

from sp.crypto.ec.isal import IsalKernel
from sp.crypto.ec.kernel import Kernel, KernelUnavailable
from sp.crypto.ec.reference import ReferenceKernel, checked

KERNELS: Final = ("isal", "numpy", "reference")
"""Fastest first. The reference is for comparing, at 10 MB/s: it is never chosen by itself."""


@cache
def kernel(name: str) -> Kernel:
    """The kernel of this name, made and checked once in a process.

    Raises KernelUnavailable, with the reason, when it cannot run here; ValueError for a name not in KERNELS.
    """
    if name == "isal":
        return checked(IsalKernel())
    if name == "numpy":
        return checked(_numpy_kernel())
    if name == "reference":
        return ReferenceKernel()
    raise ValueError(f"no erasure-code kernel is called {name!r}: use one of {', '.join(KERNELS)}")


@cache
def best_kernel() -> Kernel:
    """The faster of ISA-L and numpy that works here; its `name` says which. KernelUnavailable when neither does."""
    try:
        return kernel("isal")
    except KernelUnavailable as isal_refused:
        try:
            return kernel("numpy")
        except KernelUnavailable as numpy_refused:
            raise KernelUnavailable(f"{isal_refused}; {numpy_refused}") from numpy_refused


def _numpy_kernel() -> Kernel:
    try:
        from sp.crypto.ec.numpy_kernel import NumpyKernel  # takes 50 ms: only where it is needed
    except ImportError as missing:
        raise KernelUnavailable(f"numpy: {missing}") from missing
    return NumpyKernel()
