"""Files that an operator writes or a disk gives back changed: configuration, keystore and accounts, names of pieces."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final
from unittest.mock import patch

from chain.dev.frames import another_frame_after, frame, scan
from chain.dev.genesis import load_genesis
from cli.sections import all_sections
from cli.sp_files import read_provider
from cli.testnet import layout
from piecestore.disk.layout import Layout, key_at
from signer.accounts import AccountBook
from signer.keystore import load, open_keystore
from signer.sealing import KEY_BYTES, Stretching
from sp.domain.errors import ConfigError, KeystoreLocked
from sp.domain.pieces import parse_key
from sp.runtime.config import common, dump
from sp.runtime.config import load as load_config
from tests.fuzz.guard import attempt

DIR: Final = Path(tempfile.mkdtemp(prefix="fuzz-"))
SECTIONS: Final[Mapping[str, type]] = all_sections()


def config(raw: bytes) -> None:
    """Lines NAME=VALUE of the environment, a line ---, and the TOML."""
    first, _, text = raw.rpartition(b"---\n")
    environ = {}
    for line in first.decode("utf-8", "surrogateescape").splitlines():
        name, equals, value = line.partition("=")
        if equals and "\0" not in line:
            environ[name] = value
    path = DIR / "sp.toml"
    path.write_bytes(text)
    try:
        file = load_config(path, environ)
        written = dump(file, SECTIONS)
        common(file)
    except ConfigError as error:
        str(error)
        return
    path.write_text(written, encoding="utf-8")
    again = load_config(path, {})
    for name, kind in SECTIONS.items():
        if "***" not in written:
            assert again.section(name, kind) == file.section(name, kind)


class _Quick(Stretching):
    """A key without the seconds that it is meant to cost."""

    def key(self, password: str) -> bytes:
        return password.encode("utf-8", "surrogateescape")[:1].ljust(KEY_BYTES, b"k")


def keystore(raw: bytes) -> None:
    """The keystore's file, one account's, and the password's."""
    path = DIR / "keys.json"
    path.write_bytes(raw)
    with_quick_keys(lambda: open_keystore(path, "p"))
    password = DIR / "password"
    password.write_bytes(raw)
    with_quick_keys(lambda: load(path, password, {}))
    accounts = DIR / "accounts"
    accounts.mkdir(exist_ok=True)
    (accounts / "name.json").write_bytes(raw)
    try:
        book = AccountBook(accounts, bytes(KEY_BYTES), bytes)
        for account in book.accounts():
            book.secret_of(account.access_key_id)
            book.private_key_of(account.address)
    except (ConfigError, KeystoreLocked) as error:
        str(error)


def with_quick_keys(open_it: Callable[[], object]) -> None:
    """Only its bounds matter here, not the time that a key takes."""
    with patch("signer.keystore.Stretching", _Quick):
        try:
            open_it()
        except (ConfigError, KeystoreLocked) as error:
            str(error)


def documents(raw: bytes) -> None:
    """The other JSON files of a network's folder."""
    for name, read in (
        ("genesis.json", lambda: load_genesis(DIR / "genesis.json")),
        ("provider.json", lambda: read_provider(DIR)),
        ("testnet.json", lambda: layout.load(DIR)),
    ):
        (DIR / name).write_bytes(raw)
        try:
            read()
        except ConfigError as error:
            str(error)


def disk(raw: bytes) -> None:
    """Names in the piece store's folders (its files are pieces and nothing else), and the chain's log of frames."""
    name = raw.decode("utf-8", "surrogateescape")
    root = Path("/pieces")
    if "\0" not in name:
        key_at(root / name)
    key = attempt(lambda: parse_key(name))
    if key is not None:
        path = Layout(root).path(key)
        assert path.is_relative_to(root)
        assert ".." not in path.parts
        assert key_at(path) == key
    payloads, end = scan(raw)
    assert b"".join(frame(payload) for payload in payloads) == raw[:end]
    another_frame_after(raw, end)
