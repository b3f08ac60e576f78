"""A listening gateway, and a client that sends exactly what it is told to."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from gateway.request import RequestHead
from gateway.sign import sign_gnfd1, sign_sigv4
from tests.turns import turn
from tests.unit.gateway_world import ACCESS_KEY, SECRET_KEY, USER_KEY, World, gateway_world

MIB = 1 << 20


async def until(condition: Callable[[], object]) -> None:
    """Let the loop turn until it is so; TimeoutError after 10 s."""
    async with asyncio.timeout(10):
        while not condition():
            await turn()


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    def __getitem__(self, name: str) -> str:
        return self.headers[name]

    @property
    def code(self) -> str:
        found = re.search(rb"<Code>(.*?)</Code>", self.body)
        return found[1].decode() if found else ""


class Connection:
    """An HTTP client that sends exactly what it is told to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, address: str) -> None:
        self.reader, self.writer, self.address = reader, writer, address

    def head(self, method: str, target: str, *more: tuple[str, str], sign: Any = None) -> bytes:
        headers = [("Host", self.address), *more]
        head = RequestHead.of_target(method, target, headers)
        headers += sign(head) if sign else []
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
        return f"{method} {target} HTTP/1.1\r\n{lines}\r\n".encode("utf-8", "surrogateescape")

    async def send(self, raw: bytes) -> None:
        self.writer.write(raw)
        await self.writer.drain()

    async def reply(self, method: str = "GET") -> Reply:
        head = (await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 10)).decode().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        status = int(head[0].split()[1])
        length = 0 if method == "HEAD" or status in (100, 204, 304) else int(headers.get("content-length", 0))
        return Reply(status, headers, await asyncio.wait_for(self.reader.readexactly(length), 10))

    async def ask(self, method: str, target: str, body: bytes = b"", *more: tuple[str, str], sign: Any = None) -> Reply:
        length = [("Content-Length", str(len(body)))] if body or method == "PUT" else []
        await self.send(self.head(method, target, *length, *more, sign=sign or signed(body)) + body)
        return await self.reply(method)

    async def closed(self) -> bool:
        try:
            return await asyncio.wait_for(self.reader.read(1), 10) == b""
        except ConnectionError:
            return True


def signed(payload: bytes | None = b"", **more: Any) -> Callable[[RequestHead], list[tuple[str, str]]]:
    return lambda head: sign_sigv4(head, ACCESS_KEY, SECRET_KEY, int(time.time()), payload=payload, **more)


def greenfield(head: RequestHead) -> list[tuple[str, str]]:
    return sign_gnfd1(head, USER_KEY.sign, int(time.time()) + 60)


def anonymous(_: RequestHead) -> list[tuple[str, str]]:
    return []


@dataclass
class Site:
    world: World
    address: str

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        host, _, port = self.address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port), limit=4 * MIB)
        try:
            yield Connection(reader, writer, self.address)
        finally:
            writer.close()
            await asyncio.gather(writer.wait_closed(), return_exceptions=True)

    async def ask(self, *request: Any, **more: Any) -> Reply:
        async with self.connection() as connection:
            return await connection.ask(*request, **more)


@asynccontextmanager
async def site_with(**settings: Any) -> AsyncIterator[Site]:
    async with gateway_world(**settings) as world, world.http() as address:
        world.bucket("photos")
        yield Site(world, address)
