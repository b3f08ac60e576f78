from __future__ import annotations

import coincurve
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sp.crypto.address import address_of_public_key, checksummed, parse_address
from sp.domain import addresses
from sp.domain.errors import InvalidRequest

EIP_55 = [  # the examples in the text of EIP-55
    "0x52908400098527886E0F7030069857D2E4169EE7",
    "0x8617E340B3D01FA5F11F306F4090FD50E238070D",
    "0xde709f2102306220921060314715629080e2fb77",
    "0x27b1fdb04752bbc536007a920d24acb045561c26",
    "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
    "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
    "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
    "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
]


@pytest.mark.parametrize("address", EIP_55)
def test_an_address_is_spelled_as_eip_55_says(address: str) -> None:
    assert checksummed(bytes.fromhex(address[2:])) == address
    assert parse_address(address) == address
    assert parse_address("0x" + address[2:].lower()) == address
    assert parse_address("0x" + address[2:].upper()) == address


@given(st.binary(min_size=20, max_size=20))
def test_an_address_round_trips_through_its_text(raw: bytes) -> None:
    assert bytes.fromhex(parse_address(checksummed(raw))[2:]) == raw


@given(st.binary(min_size=20, max_size=20), st.integers(0, 39))
def test_one_letter_in_the_wrong_case_is_noticed(raw: bytes, place: int) -> None:
    right = checksummed(raw)[2:]
    wrong = right[:place] + right[place].swapcase() + right[place + 1 :]
    if wrong == right or wrong in (wrong.lower(), wrong.upper()):
        assert parse_address("0x" + wrong) == "0x" + right
    else:
        with pytest.raises(ValueError, match="EIP-55"):
            parse_address("0x" + wrong)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0x",
        EIP_55[0][2:],
        EIP_55[0][:-1],
        EIP_55[0] + "0",
        EIP_55[0] + "\n",
        " " + EIP_55[0],
        "0X" + EIP_55[0][2:],
        "0x" + "g" * 40,
        "0x" + "٣" * 40,
    ],
)
def test_text_that_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not an address"):
        parse_address(text)
    with pytest.raises(InvalidRequest):
        addresses.parse_address(text)


def test_an_address_of_another_length_is_refused() -> None:
    for size in (0, 19, 21, 32):
        with pytest.raises(ValueError, match="20 bytes"):
            checksummed(bytes(size))


def test_both_spellings_of_a_public_key_have_one_address() -> None:
    key = coincurve.PrivateKey(b"\1" * 32).public_key
    assert address_of_public_key(key.format(compressed=True)) == "0x1a642f0E3c3aF545E7AcBD38b07251B3990914F1"
    assert address_of_public_key(key.format(compressed=False)) == "0x1a642f0E3c3aF545E7AcBD38b07251B3990914F1"


def test_bytes_that_are_no_public_key_have_no_address() -> None:
    point = coincurve.PrivateKey(b"\1" * 32).public_key.format(compressed=False)[1:]
    hybrid = bytes([6 + (point[-1] & 1)]) + point
    for wrong in (b"", point, hybrid, b"\2" * 32, b"\4" + bytes(64), b"\2" + b"\xff" * 32):
        with pytest.raises(ValueError, match="key"):
            address_of_public_key(wrong)
