"""A small S3 client for tests: signs with the gateway's own client-side signer and speaks plain HTTP."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import cast
from urllib.parse import quote

import aiohttp
from yarl import URL

from gateway.request import RequestHead
from gateway.sign import sign_gnfd1, sign_sigv4
from sp.crypto.private import PrivateKey
from tests.cluster.network import REGION, Account, Sp

Change = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """The error code in an XML answer."""
        return self.body.split(b"<Code>")[1].split(b"</Code>")[0].decode()


@dataclass(frozen=True, slots=True)
class S3:
    """Requests to one SP's gateway as one account (None: as nobody).

    key: signed by it, with GNFD1-ECDSA, instead of Signature V4
    clock: unix seconds at which requests say they are signed
    """

    session: aiohttp.ClientSession
    sp: Sp
    account: Account | None
    key: PrivateKey | None = None
    clock: Callable[[], float] = time.time

    def signed(
        self, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes | None
    ) -> list[tuple[str, str]]:
        """Headers with a signature over this request; `body` None: the payload is not signed."""
        host = f"127.0.0.1:{self.sp.ports['gateway']}"
        head = RequestHead(method, path, query, (("host", host), *headers.items()))
        now_s = int(self.clock())
        if self.key is not None:
            added = sign_gnfd1(head, self.key.sign, now_s + 3600)
        elif self.account is not None:
            a = self.account
            added = sign_sigv4(head, a.access_key_id, a.secret_access_key, now_s, region=REGION, payload=body)
        else:
            added = []
        return [*headers.items(), *added]

    async def call(
        self,
        method: str,
        path: str,
        query: str = "",
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | AsyncIterator[bytes] = b"",
        tamper: Mapping[str, object] | None = None,
    ) -> Answer:
        """Sign, then change what `tamper` says, then send.

        tamper: method, path, query and body as they are to be sent; headers: a new value each, or what makes one of
        the old value
        """
        signed_body = body if isinstance(body, bytes) else None
        changed: dict[str, object] = {"method": method, "path": path, "query": query, "body": body, **(tamper or {})}
        all_headers = dict(self.signed(method, path, query, headers or {}, signed_body))
        for name, change in cast(dict[str, str | Change], changed.get("headers", {})).items():
            all_headers[name] = change if isinstance(change, str) else change(all_headers[name])
        text = f"{self.sp.endpoint}{changed['path']}" + (f"?{changed['query']}" if changed["query"] else "")
        sent = changed["body"]
        stream = io.BytesIO(sent) if isinstance(sent, bytes) else sent  # aiohttp warns of large bytes
        async with self.session.request(
            str(changed["method"]),
            URL(text, encoded=True),
            headers=all_headers,
            skip_auto_headers=("content-type",),  # it would be part of what is signed
            data=stream,
            allow_redirects=False,
        ) as answer:
            return Answer(answer.status, dict(answer.headers), await answer.read())

    @asynccontextmanager
    async def begun_put(
        self, bucket: str, name: str, declared: int
    ) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """A PUT whose head is sent, with this Content-Length, and whose body the server has begun to wait for; what it
        gets of that is the test's business."""
        path = f"/{bucket}/{quote(name)}"
        signed = self.signed("PUT", path, "", {"content-length": str(declared)}, None)
        reader, writer = await asyncio.open_connection("127.0.0.1", self.sp.ports["gateway"])
        host = f"host: 127.0.0.1:{self.sp.ports['gateway']}"
        lines = [f"PUT {path} HTTP/1.1", host, "expect: 100-continue", *map(": ".join, signed), "", ""]
        writer.write("\r\n".join(lines).encode())
        try:
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            yield reader, writer
        finally:
            writer.close()
            await writer.wait_closed()

    async def make_bucket(self, bucket: str, acl: str = "private") -> None:
        made = await self.call("PUT", f"/{bucket}", headers={"x-amz-acl": acl})
        assert made.status == 200, made.body

    async def put(self, bucket: str, name: str, body: bytes, **headers: str) -> Answer:
        return await self.call("PUT", f"/{bucket}/{quote(name)}", headers=headers, body=body)

    async def get(self, bucket: str, name: str, **headers: str) -> Answer:
        return await self.call("GET", f"/{bucket}/{quote(name)}", headers=headers)


@asynccontextmanager
async def s3_session(sp: Sp, account: Account | None, key: PrivateKey | None = None) -> AsyncIterator[S3]:
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        yield S3(session, sp, account, key)
