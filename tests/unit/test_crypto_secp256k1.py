from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sp.crypto.hashing import keccak256
from sp.crypto.private import PrivateKey
from sp.crypto.secp256k1 import recover_address, recover_public_key, verify
from sp.domain.addresses import signer_of
from tests.vectors import load

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
KEY = PrivateKey.from_bytes(b"\1" * 32)
DIGEST = keccak256(b"message")
ECDSA_REQUESTS = [each for each in load("auth_vectors.json") if "ed25519_seed_hex" not in each]
SEAL_TX: dict[str, Any] = load("signdoc_vectors.json")["seal_object_tx_eip712"]


def twin(signature: bytes) -> bytes:
    """The other valid signature of the same key: s negated, v flipped."""
    s = ORDER - int.from_bytes(signature[32:64], "big")
    return signature[:32] + s.to_bytes(32, "big") + bytes([signature[64] ^ 1])


@pytest.mark.parametrize("request_", ECDSA_REQUESTS, ids=lambda each: each["name"])
def test_a_request_signed_by_an_sdk_recovers_to_its_signer(request_: dict[str, Any]) -> None:
    digest, signature = bytes.fromhex(request_["message_hash_hex"]), bytes.fromhex(request_["signature_hex"])
    assert recover_address(digest, signature) == request_["signer"]
    assert KEY.sign(digest) == signature


@pytest.mark.parametrize("fork", ["pre_altai", "altai"])
def test_a_transaction_signed_with_v_27_or_28_recovers_to_its_signer(fork: str) -> None:
    digest, signature = bytes.fromhex(SEAL_TX[fork]["digest"]), bytes.fromhex(SEAL_TX[fork]["signature_r_s_v27"])
    assert signature[64] in (27, 28)
    assert recover_address(digest, signature) == KEY.address
    assert recover_public_key(digest, signature) == KEY.public_key


@settings(max_examples=50)
@given(st.integers(1, ORDER - 1), st.binary(min_size=32, max_size=32))
def test_whatever_a_key_signs_recovers_to_its_address_and_verifies(secret: int, digest: bytes) -> None:
    key = PrivateKey.from_bytes(secret.to_bytes(32, "big"))
    signature = key.sign(digest)
    assert recover_address(digest, signature) == key.address
    assert verify(digest, signature, key.public_key)
    assert verify(digest, signature[:64], key.public_key)


def test_a_signature_over_another_digest_names_someone_else() -> None:
    signature = KEY.sign(DIGEST)
    assert recover_address(keccak256(b"another"), signature) != KEY.address
    assert not verify(keccak256(b"another"), signature, KEY.public_key)
    assert not verify(DIGEST, signature, PrivateKey.from_bytes(b"\2" * 32).public_key)


def test_a_high_s_recovers_as_in_go_but_does_not_verify() -> None:
    signature = twin(KEY.sign(DIGEST))
    assert recover_address(DIGEST, signature) == KEY.address
    assert not verify(DIGEST, signature, KEY.public_key)


SIGNATURE = KEY.sign(DIGEST)
MALFORMED = {
    "empty": (DIGEST, b""),
    "without v": (DIGEST, SIGNATURE[:64]),
    "too long": (DIGEST, SIGNATURE + b"\0"),
    "v of 255": (DIGEST, SIGNATURE[:64] + b"\xff"),
    "r of 0": (DIGEST, bytes(32) + SIGNATURE[32:]),
    "s of 0": (DIGEST, SIGNATURE[:32] + bytes(32) + SIGNATURE[64:]),
    "r of the group order": (DIGEST, ORDER.to_bytes(32, "big") + SIGNATURE[32:]),
    "s of the group order": (DIGEST, SIGNATURE[:32] + ORDER.to_bytes(32, "big") + SIGNATURE[64:]),
    "r that is no x of the curve": (DIGEST, (5).to_bytes(32, "big") + SIGNATURE[32:]),
    "all ones": (DIGEST, b"\xff" * 64 + b"\0"),
    "no digest": (b"", SIGNATURE),
    "short digest": (DIGEST[:31], SIGNATURE),
    "long digest": (DIGEST + b"\0", SIGNATURE),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_signature_is_an_error_and_nobodys(case: str) -> None:
    digest, signature = MALFORMED[case]
    with pytest.raises(ValueError, match=r"."):
        recover_address(digest, signature)
    assert signer_of(digest, signature) is None


@pytest.mark.parametrize("v", [2, 3, 4, 26, 29, 30, 35, 255])
def test_a_v_that_no_wallet_writes_is_refused_as_such(v: int) -> None:
    with pytest.raises(ValueError, match=f"not {v}$"):
        recover_address(DIGEST, SIGNATURE[:64] + bytes([v]))


def test_verify_refuses_what_is_no_digest_signature_or_key() -> None:
    for digest, signature, key in (
        (DIGEST[:31], SIGNATURE, KEY.public_key),
        (DIGEST, SIGNATURE[:63], KEY.public_key),
        (DIGEST, SIGNATURE, KEY.public_key[:32]),
        (DIGEST, SIGNATURE, b"\2" + b"\xff" * 32),
    ):
        with pytest.raises(ValueError, match=r"."):
            verify(digest, signature, key)


def test_a_zero_signature_verifies_nothing() -> None:
    assert not verify(DIGEST, bytes(64), KEY.public_key)
    assert not verify(bytes(32), bytes(64), KEY.public_key)
