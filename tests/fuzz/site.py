"""A whole gateway behind a socket: raw bytes in, and whatever comes back must be HTTP and no mistake of ours."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import socket
import struct
import time
from collections.abc import AsyncIterator
from typing import Any, Final

import structlog

from gateway.request import RequestHead
from gateway.sign import sign_gnfd1, sign_sigv4
from sp.domain.challenges import Challenge
from sp.domain.errors import NoSuchObjectId, PieceNotFound
from sp.domain.ids import Address, ObjectId, RedundancyIndex, SegmentIndex
from sp.domain.jobs import PutOrder
from sp.domain.ledger import ChainObject, Visibility
from sp.runtime import log
from sp.wire.jobs import put_order, put_order_pb
from tests.fuzz.guard import request_of
from tests.fuzz.loopback import remote
from tests.unit import gateway_world as gw
from uploader.client import Part, PartReceipt

ANSWER_S: Final = 10.0
QUIET_S: Final = 0.02
"""What a raw request that asks for nothing whole is waited for, before it is hung up on."""

_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3}) ")
_MISTAKES: Final = ("request failed", "response cut off", "Error handling request", "Unhandled exception")


class _Store(gw.Store):
    """Takes no order that would not reach an Uploader in another process."""

    async def put(self, order: PutOrder, *rest: Any, **more: Any) -> Any:
        assert put_order(put_order_pb(order)) == order
        return await super().put(order, *rest, **more)

    async def put_part_at(self, order: PutOrder, part: Part, body: AsyncIterator[bytes]) -> PartReceipt:
        assert put_order(put_order_pb(order)) == order
        size = sum([len(chunk) async for chunk in body])
        return PartReceipt(part.offset + size, None)

    async def resume_offset(self, bucket: str, object_name: str, account: Address) -> int | None:
        return None

    async def challenge(self, object_id: ObjectId, index: RedundancyIndex, segment: SegmentIndex) -> Challenge:
        raise PieceNotFound(f"{object_id} {index} {segment}")


class _Chain(gw.FakeChain):
    async def head_object_by_id(self, object_id: ObjectId, *, newest: bool = False) -> ChainObject:
        found = [each for each in self.objects.values() if each.id == object_id]
        if not found:
            raise NoSuchObjectId(object_id)
        return found[0]


class _Mistakes(logging.Handler):
    """What the gateway, aiohttp and asyncio log of an exception that nobody meant."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.found: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info or any(text in record.getMessage() for text in _MISTAKES):
            self.found.append(record)


