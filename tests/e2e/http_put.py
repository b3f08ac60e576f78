"""Putting a body of any size over HTTP as a client does that streams it: at constant memory, and cut off where a test
wants it."""

import http.client
import time
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import urlsplit

from gateway.request import RequestHead
from gateway.sign import sign_sigv4


def repeated(block: bytes, size_bytes: int) -> Iterator[bytes]:
    """`size_bytes` of `block` again and again, in the block's size."""
    for _ in range(size_bytes // len(block)):
        yield block
    if size_bytes % len(block):
        yield block[: size_bytes % len(block)]


def signed_request(
    info: dict[str, Any], method: str, path: str, headers: dict[str, str] | None = None, gateway: str | None = None
) -> tuple[http.client.HTTPConnection, dict[str, str]]:
    """A connection to sp0's gateway (or another) and the headers of a request signed for the testnet's account."""
    url = urlsplit(gateway or info["sps"][0]["gateway"])
    account = info["account"]
    head = RequestHead(method, path, "", (("host", url.netloc), *(headers or {}).items()))
    added = sign_sigv4(
        head,
        account["access_key_id"],
        account["secret_access_key"],
        int(time.time()),
        region=account["region"],
        payload=None,
    )
    return http.client.HTTPConnection(url.netloc, timeout=120), {**(headers or {}), **dict(added)}


def put(info: dict[str, Any], path: str, body: Iterable[bytes], size_bytes: int) -> tuple[int, bytes]:
    """Status and body of the answer."""
    connection, headers = signed_request(info, "PUT", path)
    try:
        connection.request("PUT", path, body=body, headers={**headers, "Content-Length": str(size_bytes)})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def get(info: dict[str, Any], path: str) -> Iterator[bytes]:
    """The body of an object in blocks."""
    connection, headers = signed_request(info, "GET", path)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        while block := answer.read(1 << 20):
            yield block
    finally:
        connection.close()
