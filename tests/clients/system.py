"""The clients that Debian has: backups, and a bucket mounted as a folder."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from tests.clients.installs import SystemProgram
from tests.clients.mounting import mounted
from tests.clients.program import Client


class Restic(Client):
    """Whole backups: it names its own objects, and over plain HTTP it signs every chunk of a body."""

    name = "restic"
    package = SystemProgram("restic")

    def environment(self) -> dict[str, str]:
        return {**super().environment(), "RESTIC_PASSWORD": "a password", "RESTIC_CACHE_DIR": str(self.place.folder)}

    def restic(self, bucket: str, prefix: str, *words: str) -> None:
        self.run("restic", "--repo", f"s3:{self.place.endpoint}/{bucket}/{prefix}", *words)

    def back_up(self, folder: Path, bucket: str, prefix: str) -> None:
        self.restic(bucket, prefix, "init")
        self.restic(bucket, prefix, "backup", str(folder))
        self.restic(bucket, prefix, "check", "--read-data")

    def restore(self, bucket: str, prefix: str, folder: Path) -> None:
        self.restic(bucket, prefix, "restore", "latest", "--target", str(folder))
        self.restic(bucket, prefix, "forget", "--keep-last", "1", "--prune")


class S3fsFuse(Client):
    name = "s3fs-fuse"
    package = SystemProgram("s3fs", ("--version",))

    def environment(self) -> dict[str, str]:
        account = {"AWSACCESSKEYID": self.place.key_id, "AWSSECRETACCESSKEY": self.place.secret}
        return {**super().environment(), **account}

    def mounting(self, bucket: str, folder: Path) -> AbstractContextManager[Path]:
        options = f"url={self.place.endpoint},use_path_request_style,endpoint={self.place.region}"
        return mounted(
            (self.package.program("s3fs"), bucket, str(folder), "-f", "-o", options), self.environment(), folder
        )