class Site:
    """One gateway for all inputs. Its neighbours are in memory and forget everything now and then."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._stack = contextlib.AsyncExitStack()
        self._mistakes = _Mistakes()
        logging.getLogger().addHandler(self._mistakes)
        structlog.configure(
            processors=[log.merge_bound, structlog.stdlib.render_to_log_kwargs],
            wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
            logger_factory=structlog.stdlib.LoggerFactory(),
            cache_logger_on_first_use=False,
        )
        self._world, self._address = self._loop.run_until_complete(self._start())

    async def _start(self) -> tuple[gw.World, str]:
        with contextlib.ExitStack() as patches:
            patches.callback(setattr, gw, "Store", gw.Store)
            patches.callback(setattr, gw, "FakeSigner", gw.FakeSigner)
            patches.callback(setattr, gw, "FakeChain", gw.FakeChain)
            gw.Store, gw.FakeChain, true = _Store, _Chain, gw.FakeSigner  # type: ignore[misc]
            gw.FakeSigner = lambda chain: remote(_all_signers(true(chain)))  # type: ignore[misc,assignment]
            world = await self._stack.enter_async_context(gw.gateway_world(domain_name="s3.example", linger_s=0.2))
        self._fill(world)
        return world, await self._stack.enter_async_context(world.http())

    def _fill(self, world: gw.World) -> None:
        world.chain.buckets.clear()
        world.chain.objects.clear()
        world.store.held.clear()
        world.bucket("photos")
        world.bucket("public", visibility=Visibility.PUBLIC_READ)
        world.bucket("elsewhere", primary_sp=gw.ELSEWHERE)
        world.bucket("users", owner=gw.USER)
        world.chain_object("users", "k", b"abc")
        for bucket in ("photos", "public"):
            order = PutOrder(bucket, "k", gw.ALICE, 3, world.chain.params)
            world.store.held[bucket, "k"] = (world.store._job(order, b"abc"), b"abc")

    def ask(self, raw: bytes, *, whole: bool) -> bytes:
        """What comes back. whole: the request ends the connection; otherwise it is hung up on."""
        if len(self._world.store.held) > 50 or len(self._world.chain.buckets) > 20:
            self._fill(self._world)
        return self._loop.run_until_complete(asyncio.wait_for(self._asked(raw, whole), ANSWER_S))

    async def _asked(self, raw: bytes, whole: bool) -> bytes:
        host, _, port = self._address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        came = b""
        try:
            # Closed by a reset: thousands of connections a minute must not linger in TIME_WAIT.
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.write(raw)
            with contextlib.suppress(ConnectionError):  # it hung up on us
                async with asyncio.timeout(None if whole else QUIET_S):
                    while chunk := await reader.read(65_536):
                        came += chunk
        except TimeoutError:
            pass
        finally:
            writer.close()
        return came

    def check(self, came: bytes) -> None:
        statuses = [int(status) for status in _STATUS.findall(came)]
        found, self._mistakes.found = self._mistakes.found, []
        for record in found:
            cause = record.exc_info[1] if record.exc_info else None
            raise AssertionError(record.getMessage()) from cause
        assert 500 not in statuses, came

    def run(self, raw: bytes) -> None:
        """The first byte: sent as it is, or the request signed as an S3 account, as a wallet, or by nobody."""
        if not raw:
            return
        plain = raw[:1] == b"r"
        built = raw[1:].replace(b"\n", b"\r\n", 200) if plain else self._built(raw[:1], raw[1:])
        if built is not None:
            self.check(self.ask(built, whole=not plain))

    def _built(self, how: bytes, text: bytes) -> bytes | None:
        request = request_of(text)
        if request is None:
            return None
        head, body = request
        kept = [(name, value) for name, value in head.headers if name.lower() not in _OURS]
        headers = [("Host", self._address), ("Connection", "close"), *kept]
        if body or head.method in ("PUT", "POST"):
            headers.append(("Content-Length", str(len(body))))
        head = RequestHead(head.method, head.raw_path, head.raw_query, tuple(headers))
        now_s = int(time.time())
        if how == b"4":
            streams = head.header("x-amz-content-sha256").startswith("STREAMING-UNSIGNED")
            headers += sign_sigv4(head, gw.ACCESS_KEY, gw.SECRET_KEY, now_s, payload=None if streams else body)
        elif how == b"g":
            headers += sign_gnfd1(head, gw.USER_KEY.sign, now_s + 60)
        target = head.raw_path + (f"?{head.raw_query}" if head.raw_query else "")
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
        return f"{head.method} {target} HTTP/1.1\r\n{lines}\r\n".encode("utf-8", "surrogateescape") + body

    def close(self) -> None:
        self._loop.run_until_complete(self._stack.aclose())
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()
        logging.getLogger().removeHandler(self._mistakes)
        structlog.reset_defaults()


_OURS: Final = frozenset({"host", "content-length", "transfer-encoding", "connection", "expect"})


def _all_signers(fake: gw.FakeSigner) -> Any:
    """FakeSigner has no `sign`: approvals are signed with zeros."""

    async def sign(document: Any) -> bytes:
        assert document.sign_bytes()
        return bytes(65)

    fake.sign = sign  # type: ignore[attr-defined]
    return fake


def site() -> Site:
    return Site()
