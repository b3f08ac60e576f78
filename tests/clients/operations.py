"""What each client is asked to do, and what must come of it."""

from __future__ import annotations

import ssl
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Final

import pytest

from tests.clients.driving import ClientFailed
from tests.clients.mounting import fuse_is_missing
from tests.clients.program import Client, Verb
from tests.clients.proxy import Log, Proxy
from tests.e2e.processes import eventually

MIB: Final = 1024 * 1024
SMALL_BYTES: Final = 12_345
MEDIUM_BYTES: Final = 17 * MIB + 1
"""Several parts for every client."""
TWO_PARTS_BYTES: Final = 9 * MIB + 1
"""For clients that may choose a checksum: those of JavaScript take their time."""
LARGE_BYTES: Final = 100 * MIB + 4_321
ALGORITHMS: Final = ("CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256")
FULL_OBJECT: Final = ("CRC32", "CRC32C", "CRC64NVME")
"""S3 computes these of the whole object; of the others a multipart object has only a checksum of checksums."""

MANY: Final = (
    *(f"many/{folder}/{number:04}" for folder in ("x", "y z") for number in range(650)),
    *(f"many/deep/{number:04}/leaf" for number in range(1200)),
)
"""2,500: three pages of keys, and two of common prefixes under many/deep/."""

HTTP_TIMEOUT_S: Final = 30
FILL_TIMEOUT_S: Final = 240


