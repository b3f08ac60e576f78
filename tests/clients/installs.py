"""The clients' packages at the versions of versions.toml, made when first asked for and kept outside the repository."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

INSTALL_TIMEOUT_S: Final = 420
VERSION_TIMEOUT_S: Final = 30
VERSIONS: Final[dict[str, dict[str, Any]]] = tomllib.loads(Path(__file__).with_name("versions.toml").read_text())

_apt = threading.Lock()
"""apt-get refuses a second one at the same time."""


class CannotInstall(Exception):
    """One line: which client, and the last thing its installer said."""


def cache() -> Path:
    """SP_CLIENTS_CACHE, or ~/.cache/greenfield-sp-clients."""
    given = os.environ.get("SP_CLIENTS_CACHE")
    return Path(given) if given else Path.home() / ".cache" / "greenfield-sp-clients"


@dataclass(frozen=True, slots=True)
class PythonPackage:
    """A virtual environment with the requirements of `name`, the first of which is the client itself."""

    name: str

    @property
    def requirements(self) -> list[str]:
        return list(VERSIONS["python"][self.name])

    @property
    def shown(self) -> str:
        return ", ".join(requirement.replace("==", " ") for requirement in self.requirements)

    @property
    def folder(self) -> Path:
        return _folder(self.requirements)

    def install(self) -> None:
        if _is_complete(self.folder):
            return
        _install(self.name, [sys.executable, "-m", "venv", str(self.folder)])
        pip = (self.program("python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
        _install(self.name, [*pip, *self.requirements])
        (self.folder / "complete").touch()

    def program(self, name: str) -> str:
        """The path of a program of the environment."""
        return str(self.folder / "bin" / name)


@dataclass(frozen=True, slots=True)
class ProjectPackage:
    """What the project's own environment has."""

    name: str
    version: str

    @property
    def shown(self) -> str:
        return f"{self.name} {self.version}"

    def install(self) -> None:
        """It is there."""

    def program(self, name: str) -> str:
        return sys.executable if name == "python" else str(Path(sys.executable).parent / name)


NODE: Final = PythonPackage("node")
"""Node.js and npm, as a wheel."""


@dataclass(frozen=True, slots=True)
class NodePackages:
    """Packages of npm in one folder, run by our own Node.js."""

    name: str

    @property
    def requirements(self) -> list[str]:
        return list(VERSIONS["npm"][self.name])

    @property
    def shown(self) -> str:
        package, _, version = self.requirements[0].rpartition("@")
        return f"{package} {version}, {NODE.shown}"

    @property
    def folder(self) -> Path:
        return _folder(self.requirements)

    def install(self) -> None:
        NODE.install()
        if _is_complete(self.folder):
            return
        self.folder.mkdir(parents=True)
        npm = (NODE.program("npm"), "install", "--no-audit", "--no-fund", "--silent", "--prefix", str(self.folder))
        _install(self.name, [*npm, *self.requirements])
        (self.folder / "complete").touch()

    def program(self, name: str) -> str:
        return NODE.program(name)


@dataclass(frozen=True, slots=True)
class SystemProgram:
    """What only the system's packages have. version: the words that make it tell its version"""

    name: str
    version: tuple[str, ...] = ("version",)

    @property
    def shown(self) -> str:
        command = [self.program(self.name), *self.version]
        done = subprocess.run(command, capture_output=True, text=True, timeout=VERSION_TIMEOUT_S)
        found = re.search(r"\d+(\.\d+)+", done.stdout + done.stderr)
        return f"{VERSIONS['debian'][self.name]} {found[0] if found else '(no version told)'}"

    def install(self) -> None:
        ensure(self.name)

    def program(self, name: str) -> str:
        path = shutil.which(name)
        if path is None:
            raise CannotInstall(f"{self.name}: no program {name!r} on the PATH")
        return path


Package = PythonPackage | ProjectPackage | NodePackages | SystemProgram


def ensure(program: str) -> None:
    """Install Debian's package of a program of versions.toml if there is no such program and we are root."""
    if shutil.which(program):
        return
    package = VERSIONS["debian"][program]
    if os.geteuid() or not shutil.which("apt-get"):
        raise CannotInstall(f"{program}: not there, and only root can: apt-get install {package}")
    install = ["apt-get", "install", "--quiet", "--quiet", "--yes", "--no-install-recommends", package]
    with _apt:
        try:
            _install(program, install)
        except CannotInstall:  # its lists of packages may be old, or none
            _install(program, ["apt-get", "update", "--quiet", "--quiet"])
            _install(program, install)


def _folder(requirements: Sequence[str]) -> Path:
    return cache() / "+".join(requirement.replace("/", "-").lstrip("@") for requirement in requirements)


def _is_complete(folder: Path) -> bool:
    """If not, what an interrupted installation left is removed."""
    if (folder / "complete").exists():
        return True
    shutil.rmtree(folder, ignore_errors=True)
    return False


def _install(client: str, command: Sequence[str]) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S, env=environment)
    except subprocess.TimeoutExpired as late:
        raise CannotInstall(f"{client}: not installed after {INSTALL_TIMEOUT_S} s: {' '.join(command[:4])}") from late
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or "no output").splitlines()[-1]
        raise CannotInstall(f"{client}: cannot be installed: {said[:200]}")
