"""Object names that programs get wrong: one operation, and a row of the second table, for each."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from botocore.exceptions import ClientError

from tests.clients.driving import ClientFailed
from tests.clients.operations import Bench, Operation
from tests.clients.proxy import Proxy

SIZE_BYTES: Final = 100
NAMES: Final[dict[str, str]] = {
    "space": "odd/s/a space.txt",
    "unicode": "odd/u/añ-日本-🎈.bin",
    "`+`": "odd/p/a+b.txt",
    "`%`": "odd/c/100%25 50%.txt",
    "punctuation": "odd/q/(a) & 'b'=$1,;@!~.txt",
    "`//`": "odd/d/a//b.txt",
    "`..`": "odd/t/a/../b..txt",
    "leading `/`": "/leading.txt",
    "1024 bytes": ("n" * 63 + "/") * 15 + "n" * 64,
}


def round_trip(key: str, bench: Bench) -> None:
    """Put, got, listed, headed and deleted under exactly this name."""
    sent = bench.put(key, SIZE_BYTES, seed=len(key))
    answer = bench.s3.get_object(Bucket=bench.bucket, Key=key)
    assert answer["Body"].read() == sent
    assert bench.got(key) == sent
    if bench.client.offers("listing"):
        assert key in bench.keys(_folder(key))
    if bench.client.offers("size"):
        assert bench.client.size(bench.bucket, key) == SIZE_BYTES
    bench.client.delete(bench.bucket, key)
    assert not _is_there(bench, key)


def refusal(key: str, bench: Bench) -> None:
    """Where a client says that it cannot have the name: it fails, or says another one, though the name is there."""
    bench.s3.put_object(Bucket=bench.bucket, Key=key, Body=b"by another client")
    with Proxy(bench.client.place.endpoint, faulty=False) as proxy:
        client = bench.at(proxy.endpoint)
        for verb in (client.put, client.get):
            path = bench.file(SIZE_BYTES)
            try:
                verb(bench.bucket, key, path)
            except ClientFailed:
                continue
    bench.s3.delete_object(Bucket=bench.bucket, Key=key)
    named = f"/{bench.bucket}/{key}".encode()
    asked = [one for one in proxy.log.asked if one.path == named and one.method in ("GET", "PUT")]
    assert not asked, f"the client can name it: {asked}"


def _folder(key: str) -> str:
    """A prefix to list; "" of a name that begins with a slash."""
    return "" if key.startswith("/") else key[: key.find("/", len("odd/")) + 1]


def _is_there(bench: Bench, key: str) -> bool:
    try:
        bench.s3.head_object(Bucket=bench.bucket, Key=key)
    except ClientError:
        return False
    return True


def _do(title: str, key: str, bench: Bench) -> str | None:
    client: Any = bench.client
    if title not in client.cannot:
        round_trip(key, bench)
        return None
    refusal(key, bench)
    return "no"


ODD_NAMES: Final = tuple(
    Operation(title, partial(_do, title, key), ("put", "get", "delete")) for title, key in NAMES.items()
)
