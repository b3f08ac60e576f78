"""Where a secret can be read: in any of the forms in which one gets into a log or a file."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from signer.accounts import AccountBook
from signer.keystore import open_keystore

LEAST_CHARS = 16
"""Shorter texts are found by chance."""


def forms(secret: str | bytes) -> set[bytes]:
    """As it is, in hex, base64, percent-encoded, and as Python shows bytes."""
    raw = secret.encode() if isinstance(secret, str) else secret
    texts = {raw, raw.hex().encode(), raw.hex().upper().encode(), base64.b64encode(raw), base64.urlsafe_b64encode(raw)}
    texts |= {repr(raw)[2:-1].encode(), quote(raw, safe="").encode()}
    if isinstance(secret, str) and len(secret) == 64 and not set(secret) - set("0123456789abcdef"):
        texts |= forms(bytes.fromhex(secret))
    return {text for text in texts if len(text) >= LEAST_CHARS}


@dataclass
class Secrets:
    """What must not be seen, by a name for the message of a failed test."""

    known: dict[str, str | bytes] = field(default_factory=dict)

    def add(self, name: str, secret: str | bytes) -> None:
        assert len(secret) >= LEAST_CHARS, name
        self.known[name] = secret

    def add_provider(self, name: str, keystore: Path, password_file: Path, accounts: Path) -> None:
        """All keys of one provider: its five, the one that seals its accounts, and those of the accounts."""
        password = password_file.read_text().partition("\n")[0]
        self.add(f"{name} password", password)
        opened = open_keystore(keystore, password)
        self.add(f"{name} account key", opened.account_key)
        for role, key in opened.keys.items():
            self.add(f"{name} {role} key", key.reveal_hex().removeprefix("0x"))
        book = AccountBook(accounts, opened.account_key, bytes)
        for account in book.accounts():
            self.add(f"{name} secret of {account.name}", book.secret_of(account.access_key_id))
            self.add(f"{name} key of {account.name}", book.private_key_of(account.address).reveal_hex()[-64:])

    def add_authorization(self, value: str) -> None:
        """Of a request: the header, and the signature in it."""
        self.add(f"header {len(self.known)}", value)
        signature = value.rpartition("Signature=")[2] if "Signature=" in value else value.rpartition(":")[2]
        self.add(f"signature {len(self.known)}", signature.strip())

    def seen_in(self, texts: Mapping[str, bytes]) -> list[str]:
        """Which secret stands where."""
        wanted = {name: forms(secret) for name, secret in self.known.items()}
        return [
            f"{name} in {where}"
            for where, text in texts.items()
            for name, spelt in wanted.items()
            if any(form in text for form in spelt)
        ]


def files_below(folders: Iterable[Path], leave_out: frozenset[str] = frozenset()) -> dict[str, bytes]:
    """Every regular file, but for those of these names."""
    return {
        str(path): path.read_bytes()
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file() and path.name not in leave_out
    }
