from __future__ import annotations

import hashlib

import pytest

from sp.crypto.buffers import Buffer
from sp.crypto.hashing import keccak256, sha256


@pytest.mark.parametrize(
    ("message", "digest"),
    [
        (b"", "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"),
        (b"abc", "4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45"),
    ],
)
def test_keccak256_is_the_hash_of_ethereum_and_not_sha3(message: bytes, digest: str) -> None:
    assert keccak256(message).hex() == digest
    assert keccak256(message) != hashlib.sha3_256(message).digest()


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_a_hash_depends_on_the_bytes_and_not_on_what_holds_them(kind: type[Buffer]) -> None:
    message = bytes(range(256)) * 17
    assert sha256(kind(message)) == hashlib.sha256(message).digest()
    assert keccak256(kind(message)) == keccak256(message)
    assert sha256(memoryview(message)[5:1000]) == sha256(message[5:1000])
    assert keccak256(memoryview(message)[5:1000]) == keccak256(message[5:1000])
