"""Custodial accounts: chain keys and S3 secrets that this provider keeps for its users, one sealed file each.

    <name>.json  {"version": 1, "name": ..., "address": "0x...", "access_key_id": ..., "created_at_s": ...,
                  "private_key": sealed hex, "secret_access_key": sealed hex}

A file per account: creating one is one atomic write, and ten thousand accounts are never rewritten.
"""

from __future__ import annotations

import base64
import hmac
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from signer.client import CustodialAccount
from signer.files import write_whole
from signer.sealing import RandomBytes, seal, unseal
from sp.crypto.private import PrivateKey
from sp.domain.addresses import parse_address
from sp.domain.errors import ConfigError, InvalidRequest, KeystoreLocked, NoSuchAccount, SpError
from sp.domain.ids import Address

_VERSION: Final = 1
_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?")
_ACCESS_KEY_ID: Final = re.compile(r"[A-Za-z0-9_]{3,128}")
_SECRET: Final = re.compile(r"[\x21-\x7e]{8,128}")


@dataclass(frozen=True, slots=True)
class _Entry:
    """An account as its file has it; the secrets still sealed."""

    account: CustodialAccount
    private_key: str = field(repr=False)
    secret_access_key: str = field(repr=False)


class AccountBook:
    """All accounts of one directory, in memory by name, address and access key id; secrets are unsealed per use.

    One Signer owns the directory. `add` blocks on the disk; not for two threads at once.
    """

    def __init__(self, directory: Path, account_key: bytes, random_bytes: RandomBytes) -> None:
        """Reads every file (blocks). ConfigError for one that is no account."""
        self._directory = directory
        self._key = account_key
        self._random_bytes = random_bytes
        self._by_name: dict[str, _Entry] = {}
        self._by_address: dict[Address, _Entry] = {}
        self._by_access_key: dict[str, _Entry] = {}
        for path in sorted(directory.glob("[!.]*.json")):
            self._index(_read(path))

    def accounts(self) -> list[CustodialAccount]:
        """In order of creation."""
        return sorted((e.account for e in self._by_name.values()), key=lambda a: (a.created_at_s, a.name))

    def by_access_key(self, access_key_id: str) -> CustodialAccount:
        """NoSuchAccount."""
        return self._entry(access_key_id).account

    def secret_of(self, access_key_id: str) -> str:
        """NoSuchAccount; KeystoreLocked when it was sealed under another keystore, or its file is damaged."""
        entry = self._entry(access_key_id)
        return self._unseal(entry, "secret", entry.secret_access_key).decode()

    def private_key_of(self, address: Address) -> PrivateKey:
        """NoSuchAccount; KeystoreLocked when it was sealed under another keystore, or its file is damaged."""
        entry = self._by_address.get(address)
        if entry is None:
            raise NoSuchAccount(address)
        return PrivateKey.from_bytes(self._unseal(entry, "key", entry.private_key))

    def new_access_key(self) -> tuple[str, str]:
        """An id ("GNFD" and 80 random bits) and a secret (240 random bits), both not used before."""
        access_key_id = "GNFD" + base64.b32encode(self._random_bytes(10)).decode()
        return access_key_id, base64.urlsafe_b64encode(self._random_bytes(30)).decode()

    def check_new(self, name: str, key: PrivateKey, access_key_id: str, secret: str) -> CustodialAccount | None:
        """None when this can be added; the account when exactly it is there already. InvalidRequest otherwise."""
        _check_words(name, access_key_id, secret)
        present = self._by_name.get(name)
        if present is None:
            if access_key_id in self._by_access_key:
                raise InvalidRequest("this access key id belongs to another account")
            if key.address in self._by_address:
                raise InvalidRequest("this chain account is kept under another name")
            return None
        account = present.account
        same = account.address == key.address and account.access_key_id == access_key_id
        if not (same and hmac.compare_digest(self.secret_of(access_key_id).encode(), secret.encode())):
            raise InvalidRequest(f"there is an account named {name!r} already")
        return account

    def add(self, account: CustodialAccount, key: PrivateKey, secret: str) -> None:
        """Durable when it returns. `check_new` has said None. InvalidRequest when another process took the name."""
        entry = _Entry(
            account,
            seal(self._key, _label("key", account), bytes.fromhex(key.reveal_hex()), self._random_bytes),
            seal(self._key, _label("secret", account), secret.encode(), self._random_bytes),
        )
        try:
            write_whole(self._directory / f"{account.name}.json", _written(entry), replace=False)
        except FileExistsError as error:
            raise InvalidRequest(f"there is an account named {account.name!r} already") from error
        self._index(entry)

    def _entry(self, access_key_id: str) -> _Entry:
        if access_key_id not in self._by_access_key:
            raise NoSuchAccount(access_key_id[:128])
        return self._by_access_key[access_key_id]

    def _unseal(self, entry: _Entry, what: str, sealed: str) -> bytes:
        try:
            return unseal(self._key, _label(what, entry.account), sealed)
        except ValueError as error:  # NotThisKey is one; the others are of a file that was damaged
            raise KeystoreLocked(f"account {entry.account.name}") from error

    def _index(self, entry: _Entry) -> None:
        self._by_name[entry.account.name] = entry
        self._by_address[entry.account.address] = entry
        self._by_access_key[entry.account.access_key_id] = entry


def _check_words(name: str, access_key_id: str, secret: str) -> None:
    if not _NAME.fullmatch(name):
        raise InvalidRequest("an account's name is 1 to 63 of a-z 0-9 . _ - and starts and ends with a letter or digit")
    if not _ACCESS_KEY_ID.fullmatch(access_key_id):
        raise InvalidRequest("an access key id is 3 to 128 letters, digits or _")
    if not _SECRET.fullmatch(secret):
        raise InvalidRequest("a secret access key is 8 to 128 visible ASCII characters")


def _label(what: str, account: CustodialAccount) -> str:
    return f"greenfield-sp account 1: {what} of {account.name} {account.address} {account.access_key_id}"


def _written(entry: _Entry) -> bytes:
    account = entry.account
    document = {
        "version": _VERSION,
        "name": account.name,
        "address": account.address,
        "access_key_id": account.access_key_id,
        "created_at_s": account.created_at_s,
        "private_key": entry.private_key,
        "secret_access_key": entry.secret_access_key,
    }
    return json.dumps(document, indent=1).encode()


def _read(path: Path) -> _Entry:
    try:
        document = json.loads(path.read_bytes())
        if document["version"] != _VERSION or document["name"] != path.stem:
            raise ValueError("other version or name")
        account = CustodialAccount(
            document["name"],
            parse_address(document["address"]),
            str(document["access_key_id"]),
            int(document["created_at_s"]),
        )
        return _Entry(account, str(document["private_key"]), str(document["secret_access_key"]))
    except (ValueError, KeyError, TypeError, SpError) as error:
        raise ConfigError("signer.accounts", f"{path.name} is no account: {error}") from error
