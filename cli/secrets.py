"""The password that opens an SP's keystore: in a file that only its owner reads, or in the environment."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from signer.config import SignerConfig
from signer.files import write_whole
from signer.keystore import PASSWORD_VARIABLE
from sp.domain.errors import ConfigError
from sp.runtime.config import ConfigFile


def new_password_file(path: Path) -> str:
    """A random password in a new file, mode 0600; the one in it when there is such a file already."""
    with contextlib.suppress(FileExistsError):
        write_whole(path, secrets.token_urlsafe(32).encode() + b"\n", replace=False)
    return path.read_text().partition("\n")[0]


def password_of(file: ConfigFile, signer: SignerConfig) -> str:
    """As the Signer will find it. A password file that is missing is made. ConfigError when nothing names one."""
    if signer.password_file:
        return new_password_file(file.path_of(signer.password_file))
    if PASSWORD_VARIABLE not in os.environ:
        raise ConfigError("signer.password_file", f"name a file, or set {PASSWORD_VARIABLE}")
    return os.environ[PASSWORD_VARIABLE]