@dataclass(frozen=True, slots=True)
class Bench:
    """client: typed by what its class offers; at: gives the same client for another endpoint; s3: boto3's own client,
    to look from outside; bucket: the client's own; many: the bucket that holds MANY, once it does;
    large: a file of LARGE_BYTES."""

    client: Any
    at: Callable[[str], Any]
    https: Callable[[], Any]
    s3: Any
    bucket: str
    many: Future[str]
    large: Path
    folder: Path

    def file(self, size_bytes: int, seed: int = 0) -> Path:
        path = self.folder / f"{size_bytes}-{seed}"
        path.write_bytes(Random(seed).randbytes(size_bytes))
        return path

    def put(self, key: str, size_bytes: int = SMALL_BYTES, seed: int = 0) -> bytes:
        path = self.file(size_bytes, seed)
        self.client.put(self.bucket, key, path)
        return path.read_bytes()

    def got(self, key: str, client: Any = None) -> bytes:
        path = self.folder / "got"
        path.unlink(missing_ok=True)
        (client or self.client).get(self.bucket, key, path)
        return path.read_bytes()

    def keys(self, prefix: str) -> list[str]:
        return sorted(self.client.listing(self.bucket, prefix, "").keys)

    def seen(self, prefix: str) -> list[str]:
        """The same, looked at from outside."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        return [item["Key"] for page in pages for item in page.get("Contents", [])]

    def full_of_keys(self) -> str:
        return self.many.result(FILL_TIMEOUT_S)


@dataclass(frozen=True, slots=True)
class Operation:
    """A row of the table. do: raises when it fails; what it returns, if anything, stands in the cell instead of "ok".

    verbs: what a client must offer
    """

    title: str
    do: Callable[[Bench], str | None]
    verbs: tuple[Verb, ...]
    lists_many: bool = False

    def of(self, client: type[Client]) -> bool:
        return client.offers(*self.verbs) and not (client.over_tls and self.do is https)


def make_and_remove_a_bucket(bench: Bench) -> None:
    bucket = f"{bench.bucket}-made"
    bench.client.make_bucket(bucket)
    bench.client.put(bucket, "one", bench.file(1))
    bench.client.delete(bucket, "one")
    bench.client.remove_bucket(bucket)
    bench.client.make_bucket(bucket)
    bench.client.remove_bucket(bucket)


def small_object(bench: Bench) -> None:
    sent = bench.put("small/s.bin")
    assert bench.got("small/s.bin") == sent


def empty_object(bench: Bench) -> None:
    bench.put("small/empty", 0)
    assert bench.seen("small/empty") == ["small/empty"]
    assert bench.got("small/empty") == b""


def large_object(bench: Bench) -> None:
    with Proxy(bench.client.place.endpoint, faulty=True) as proxy:
        bench.at(proxy.endpoint).put(bench.bucket, "large/l.bin", bench.large)
    if bench.client.over_tls:
        assert proxy.log.cut_unseen
    else:
        _was_spoilt(proxy.log)
        assert proxy.log.cut
        assert "partNumber" in proxy.log.cut.target
    assert bench.got("large/l.bin") == bench.large.read_bytes()
    bench.s3.delete_object(Bucket=bench.bucket, Key="large/l.bin")


def _was_spoilt(log: Log) -> None:
    """A cut and a refusal, and both requests came again."""
    assert log.cut
    assert log.refused
    assert log.times(log.cut) >= 2
    assert log.times(log.refused) >= 2


def overwritten_object(bench: Bench) -> None:
    bench.put("overwritten", SMALL_BYTES, seed=1)
    sent = bench.put("overwritten", SMALL_BYTES + 1, seed=2)
    assert bench.got("overwritten") == sent


def range_of_an_object(bench: Bench) -> None:
    sent = bench.put("ranges", 3 * MIB)
    for start, stop in ((0, 10), (MIB - 5, MIB + 5), (3 * MIB - 7, 3 * MIB)):
        assert bench.client.read_range(bench.bucket, "ranges", start, stop) == sent[start:stop]


def head(bench: Bench) -> None:
    bench.put("head")
    assert bench.client.size(bench.bucket, "head") == SMALL_BYTES


def list_many(bench: Bench) -> None:
    assert sorted(bench.client.listing(bench.full_of_keys(), "many/", "").keys) == sorted(MANY)


def list_with_delimiter(bench: Bench) -> None:
    bucket = bench.full_of_keys()
    found = bench.client.listing(bucket, "many/", "/")
    assert (found.keys, sorted(found.prefixes)) == ([], ["many/deep/", "many/x/", "many/y z/"])
    leaves = bench.client.listing(bucket, "many/y z/", "/")
    assert (sorted(leaves.keys), leaves.prefixes) == ([key for key in MANY if "/y z/" in key], [])
    folders = bench.client.listing(bucket, "many/deep/", "/")
    assert (folders.keys, sorted(folders.prefixes)) == ([], [f"many/deep/{number:04}/" for number in range(1200)])


def copy(bench: Bench) -> None:
    _copied(bench, "from/plain.bin")


def copy_of_an_odd_name(bench: Bench) -> None:
    _copied(bench, "from/a b+c é 100%25.bin")


def _copied(bench: Bench, source: str) -> None:
    sent = bench.put(source)
    bench.client.copy(bench.bucket, source, "to/copied.bin")
    assert bench.got("to/copied.bin") == sent


def delete(bench: Bench) -> None:
    bench.put("gone/one")
    bench.put("gone/two")
    bench.client.delete(bench.bucket, "gone/one")
    assert bench.keys("gone/") == ["gone/two"]


def delete_many(bench: Bench) -> None:
    names = [f"swept/{number}" for number in range(3)]
    for name in names:
        bench.put(name, 10)
    assert bench.keys("swept/") == names
    bench.client.delete_under(bench.bucket, "swept/")
    assert bench.keys("swept/") == []


def presigned_get(bench: Bench) -> None:
    sent = bench.put("presigned/a b+c.bin")
    url = bench.client.presign_get(bench.bucket, "presigned/a b+c.bin")
    with urllib.request.urlopen(url, timeout=HTTP_TIMEOUT_S, context=_trusting(bench)) as answer:
        assert answer.read() == sent


def presigned_put(bench: Bench) -> None:
    sent = Random(5).randbytes(SMALL_BYTES)
    url = bench.client.presign_put(bench.bucket, "presigned/put.bin")
    request = urllib.request.Request(url, data=sent, method="PUT", headers={"Content-Type": ""})
    with urllib.request.urlopen(request, timeout=HTTP_TIMEOUT_S, context=_trusting(bench)) as answer:
        assert answer.status == 200
    assert bench.got("presigned/put.bin") == sent


def _trusting(bench: Bench) -> ssl.SSLContext | None:
    ca = bench.client.place.ca
    return ssl.create_default_context(cafile=ca) if ca else None


def _tree(folder: Path) -> dict[str, bytes]:
    """A folder with files in it, and their contents by name."""
    tree = {"a.txt": b"a", "deep/b c.bin": Random(6).randbytes(SMALL_BYTES), "deep/large": Random(7).randbytes(9 * MIB)}
    for name, content in tree.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return tree


def checksums(bench: Bench) -> None:
    """One put and several parts, with each algorithm, of the parts' checksums and of the whole object."""
    for algorithm in ALGORITHMS:
        kinds = ("", "FULL_OBJECT") if algorithm in FULL_OBJECT else ("",)
        for size_bytes, kind in ((SMALL_BYTES, ""), *((TWO_PARTS_BYTES, kind) for kind in kinds)):
            path = bench.file(size_bytes)
            assert bench.client.put_with_checksum(bench.bucket, "checked", path, algorithm, kind)
            assert bench.got("checked") == path.read_bytes()


