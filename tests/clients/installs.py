"""The clients' packages at pinned versions, each family in a folder of its own, made when first asked for."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

INSTALL_TIMEOUT_S: Final = 300


class CannotInstall(Exception):
    """One line: which client, and the last thing its installer said."""


def cache() -> Path:
    """SP_CLIENTS_CACHE, or ~/.cache/greenfield-sp-clients."""
    given = os.environ.get("SP_CLIENTS_CACHE")
    return Path(given) if given else Path.home() / ".cache" / "greenfield-sp-clients"


@dataclass(frozen=True, slots=True)
class PythonPackage:
    """A virtual environment with one requirement, `name==version`."""

    requirement: str

    @property
    def shown(self) -> str:
        return self.requirement.replace("==", " ")

    @property
    def folder(self) -> Path:
        return cache() / self.requirement

    def program(self, name: str) -> str:
        """The path of a program of the environment, which is made if it is missing."""
        if not (self.folder / "complete").exists():
            shutil.rmtree(self.folder, ignore_errors=True)
            _install(self.shown, [sys.executable, "-m", "venv", str(self.folder)])
            pip = (
                str(self.folder / "bin" / "python"),
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
            )
            _install(self.shown, [*pip, self.requirement])
            (self.folder / "complete").touch()
        return str(self.folder / "bin" / name)


@dataclass(frozen=True, slots=True)
class ProjectPackage:
    """What the project's own environment has."""

    name: str
    version: str

    @property
    def shown(self) -> str:
        return f"{self.name} {self.version}"

    def program(self, name: str) -> str:
        return sys.executable if name == "python" else str(Path(sys.executable).parent / name)


@dataclass(frozen=True, slots=True)
class NodePackages:
    """Packages of node in one folder; `program` gives node itself, which must be there."""

    requirements: tuple[str, ...]

    @property
    def shown(self) -> str:
        name, _, version = self.requirements[0].rpartition("@")
        return f"{name} {version}"

    @property
    def folder(self) -> Path:
        return cache() / self.requirements[0].replace("/", "-").lstrip("@")

    def program(self, name: str) -> str:
        found = _found(self.shown, name, "install Node.js")
        if not (self.folder / "complete").exists():
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir(parents=True)
            npm = (_found(self.shown, "npm", "install npm"), "install", "--no-audit", "--no-fund", "--silent")
            _install(self.shown, [*npm, "--prefix", str(self.folder), *self.requirements])
            (self.folder / "complete").touch()
        return found


@dataclass(frozen=True, slots=True)
class SystemProgram:
    """What only the system's packages have."""

    name: str

    @property
    def shown(self) -> str:
        done = subprocess.run([self.program(self.name), "version"], capture_output=True, text=True, timeout=30)
        return " ".join(done.stdout.split()[:2])

    def program(self, name: str) -> str:
        return _found(name, name, f"apt-get install {self.name}")


Package = PythonPackage | ProjectPackage | NodePackages | SystemProgram


def _found(client: str, program: str, remedy: str) -> str:
    path = shutil.which(program)
    if path is None:
        raise CannotInstall(f"{client}: no program {program!r} on the PATH: {remedy}")
    return path


def _install(client: str, command: Sequence[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S)
    except subprocess.TimeoutExpired as late:
        raise CannotInstall(f"{client}: not installed after {INSTALL_TIMEOUT_S} s: {' '.join(command[:4])}") from late
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or "no output").splitlines()[-1]
        raise CannotInstall(f"{client}: cannot be installed: {said[:200]}")
