"""Erasure-code kernels: linear combinations over GF(2^8) of long byte strings."""

from sp.crypto.ec.kernel import Kernel, KernelUnavailable
from sp.crypto.ec.selection import best_kernel, kernel

__all__ = ["Kernel", "KernelUnavailable", "best_kernel", "kernel"]
