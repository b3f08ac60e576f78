from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from dataclasses import FrozenInstanceError, fields

import pytest

from sp.crypto.hashing import keccak256
from sp.crypto.private import PrivateKey

SECRET = bytes(range(1, 33))
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


def test_a_key_is_read_from_hex_with_or_without_0x() -> None:
    for text in (SECRET.hex(), "0x" + SECRET.hex(), SECRET.hex().upper()):
        assert PrivateKey.from_hex(text) == PrivateKey.from_bytes(SECRET)
        assert PrivateKey.from_hex(text).reveal_hex() == SECRET.hex()


@pytest.mark.parametrize("text", ["", "0x", SECRET.hex()[:-1], SECRET.hex() + "00", "z" * 64, SECRET.hex() + "\n"])
def test_text_that_is_no_key_is_refused_and_not_quoted(text: str) -> None:
    with pytest.raises(ValueError, match="64 hex digits") as refusal:
        PrivateKey.from_hex(text)
    assert not text or text not in str(refusal.value)


@pytest.mark.parametrize("secret", [b"", bytes(31), bytes(32), bytes(33), ORDER.to_bytes(32, "big"), b"\xff" * 32])
def test_bytes_that_are_no_scalar_are_refused(secret: bytes) -> None:
    with pytest.raises(ValueError, match=r"32 bytes|scalar"):
        PrivateKey.from_bytes(secret)


def test_a_key_never_prints_its_secret() -> None:
    key = PrivateKey.from_bytes(SECRET)
    for text in (repr(key), str(key), f"{key}", f"{[key]}", repr(fields(key))):
        assert SECRET.hex() not in text.lower()
    assert repr(key) == f"PrivateKey(address={key.address})"


def test_a_key_can_be_neither_changed_nor_pickled() -> None:
    key = PrivateKey.from_bytes(SECRET)
    with pytest.raises(FrozenInstanceError):
        key.address = "0x0"  # type: ignore[misc]  # that is the point
    with pytest.raises(TypeError, match="never leaves"):
        pickle.dumps(key)
    with pytest.raises(TypeError, match="never leaves"):
        copy.deepcopy(key)


def test_signing_is_deterministic_with_a_low_s_and_v_of_0_or_1() -> None:
    key = PrivateKey.from_bytes(SECRET)
    seen = set()
    for number in range(64):
        signature = key.sign(keccak256(bytes([number])))
        assert signature == PrivateKey.from_bytes(SECRET).sign(keccak256(bytes([number])))
        assert len(signature) == 65
        assert int.from_bytes(signature[32:64], "big") <= ORDER // 2
        seen.add(signature[64])
    assert seen == {0, 1}


def test_only_digests_of_32_bytes_are_signed() -> None:
    for size in (0, 31, 33):
        with pytest.raises(ValueError, match="32 bytes"):
            PrivateKey.from_bytes(SECRET).sign(bytes(size))


def test_a_new_key_comes_from_the_source_it_was_given() -> None:
    draws: Iterator[bytes] = iter([bytes(32), b"\xff" * 32, SECRET])
    asked: list[int] = []

    def source(size: int) -> bytes:
        asked.append(size)
        return next(draws)

    assert PrivateKey.generate(source) == PrivateKey.from_bytes(SECRET)
    assert asked == [32, 32, 32]


def test_a_source_that_is_not_random_is_given_up() -> None:
    with pytest.raises(ValueError, match="random source"):
        PrivateKey.generate(bytes)
