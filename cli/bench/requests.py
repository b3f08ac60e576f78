"""Requests made ready before the clock starts: a signed head, and a body that many requests share.

SigV4 with UNSIGNED-PAYLOAD: the client computes nothing per byte, so that what is measured is the server.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from cli.client_http import Credentials
from gateway.request import RequestHead, percent_encoded
from gateway.sign import sign_sigv4

EMPTY: Final = memoryview(b"")

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Request:
    """kind: what it is called in a report; head: with its blank line; answer_bytes: the body's length that is expected
    of a good answer, None: any; rest: of the body, behind `body`"""

    kind: str
    head: bytes
    body: memoryview = EMPTY
    answer_bytes: int | None = None
    rest: tuple[memoryview, ...] = ()

    @property
    def body_bytes(self) -> int:
        return len(self.body) + sum(map(len, self.rest))

    @property
    def has_answer_body(self) -> bool:
        return not self.head.startswith(b"HEAD ")


@dataclass(frozen=True, slots=True)
class Signer:
    """Makes requests for one server. endpoint: base URL; credentials None: nothing is signed."""

    endpoint: str
    credentials: Credentials | None

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.endpoint)
        return parts.hostname or "127.0.0.1", parts.port or 80

    def put(self, bucket: str, name: str, body: memoryview, kind: str = "put") -> Request:
        return Request(kind, self._head("PUT", bucket, name, (("content-length", str(len(body))),)), body)

    def put_repeated(self, bucket: str, name: str, block: memoryview, size: int) -> Request:
        """A body of `size` bytes, the block again and again: it takes no memory of its own."""
        whole, left = divmod(size, len(block))
        parts = (*[block] * whole, block[:left])
        head = self._head("PUT", bucket, name, (("content-length", str(size)),))
        return Request("put", head, parts[0], rest=parts[1:])

    def list_objects(self, bucket: str, most: int) -> Request:
        """The first page of a bucket."""
        return Request("list", self._head("GET", bucket, "", query=f"list-type=2&max-keys={most}"))

    def get(self, bucket: str, name: str, size: int, kind: str = "get") -> Request:
        return Request(kind, self._head("GET", bucket, name), answer_bytes=size)

    def ranged(self, bucket: str, name: str, start: int, size: int) -> Request:
        """`size` bytes from `start` on."""
        head = self._head("GET", bucket, name, (("range", f"bytes={start}-{start + size - 1}"),))
        return Request("range", head, answer_bytes=size)

    def head(self, bucket: str, name: str) -> Request:
        return Request("head", self._head("HEAD", bucket, name))

    def delete(self, bucket: str, name: str) -> Request:
        return Request("delete", self._head("DELETE", bucket, name))

    def make_bucket(self, bucket: str) -> Request:
        return Request("make bucket", self._head("PUT", bucket, "", (("content-length", "0"),)))

    def _head(self, method: str, bucket: str, name: str, headers: Headers = (), query: str = "") -> bytes:
        path = f"/{bucket}/{percent_encoded(name.encode(), keep='/')}" if name else f"/{bucket}"
        head = RequestHead(method, path, query, (("host", urlsplit(self.endpoint).netloc), *headers))
        signed: Iterable[tuple[str, str]] = ()
        if self.credentials is not None:
            keys = self.credentials
            payload = None if method == "PUT" and name else b""
            signed = sign_sigv4(
                head,
                keys.access_key_id,
                keys.secret_access_key,
                int(time.time()),
                region=keys.region,
                payload=payload,
            )
        target = f"{path}?{query}" if query else path
        lines = [f"{method} {target} HTTP/1.1", *(f"{key}: {value}" for key, value in (*head.headers, *signed))]
        return "\r\n".join([*lines, "", ""]).encode()
