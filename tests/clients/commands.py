"""The clients that are command-line programs."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, ClassVar, Final
from urllib.parse import urlsplit

from tests.clients.driving import ClientFailed
from tests.clients.installs import PythonPackage
from tests.clients.mounting import mounted
from tests.clients.program import Client, Listing

PART_BYTES: Final = 24 * 1024 * 1024


class AwsCli(Client):
    name = "awscli"
    package = PythonPackage("awscli")

    def make_bucket(self, bucket: str) -> None:
        self.run("aws", "s3", "mb", f"s3://{bucket}")

    def remove_bucket(self, bucket: str) -> None:
        self.run("aws", "s3", "rb", f"s3://{bucket}")

    def put(self, bucket: str, key: str, path: Path) -> None:
        self.run("aws", "s3", "cp", str(path), f"s3://{bucket}/{key}")

    def get(self, bucket: str, key: str, path: Path) -> None:
        self.run("aws", "s3", "cp", f"s3://{bucket}/{key}", str(path))

    def listing(self, bucket: str, prefix: str, delimiter: str) -> Listing:
        deep = () if delimiter else ("--recursive",)
        try:
            lines = self.run("aws", "s3", "ls", *deep, f"s3://{bucket}/{prefix}").decode().splitlines()
        except ClientFailed as failed:
            if not str(failed).endswith("exit status 1\n\n"):
                raise
            lines = []  # it says nothing, and calls that a failure
        before = prefix if delimiter else ""
        folders = [before + line.partition(" PRE ")[2] for line in lines if line.lstrip().startswith("PRE ")]
        keys = [before + line.split(" ", 3)[3] for line in _aligned(lines)]
        return Listing(keys, folders)

    def delete(self, bucket: str, key: str) -> None:
        self.run("aws", "s3", "rm", f"s3://{bucket}/{key}")

    def delete_under(self, bucket: str, prefix: str) -> None:
        self.run("aws", "s3", "rm", "--recursive", f"s3://{bucket}/{prefix}")

    def copy(self, bucket: str, key: str, to: str) -> None:
        self.run("aws", "s3", "cp", f"s3://{bucket}/{key}", f"s3://{bucket}/{to}")

    def presign_get(self, bucket: str, key: str) -> str:
        return self.run("aws", "s3", "presign", f"s3://{bucket}/{key}").decode().strip()

    def sync(self, folder: Path, bucket: str, prefix: str) -> None:
        self.run("aws", "s3", "sync", str(folder), f"s3://{bucket}/{prefix}")


def _aligned(lines: list[str]) -> list[str]:
    """`DATE TIME SIZE KEY` with single blanks but in KEY, of the lines of `aws s3 ls` that are objects."""
    parts = [line.split(maxsplit=2) for line in lines if line[:1].isdigit()]
    return [f"{day} {time} {rest}" for day, time, rest in parts]


class AwsCliApi(Client):
    """Its parts are made by hand: it has no transfer manager."""

    name = "awscli s3api"
    package = PythonPackage("awscli")

    def s3api(self, operation: str, *words: str) -> Any:
        said = self.run("aws", "--output", "json", "s3api", operation, *words)
        return json.loads(said) if said.strip() else {}

    def make_bucket(self, bucket: str) -> None:
        self.s3api("create-bucket", "--bucket", bucket)

    def remove_bucket(self, bucket: str) -> None:
        self.s3api("delete-bucket", "--bucket", bucket)

    def put(self, bucket: str, key: str, path: Path) -> None:
        of = ("--bucket", bucket, "--key", key)
        if path.stat().st_size <= PART_BYTES:
            self.s3api("put-object", *of, "--body", str(path))
            return
        upload = ("--upload-id", self.s3api("create-multipart-upload", *of)["UploadId"])
        parts: list[dict[str, Any]] = []
        with path.open("rb") as source:
            while block := source.read(PART_BYTES):
                (part := self.place.folder / "part").write_bytes(block)
                number = len(parts) + 1
                answer = self.s3api("upload-part", *of, *upload, "--part-number", str(number), "--body", str(part))
                parts.append({"PartNumber": number, "ETag": answer["ETag"]})
        self.s3api("complete-multipart-upload", *of, *upload, "--multipart-upload", json.dumps({"Parts": parts}))

    def get(self, bucket: str, key: str, path: Path) -> None:
        self.s3api("get-object", "--bucket", bucket, "--key", key, str(path))

    def read_range(self, bucket: str, key: str, start: int, stop: int) -> bytes:
        path = self.place.folder / "range"
        self.s3api("get-object", "--bucket", bucket, "--key", key, "--range", f"bytes={start}-{stop - 1}", str(path))
        return path.read_bytes()

    def size(self, bucket: str, key: str) -> int:
        return int(self.s3api("head-object", "--bucket", bucket, "--key", key)["ContentLength"])

    def listing(self, bucket: str, prefix: str, delimiter: str) -> Listing:
        words = ("--bucket", bucket, "--prefix", prefix)
        answer = self.s3api("list-objects-v2", *words, *(("--delimiter", delimiter) if delimiter else ()))
        found = (answer.get("Contents") or [], answer.get("CommonPrefixes") or [])
        return Listing([item["Key"] for item in found[0]], [item["Prefix"] for item in found[1]])

    def delete(self, bucket: str, key: str) -> None:
        self.s3api("delete-object", "--bucket", bucket, "--key", key)

    def delete_under(self, bucket: str, prefix: str) -> None:
        gone = {"Objects": [{"Key": key} for key in self.listing(bucket, prefix, "").keys]}
        assert not self.s3api("delete-objects", "--bucket", bucket, "--delete", json.dumps(gone)).get("Errors")

    def copy(self, bucket: str, key: str, to: str) -> None:
        self.s3api("copy-object", "--bucket", bucket, "--key", to, "--copy-source", f"{bucket}/{key}")


class Rclone(Client):
    name = "rclone"
    package = PythonPackage("rclone")
    cannot: ClassVar[dict[str, str]] = {
        "`//`": "cleans paths: one slash",
        "`..`": "cleans paths: goes one folder up",
        "leading `/`": "cleans paths: no leading slash",
    }

    def environment(self) -> dict[str, str]:
        place = self.place
        remote = {
            "TYPE": "s3",
            "PROVIDER": "Other",
            "ACCESS_KEY_ID": place.key_id,
            "SECRET_ACCESS_KEY": place.secret,
            "ENDPOINT": place.endpoint,
            "REGION": place.region,
            "UPLOAD_CUTOFF": "10M",
        }
        settings = {f"RCLONE_CONFIG_SP_{name}": value for name, value in remote.items()}
        return {**super().environment(), **settings, "RCLONE_CONFIG": str(place.folder / "rclone.conf")}

    def make_bucket(self, bucket: str) -> None:
        self.run("rclone", "mkdir", f"sp:{bucket}")

    def remove_bucket(self, bucket: str) -> None:
        self.run("rclone", "rmdir", f"sp:{bucket}")

    def put(self, bucket: str, key: str, path: Path) -> None:
        self.run("rclone", "copyto", str(path), f"sp:{bucket}/{key}")

    def get(self, bucket: str, key: str, path: Path) -> None:
        self.run("rclone", "copyto", f"sp:{bucket}/{key}", str(path))

    def read_range(self, bucket: str, key: str, start: int, stop: int) -> bytes:
        return self.run("rclone", "cat", "--offset", str(start), "--count", str(stop - start), f"sp:{bucket}/{key}")

    def size(self, bucket: str, key: str) -> int:
        return int(json.loads(self.run("rclone", "lsjson", "--stat", f"sp:{bucket}/{key}"))["Size"])

    def listing(self, bucket: str, prefix: str, delimiter: str) -> Listing:
        deep = () if delimiter else ("--recursive", "--files-only", "--fast-list")
        found = json.loads(
            self.run("rclone", "lsjson", "--no-modtime", "--no-mimetype", *deep, f"sp:{bucket}/{prefix}")
        )
        folders = [f"{prefix}{item['Path']}/" for item in found if item["IsDir"]]
        return Listing([f"{prefix}{item['Path']}" for item in found if not item["IsDir"]], folders)

    def delete(self, bucket: str, key: str) -> None:
        self.run("rclone", "deletefile", f"sp:{bucket}/{key}")

    def delete_under(self, bucket: str, prefix: str) -> None:
        self.run("rclone", "delete", f"sp:{bucket}/{prefix}")

    def copy(self, bucket: str, key: str, to: str) -> None:
        self.run("rclone", "copyto", f"sp:{bucket}/{key}", f"sp:{bucket}/{to}")

    def presign_get(self, bucket: str, key: str) -> str:
        return self.run("rclone", "link", f"sp:{bucket}/{key}").decode().strip()

    def sync(self, folder: Path, bucket: str, prefix: str) -> None:
        self.run("rclone", "sync", str(folder), f"sp:{bucket}/{prefix}")

    def check(self, folder: Path, bucket: str, prefix: str) -> None:
        self.run("rclone", "check", "--download", str(folder), f"sp:{bucket}/{prefix}")

    def mounting(self, bucket: str, folder: Path) -> AbstractContextManager[Path]:
        cache = ("--vfs-cache-mode", "writes", "--vfs-write-back", "0s", "--cache-dir", f"{folder}-cache")
        words = ("mount", *cache, f"sp:{bucket}", str(folder))
        return mounted((self.package.program("rclone"), *words), self.environment(), folder)


class S3cmd(Client):
    name = "s3cmd"
    package = PythonPackage("s3cmd")

    def s3cmd(self, *words: str) -> str:
        place = self.place
        settings = {
            "access_key": place.key_id,
            "secret_key": place.secret,
            "bucket_location": place.region,
            "host_base": place.address,
            "host_bucket": place.address,
            "use_https": str(urlsplit(place.endpoint).scheme == "https"),
            "signurl_use_https": "False",
            **({"ca_certs_file": str(place.ca)} if place.ca else {}),
        }
        config = place.folder / "s3cmd.conf"
        config.write_text("[default]\n" + "".join(f"{name} = {value}\n" for name, value in settings.items()))
        return self.run("s3cmd", "--config", str(config), "--no-progress", *words).decode()

    def make_bucket(self, bucket: str) -> None:
        self.s3cmd("mb", f"s3://{bucket}")

    def remove_bucket(self, bucket: str) -> None:
        self.s3cmd("rb", f"s3://{bucket}")

    def put(self, bucket: str, key: str, path: Path) -> None:
        self.s3cmd("put", str(path), f"s3://{bucket}/{key}")

    def get(self, bucket: str, key: str, path: Path) -> None:
        self.s3cmd("get", "--force", f"s3://{bucket}/{key}", str(path))

    def size(self, bucket: str, key: str) -> int:
        shown = self.s3cmd("info", f"s3://{bucket}/{key}")
        return int(next(line.split()[-1] for line in shown.splitlines() if "File size:" in line))

    def listing(self, bucket: str, prefix: str, delimiter: str) -> Listing:
        shown = self.s3cmd("ls", *(() if delimiter else ("--recursive",)), f"s3://{bucket}/{prefix}")
        names = [(line.split()[0], line.partition(f"s3://{bucket}/")[2]) for line in shown.splitlines()]
        return Listing([name for what, name in names if what != "DIR"], [name for what, name in names if what == "DIR"])

    def delete(self, bucket: str, key: str) -> None:
        self.s3cmd("del", f"s3://{bucket}/{key}")

    def delete_under(self, bucket: str, prefix: str) -> None:
        self.s3cmd("del", "--recursive", "--force", f"s3://{bucket}/{prefix}")

    def copy(self, bucket: str, key: str, to: str) -> None:
        self.s3cmd("cp", f"s3://{bucket}/{key}", f"s3://{bucket}/{to}")

    def presign_get(self, bucket: str, key: str) -> str:
        return self.s3cmd("signurl", f"s3://{bucket}/{key}", "+3600").strip()

    def sync(self, folder: Path, bucket: str, prefix: str) -> None:
        self.s3cmd("sync", f"{folder}/", f"s3://{bucket}/{prefix}")


class S5cmd(Client):
    name = "s5cmd"
    package = PythonPackage("s5cmd")

    def s5cmd(self, *words: str) -> bytes:
        return self.run("s5cmd", "--endpoint-url", self.place.endpoint, *words)

    def make_bucket(self, bucket: str) -> None:
        self.s5cmd("mb", f"s3://{bucket}")

    def remove_bucket(self, bucket: str) -> None:
        self.s5cmd("rb", f"s3://{bucket}")

    def put(self, bucket: str, key: str, path: Path) -> None:
        self.s5cmd("cp", "--raw", "--part-size", "8", str(path), f"s3://{bucket}/{key}")

    def get(self, bucket: str, key: str, path: Path) -> None:
        self.s5cmd("cp", "--raw", "--part-size", "8", f"s3://{bucket}/{key}", str(path))

    def size(self, bucket: str, key: str) -> int:
        return int(json.loads(self.s5cmd("--json", "head", f"s3://{bucket}/{key}"))["size"])

    def listing(self, bucket: str, prefix: str, delimiter: str) -> Listing:
        pattern = f"s3://{bucket}/{prefix}" + ("" if delimiter else "*")
        try:
            found = [json.loads(line) for line in self.s5cmd("--json", "ls", pattern).splitlines()]
        except ClientFailed as failed:
            if "no object found" not in str(failed):
                raise
            found = []  # which it calls a failure
        names = [(item["type"], item["key"].removeprefix(f"s3://{bucket}/")) for item in found]
        return Listing(
            [name for what, name in names if what == "file"], [name for what, name in names if what == "directory"]
        )

    def delete(self, bucket: str, key: str) -> None:
        self.s5cmd("rm", "--raw", f"s3://{bucket}/{key}")

    def delete_under(self, bucket: str, prefix: str) -> None:
        self.s5cmd("rm", f"s3://{bucket}/{prefix}*")

    def copy(self, bucket: str, key: str, to: str) -> None:
        self.s5cmd("cp", "--raw", f"s3://{bucket}/{key}", f"s3://{bucket}/{to}")

    def presign_get(self, bucket: str, key: str) -> str:
        return self.s5cmd("presign", f"s3://{bucket}/{key}").decode().strip()

    def sync(self, folder: Path, bucket: str, prefix: str) -> None:
        self.s5cmd("sync", f"{folder}/", f"s3://{bucket}/{prefix}")
