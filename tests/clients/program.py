"""What every client is to the tests: operations in the client's own way, each a run of a real program."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final, Literal
from urllib.parse import urlsplit

from tests.clients.installs import Package

RUN_TIMEOUT_S: Final = 120
DRIVERS: Final = Path(__file__).parent / "drivers"
PREFIXES_NOT_INHERITED: Final = ("AWS_", "SP_", "SIGNER_", "RCLONE_", "RESTIC_", "S3_", "PYTHON")

Verb = Literal[
    "make_bucket",
    "remove_bucket",
    "put",
    "get",
    "read_range",
    "size",
    "listing",
    "delete",
    "delete_under",
    "copy",
    "presign_get",
    "presign_put",
    "sync",
    "put_with_checksum",
    "back_up",
    "restore",
]


@dataclass(frozen=True, slots=True)
class Place:
    """A gateway, an account on it, and a folder that the client may use."""

    endpoint: str
    region: str
    key_id: str
    secret: str
    folder: Path

    @property
    def address(self) -> str:
        return urlsplit(self.endpoint).netloc


@dataclass(frozen=True, slots=True)
class Listing:
    """Full names."""

    keys: list[str]
    prefixes: list[str]


class ClientFailed(Exception):
    """The command, its exit status and what it said."""


class Client:
    """One client. Subclasses have a method for each verb that the client offers; keys are S3 keys, in full."""

    name: ClassVar[str]
    package: ClassVar[Package]
    interpreter: ClassVar[str] = "python"
    """The program of the package that runs it, or one that is there once it is installed."""

    cannot_name: ClassVar[tuple[str, ...]] = ()
    """Parts of names that the client itself refuses or rewrites before it sends anything."""

    copies_from: ClassVar[str] = "from/a b+c.bin"

    def __init__(self, place: Place) -> None:
        self.place = place

    @classmethod
    def offers(cls, *verbs: Verb) -> bool:
        return all(hasattr(cls, verb) for verb in verbs)

    def environment(self) -> dict[str, str]:
        place = self.place
        kept = {name: value for name, value in os.environ.items() if not name.startswith(PREFIXES_NOT_INHERITED)}
        return {
            **kept,
            "AWS_ACCESS_KEY_ID": place.key_id,
            "AWS_SECRET_ACCESS_KEY": place.secret,
            "AWS_DEFAULT_REGION": place.region,
            "AWS_REGION": place.region,
            "AWS_ENDPOINT_URL": place.endpoint,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }

    def run(self, program: str, *words: str) -> bytes:
        """What it wrote to standard output. ClientFailed for an exit status that is not 0, or if it does not end."""
        command = [self.package.program(program), *words]
        try:
            done = subprocess.run(
                command, capture_output=True, timeout=RUN_TIMEOUT_S, env=self.environment(), cwd=self.place.folder
            )
        except subprocess.TimeoutExpired as late:
            raise ClientFailed(f"{command}: no end after {RUN_TIMEOUT_S} s") from late
        if done.returncode:
            said = (done.stdout[-1000:] + b"\n" + done.stderr[-3000:]).decode(errors="replace")
            raise ClientFailed(f"{command}: exit status {done.returncode}\n{said}")
        return done.stdout


class Driven(Client):
    """A library, through a small program of ours (drivers/) that gives each verb to it."""

    driver: ClassVar[str]

    def drive(self, verb: Verb, *words: str) -> bytes:
        return self.run(self.interpreter, str(DRIVERS / self.driver), verb, *words)

    def put(self, bucket: str, key: str, path: Path) -> None:
        self.drive("put", bucket, key, str(path))

    def get(self, bucket: str, key: str, path: Path) -> None:
        self.drive("get", bucket, key, str(path))


class Library(Driven):
    def read_range(self, bucket: str, key: str, start: int, stop: int) -> bytes:
        return self.drive("read_range", bucket, key, str(start), str(stop))

    def size(self, bucket: str, key: str) -> int:
        return int(self.drive("size", bucket, key))

    def listing(self, bucket: str, prefix: str, delimiter: str) -> Listing:
        answer: dict[str, Any] = json.loads(self.drive("listing", bucket, prefix, delimiter))
        return Listing(answer["keys"], answer["prefixes"])

    def delete(self, bucket: str, key: str) -> None:
        self.drive("delete", bucket, key)

    def copy(self, bucket: str, key: str, to: str) -> None:
        self.drive("copy", bucket, key, to)


class MakesBuckets(Library):
    def make_bucket(self, bucket: str) -> None:
        self.drive("make_bucket", bucket)

    def remove_bucket(self, bucket: str) -> None:
        self.drive("remove_bucket", bucket)


class DeletesMany(Library):
    def delete_under(self, bucket: str, prefix: str) -> None:
        self.drive("delete_under", bucket, prefix)


class Presigns(Driven):
    def presign_get(self, bucket: str, key: str) -> str:
        return self.drive("presign_get", bucket, key).decode().strip()

    def presign_put(self, bucket: str, key: str) -> str:
        return self.drive("presign_put", bucket, key).decode().strip()
