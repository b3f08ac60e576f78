"""What every client is to the tests: operations in the client's own way, done by the real program or library."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Final, Literal
from urllib.parse import urlsplit

from tests.clients.driving import ClientFailed, DriverProcess
from tests.clients.installs import Package
from tests.e2e.conftest import REPOSITORY

RUN_TIMEOUT_S: Final = 150
DRIVERS: Final = Path(__file__).parent / "drivers"
PREFIXES_NOT_INHERITED: Final = (
    *("AWS_", "SP_", "SIGNER_", "RCLONE_", "RESTIC_", "S3_", "PYTHON", "DRIVER_"),
    *("SSL_", "REQUESTS_", "CURL_", "NODE_"),
)

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
    "check",
    "put_with_checksum",
    "put_without_checksum",
    "back_up",
    "restore",
    "mounting",
    "data_frames",
]


@dataclass(frozen=True, slots=True)
class Place:
    """A gateway, an account on it, and a folder that the client may use.

    ca: of an https endpoint, the file of the authority that certified it
    """

    endpoint: str
    region: str
    key_id: str
    secret: str
    folder: Path
    ca: Path | None = None

    @property
    def address(self) -> str:
        return urlsplit(self.endpoint).netloc


@dataclass(frozen=True, slots=True)
class Listing:
    """Full names."""

    keys: list[str]
    prefixes: list[str]


class Client:
    """One client. Subclasses have a method for each verb that the client offers; keys are S3 keys, in full."""

    name: ClassVar[str]
    package: ClassVar[Package]
    interpreter: ClassVar[str] = "python"
    """The program of the package that runs it."""

    over_tls: ClassVar[bool] = False
    """Every operation of this one goes to the HTTPS endpoint."""

    cannot: ClassVar[Mapping[str, str]] = {}
    """Operations, as the table calls them, that the client itself refuses or does otherwise, and why."""

    remark: ClassVar[str] = ""

    def __init__(self, place: Place) -> None:
        self.place = place

    @classmethod
    def offers(cls, *verbs: Verb) -> bool:
        return all(hasattr(cls, verb) for verb in verbs)

    def environment(self) -> dict[str, str]:
        place = self.place
        kept = {name: value for name, value in os.environ.items() if not name.startswith(PREFIXES_NOT_INHERITED)}
        trusted = ("AWS_CA_BUNDLE", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "RCLONE_CA_CERT", "RESTIC_CACERT")
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
            **({name: str(place.ca) for name in trusted} if place.ca else {}),
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

    def end(self) -> None:
        """Whatever of it still runs."""


class Driven(Client):
    """A library, through a small program of ours (drivers/) that gives each verb to it."""

    driver: ClassVar[str]

    @cached_property
    def _process(self) -> DriverProcess:
        command = (self.package.program(self.interpreter), str(DRIVERS / self.driver))
        environment = {**self.environment(), "PYTHONPATH": str(REPOSITORY)}
        return DriverProcess(command, environment, self.place.folder, RUN_TIMEOUT_S)

    def drive(self, verb: Verb, *words: str) -> bytes:
        return self._process.ask(verb, *words)

    def end(self) -> None:
        self._process.end()

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
        return self.drive("presign_get", bucket, key).decode()

    def presign_put(self, bucket: str, key: str) -> str:
        return self.drive("presign_put", bucket, key).decode()


class ChoosesChecksums(Driven):
    def put_with_checksum(self, bucket: str, key: str, path: Path, algorithm: str, kind: str) -> str:
        """The checksum that the gateway then tells. kind: COMPOSITE, FULL_OBJECT or "" for the client's choice"""
        return self.drive("put_with_checksum", bucket, key, str(path), algorithm, kind).decode()

    def put_without_checksum(self, bucket: str, key: str, path: Path) -> None:
        self.drive("put_without_checksum", bucket, key, str(path))