def no_checksums(bench: Bench) -> None:
    """Only where S3 requires them: the client's `when_required`."""
    for size_bytes in (SMALL_BYTES, TWO_PARTS_BYTES):
        path = bench.file(size_bytes)
        bench.client.put_without_checksum(bench.bucket, "unchecked", path)
        assert bench.got("unchecked") == path.read_bytes()


def https(bench: Bench) -> None:
    """Clients frame and sign their bodies otherwise there."""
    client = bench.https()
    for size_bytes in (0, SMALL_BYTES, MEDIUM_BYTES):
        path = bench.file(size_bytes)
        client.put(bench.bucket, "https/a b+c", path)
        assert bench.got("https/a b+c", client) == path.read_bytes()
    assert sorted(client.listing(bench.bucket, "https/", "").keys) == ["https/a b+c"]
    client.delete(bench.bucket, "https/a b+c")
    assert "https/a b+c" not in bench.seen("https/")


def backup_and_restore(bench: Bench) -> None:
    tree = _tree(source := bench.folder / "tree")
    bench.client.back_up(source, bench.bucket, "backups")
    bench.client.restore(bench.bucket, "backups", restored := bench.folder / "restored")
    found = restored / source.relative_to("/")
    assert {name: (found / name).read_bytes() for name in tree} == tree


def large_backup(bench: Bench) -> None:
    (source := bench.folder / "tree").mkdir()
    (source / "large").write_bytes(bench.large.read_bytes())
    with Proxy(bench.client.place.endpoint, faulty=True) as proxy:
        bench.at(proxy.endpoint).back_up(source, bench.bucket, "large-backups")
    _was_spoilt(proxy.log)


def sync(bench: Bench) -> None:
    tree = _tree(source := bench.folder / "tree")
    bench.client.sync(source, bench.bucket, "synced/")
    bench.client.sync(source, bench.bucket, "synced/")
    assert {key.removeprefix("synced/"): bench.got(key) for key in bench.keys("synced/")} == tree


def check(bench: Bench) -> None:
    tree = _tree(source := bench.folder / "tree")
    bench.client.sync(source, bench.bucket, "compared/")
    bench.client.check(source, bench.bucket, "compared/")
    changed = bytes(reversed(tree["deep/b c.bin"]))
    bench.s3.put_object(Bucket=bench.bucket, Key="compared/deep/b c.bin", Body=changed)
    with pytest.raises(ClientFailed, match="deep/b c"):
        bench.client.check(source, bench.bucket, "compared/")


