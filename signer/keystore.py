"""The provider's five keys in one file, under a password.

    {"version": 1,
     "scrypt": {"salt": hex, "log2_n": 15, "r": 8, "p": 3},
     "keys": {"operator": {"address": "0x...", "sealed": hex}, "funding": ..., "seal": ..., "approval": ..., "gc": ...},
     "account_key": hex}                      random; seals the custodial accounts; sealed itself under the password

Environment variables (SIGNER_OPERATOR_PRIV_KEY, ...) override single keys; with all five of them no file is needed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from signer.client import SpKeys
from signer.files import write_whole
from signer.sealing import KEY_BYTES, NotThisKey, RandomBytes, Stretching, seal, unseal
from sp.crypto.private import PrivateKey
from sp.domain.errors import ConfigError, KeystoreLocked
from sp.domain.ids import Address

ROLES: Final = ("operator", "funding", "seal", "approval", "gc")
PASSWORD_VARIABLE: Final = "SP_KEYSTORE_PASSWORD"  # noqa: S105 - a name, not a password
_VERSION: Final = 1
_ACCOUNT_LABEL: Final = "greenfield-sp keystore 1: account key"


@dataclass(frozen=True, slots=True)
class Keystore:
    """Opened: the keys by role, and the key under which custodial accounts are sealed. Prints no secret."""

    keys: Mapping[str, PrivateKey]
    account_key: bytes = field(repr=False)

    @property
    def addresses(self) -> SpKeys:
        return SpKeys(**{role: Address(self.keys[role].address) for role in ROLES})


def create_keystore(
    path: Path, password: str, random_bytes: RandomBytes, *, stretching: Stretching | None = None
) -> SpKeys:
    """Five new keys in a new file, mode 0600. Blocks (scrypt, fsync). ConfigError when the file exists already."""
    opened = Keystore({role: PrivateKey.generate(random_bytes) for role in ROLES}, random_bytes(KEY_BYTES))
    stretching = stretching or Stretching(random_bytes(16))
    content = json.dumps(_document(opened, stretching, password, random_bytes), indent=1).encode()
    try:
        write_whole(path, content, replace=False)
    except FileExistsError as error:
        raise ConfigError("signer.keystore", f"{path.name} exists already") from error
    return opened.addresses


def open_keystore(path: Path, password: str) -> Keystore:
    """Blocks (scrypt). KeystoreLocked for a wrong password or a changed file; ConfigError when it is none or absent."""
    try:
        document = json.loads(path.read_bytes())
        if document["version"] != _VERSION:
            raise ValueError(f"version {document['version']} is not known")
        scrypt = document["scrypt"]
        stretching = Stretching(bytes.fromhex(scrypt["salt"]), scrypt["log2_n"], scrypt["r"], scrypt["p"])
        return _unsealed(document, stretching.key(password))
    except NotThisKey as error:
        raise KeystoreLocked(path.name) from error
    except FileNotFoundError as error:
        raise ConfigError("signer.keystore", f"there is no {path.name}: make it with `sp init`") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError("signer.keystore", f"{path.name} is no keystore: {error}") from error


def from_environment(environ: Mapping[str, str]) -> dict[str, PrivateKey]:
    """The keys that SIGNER_<ROLE>_PRIV_KEY variables give, by role. ConfigError, which does not quote the value."""
    found = {}
    for role in ROLES:
        name = f"SIGNER_{role.upper()}_PRIV_KEY"
        if text := environ.get(name, "").strip():
            try:
                found[role] = PrivateKey.from_hex(text)
            except ValueError as error:
                raise ConfigError(name, str(error)) from error
    return found


def load(path: Path, password_file: Path | None, environ: Mapping[str, str]) -> Keystore:
    """The keystore with the environment's keys laid over it; of the environment alone where that holds all five and
    there is no file. Blocks. ConfigError, KeystoreLocked."""
    given = from_environment(environ)
    if len(given) == len(ROLES) and not path.exists():
        return Keystore(given, _account_key_of(given["operator"]))
    opened = open_keystore(path, _password(password_file, environ))
    return replace(opened, keys={**opened.keys, **given})


def _password(password_file: Path | None, environ: Mapping[str, str]) -> str:
    if password_file is None:
        if PASSWORD_VARIABLE not in environ:
            raise ConfigError("signer.password_file", f"name a file, or set {PASSWORD_VARIABLE}")
        return environ[PASSWORD_VARIABLE]
    try:
        return password_file.read_text("utf-8").partition("\n")[0].rstrip("\r")
    except UnicodeDecodeError as error:
        raise ConfigError("signer.password_file", f"{password_file.name} is not UTF-8") from error
    except OSError as error:
        raise ConfigError("signer.password_file", f"{password_file.name}: {error.strerror}") from error


def _account_key_of(operator: PrivateKey) -> bytes:
    """Without a file there is nowhere to keep a random one: derived, so the same operator key opens its accounts."""
    secret = bytes.fromhex(operator.reveal_hex())
    return HKDF(SHA256(), length=KEY_BYTES, salt=None, info=_ACCOUNT_LABEL.encode()).derive(secret)


def _document(opened: Keystore, stretching: Stretching, password: str, random_bytes: RandomBytes) -> dict[str, object]:
    key = stretching.key(password)
    return {
        "version": _VERSION,
        "scrypt": {
            "salt": stretching.salt.hex(),
            "log2_n": stretching.log2_n,
            "r": stretching.r,
            "p": stretching.p,
        },
        "keys": {
            role: {
                "address": private.address,
                "sealed": seal(key, _label(role), bytes.fromhex(private.reveal_hex()), random_bytes),
            }
            for role, private in opened.keys.items()
        },
        "account_key": seal(key, _ACCOUNT_LABEL, opened.account_key, random_bytes),
    }


def _unsealed(document: dict[str, Any], key: bytes) -> Keystore:
    keys = {role: PrivateKey.from_bytes(unseal(key, _label(role), document["keys"][role]["sealed"])) for role in ROLES}
    return Keystore(keys, unseal(key, _ACCOUNT_LABEL, document["account_key"]))


def _label(role: str) -> str:
    return f"greenfield-sp keystore 1: {role}"
