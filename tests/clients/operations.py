"""What each client is asked to do, and what must come of it."""

from __future__ import annotations

import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Final

from tests.clients.program import Client, Verb

MIB: Final = 1024 * 1024
SMALL_BYTES: Final = 12_345
LARGE_BYTES: Final = 37 * MIB + 4_321
NAMES: Final = ("a space.txt", "añ-日本-🎈.bin", "a+b.txt", "100%25 50%.txt", "a//b.txt", "(a) & 'b'=$1,;@!~.txt")
MANY: Final = tuple(f"many/{folder}/{number:04}" for folder in ("x", "y z") for number in range(510))
"""More than a page."""

HTTP_TIMEOUT_S: Final = 30


@dataclass(frozen=True, slots=True)
class Bench:
    """client: typed by what its class offers; bucket: the client's own; many: gives one that holds MANY."""

    client: Any
    bucket: str
    many: Callable[[], str]
    folder: Path

    def file(self, size_bytes: int, seed: int = 0) -> Path:
        path = self.folder / f"{size_bytes}-{seed}"
        path.write_bytes(Random(seed).randbytes(size_bytes))
        return path

    def put(self, key: str, size_bytes: int = SMALL_BYTES, seed: int = 0) -> bytes:
        path = self.file(size_bytes, seed)
        self.client.put(self.bucket, key, path)
        return path.read_bytes()

    def got(self, key: str) -> bytes:
        path = self.folder / "got"
        path.unlink(missing_ok=True)
        self.client.get(self.bucket, key, path)
        return path.read_bytes()

    def keys(self, prefix: str) -> list[str]:
        return sorted(self.client.listing(self.bucket, prefix, "").keys)


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


def large_object(bench: Bench) -> None:
    sent = bench.put("large/l.bin", LARGE_BYTES)
    assert bench.got("large/l.bin") == sent


def overwritten_object(bench: Bench) -> None:
    bench.put("overwritten", SMALL_BYTES, seed=1)
    sent = bench.put("overwritten", SMALL_BYTES + 1, seed=2)
    assert bench.got("overwritten") == sent


def range_of_an_object(bench: Bench) -> None:
    sent = bench.put("ranges", 3 * MIB)
    for start, stop in ((0, 10), (MIB - 5, MIB + 5), (3 * MIB - 7, 3 * MIB)):
        assert bench.client.read_range(bench.bucket, "ranges", start, stop) == sent[start:stop]


def stat(bench: Bench) -> None:
    bench.put("stat")
    assert bench.client.size(bench.bucket, "stat") == SMALL_BYTES


def list_many(bench: Bench) -> None:
    assert sorted(bench.client.listing(bench.many(), "many/", "").keys) == sorted(MANY)


def list_with_delimiter(bench: Bench) -> None:
    found = bench.client.listing(bench.many(), "many/", "/")
    assert (found.keys, sorted(found.prefixes)) == ([], ["many/x/", "many/y z/"])
    deeper = bench.client.listing(bench.many(), "many/y z/", "/")
    assert (sorted(deeper.keys), deeper.prefixes) == ([key for key in MANY if "/y z/" in key], [])


def odd_names(bench: Bench) -> None:
    names = [name for name in NAMES if not any(part in name for part in bench.client.cannot_name)]
    for seed, name in enumerate(names):
        sent = bench.put(f"odd/{name}", 100, seed)
        assert bench.got(f"odd/{name}") == sent
    assert bench.keys("odd/") == sorted(f"odd/{name}" for name in names)
    for name in names:
        bench.client.delete(bench.bucket, f"odd/{name}")
    assert bench.keys("odd/") == []


def copy(bench: Bench) -> None:
    sent = bench.put(bench.client.copies_from)
    bench.client.copy(bench.bucket, bench.client.copies_from, "to/copied.bin")
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
    with urllib.request.urlopen(url, timeout=HTTP_TIMEOUT_S) as answer:
        assert answer.read() == sent


def presigned_put(bench: Bench) -> None:
    sent = Random(5).randbytes(SMALL_BYTES)
    url = bench.client.presign_put(bench.bucket, "presigned/put.bin")
    request = urllib.request.Request(url, data=sent, method="PUT", headers={"Content-Type": ""})
    with urllib.request.urlopen(request, timeout=HTTP_TIMEOUT_S) as answer:
        assert answer.status == 200
    assert bench.got("presigned/put.bin") == sent


def _tree(folder: Path) -> dict[str, bytes]:
    """A folder with files in it, and their contents by name."""
    tree = {"a.txt": b"a", "deep/b c.bin": Random(6).randbytes(SMALL_BYTES), "deep/large": Random(7).randbytes(9 * MIB)}
    for name, content in tree.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return tree


def checksums(bench: Bench) -> None:
    """One put and several parts, with each algorithm."""
    for algorithm in ("CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"):
        for size_bytes in (SMALL_BYTES, 17 * MIB):
            path = bench.file(size_bytes)
            assert bench.client.put_with_checksum(bench.bucket, "checked", path, algorithm)
            assert bench.got("checked") == path.read_bytes()


def backup_and_restore(bench: Bench) -> None:
    tree = _tree(source := bench.folder / "tree")
    bench.client.back_up(source, bench.bucket)
    bench.client.restore(bench.bucket, restored := bench.folder / "restored")
    found = restored / source.relative_to("/")
    assert {name: (found / name).read_bytes() for name in tree} == tree


def sync(bench: Bench) -> None:
    tree = _tree(source := bench.folder / "tree")
    bench.client.sync(source, bench.bucket, "synced/")
    bench.client.sync(source, bench.bucket, "synced/")
    assert {key.removeprefix("synced/"): bench.got(key) for key in bench.keys("synced/")} == tree


OPERATIONS: Final[tuple[tuple[Callable[[Bench], None], tuple[Verb, ...]], ...]] = (
    (make_and_remove_a_bucket, ("make_bucket", "remove_bucket", "put", "delete")),
    (small_object, ("put", "get")),
    (large_object, ("put", "get")),
    (overwritten_object, ("put", "get")),
    (range_of_an_object, ("put", "read_range")),
    (stat, ("put", "size")),
    (odd_names, ("put", "get", "listing", "delete")),
    (copy, ("put", "copy", "get")),
    (delete, ("put", "delete", "listing")),
    (delete_many, ("put", "delete_under", "listing")),
    (sync, ("sync", "listing", "get")),
    (presigned_get, ("put", "presign_get")),
    (presigned_put, ("presign_put", "get")),
    (checksums, ("put_with_checksum", "get")),
    (backup_and_restore, ("back_up", "restore")),
    (list_many, ("listing",)),
    (list_with_delimiter, ("listing",)),
)


def shown(operation: Callable[[Bench], None]) -> str:
    return operation.__name__.replace("_", " ")


def offered_by(clients: Sequence[type[Client]]) -> list[tuple[type[Client], Callable[[Bench], None]]]:
    """Operation by operation: those that load the network come last."""
    return [(client, operation) for operation, verbs in OPERATIONS for client in clients if client.offers(*verbs)]