def mount(bench: Bench) -> str | None:
    """As a file system, looked at from outside."""
    if missing := fuse_is_missing():
        return f"no FUSE here: {missing}"
    bench.s3.put_object(Bucket=bench.bucket, Key="mounted/there.txt", Body=b"was there")
    written = {"a b+é.txt": Random(8).randbytes(SMALL_BYTES), "deep/large": Random(9).randbytes(MEDIUM_BYTES)}
    with bench.client.mounting(bench.bucket, bench.folder / "mount") as mounted:
        folder: Path = mounted / "mounted"
        assert (folder / "there.txt").read_bytes() == b"was there"
        (folder / "deep").mkdir()
        for name, content in written.items():
            (folder / name).write_bytes(content)
            assert (folder / name).read_bytes() == content
        (folder / "a b+é.txt").rename(folder / "deep" / "renamed")
        (folder / "there.txt").unlink()
        assert sorted(path.name for path in (folder / "deep").iterdir()) == ["large", "renamed"]
        expected = {"mounted/deep/renamed": written["a b+é.txt"], "mounted/deep/large": written["deep/large"]}
        eventually(lambda: _contents(bench, "mounted/") == expected, "what was written to a mounted bucket, outside")
    return None


def _contents(bench: Bench, prefix: str) -> dict[str, bytes]:
    """Of all objects but those that stand for folders."""
    return {key: content for key in bench.seen(prefix) if (content := _content(bench, key))}


def _content(bench: Bench, key: str) -> bytes:
    return bytes(bench.s3.get_object(Bucket=bench.bucket, Key=key)["Body"].read())


def data_frames(bench: Bench) -> None:
    bench.client.data_frames(bench.bucket, "frames/", 200_000)
    assert bench.seen("frames/") == ["frames/frame.csv", "frames/frame.parquet"]
    assert _content(bench, "frames/frame.csv").splitlines()[-1].decode() == "199999,row 199999 é"


OPERATIONS: Final[tuple[Operation, ...]] = (
    Operation("make and remove a bucket", make_and_remove_a_bucket, ("make_bucket", "remove_bucket", "put", "delete")),
    Operation("put and get", small_object, ("put", "get")),
    Operation("put and get of nothing", empty_object, ("put", "get")),
    Operation("100 MB in parts, two of them sent again", large_object, ("put", "get")),
    Operation("overwrite", overwritten_object, ("put", "get")),
    Operation("ranges", range_of_an_object, ("put", "read_range")),
    Operation("head", head, ("put", "size")),
    Operation("list 2,500 keys", list_many, ("listing",), lists_many=True),
    Operation("list with prefix and delimiter", list_with_delimiter, ("listing",), lists_many=True),
    Operation("copy", copy, ("put", "copy", "get")),
    Operation("copy of an odd name", copy_of_an_odd_name, ("put", "copy", "get")),
    Operation("delete", delete, ("put", "delete", "listing")),
    Operation("delete many", delete_many, ("put", "delete_under", "listing")),
    Operation("presigned get", presigned_get, ("put", "presign_get")),
    Operation("presigned put", presigned_put, ("presign_put", "get")),
    Operation("every checksum", checksums, ("put_with_checksum", "get")),
    Operation("no checksum", no_checksums, ("put_without_checksum", "get")),
    Operation("over HTTPS", https, ("put", "get", "listing", "delete")),
    Operation("sync", sync, ("sync", "listing", "get")),
    Operation("check", check, ("sync", "check")),
    Operation("mount", mount, ("mounting",)),
    Operation("data frames", data_frames, ("data_frames",)),
    Operation("backup, check, restore", backup_and_restore, ("back_up", "restore")),
    Operation("backup of 100 MB, two packs sent again", large_backup, ("back_up",)),
)


def offered_by(
    clients: Sequence[type[Client]], operations: Sequence[Operation]
) -> list[tuple[type[Client], Operation]]:
    """Client by client."""
    return [(client, operation) for client in clients for operation in operations if operation.of(client)]
