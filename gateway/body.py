"""Check a body against everything the request promised of it, while it streams past.

The put is committed only when the payload ends by itself: a digest, a signature or a length that does not fit raises at
the end, before that. Large chunks are hashed in the CPU pool, one at a time per body, while the chunk before is being
stored.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from gateway.auth.scheme import BodyCheck
from gateway.aws_chunked import Decoder, Framing, framing_of
from gateway.checksums import (
    CHECKSUM_HEADERS,
    DIGEST_HEADERS,
    DeclaredDigest,
    declared_digests,
    decoded_digest,
    encoded_digest,
)
from gateway.errors import MissingContentLength
from gateway.request import RequestHead
from sp.crypto.checksums import Hasher
from sp.domain.errors import ObjectTooLarge, PayloadDigestMismatch, PayloadSizeMismatch
from sp.runtime.chunks import Gathered, Piece, coalesced
from sp.runtime.pool import CpuPool

INLINE_BYTES: Final = 1 << 16
"""A chunk shorter than this is hashed where we are: a hop to the pool costs more."""


DECODED_INLINE_BYTES: Final = 1 << 13
"""The same for the decoder of a framed body: whoever frames every byte by itself makes it work hard for little."""

SMALL_BYTES: Final = 1 << 16
"""A body that says that it is no longer, and has no framing, is handed on in one piece, once it has been checked."""


@dataclass(frozen=True, slots=True)
class BodyPlan:
    """What a request says of its body, beforehand.

    size:     bytes of payload, or None when the head does not say
    digests:  that the head promises; more may be promised by the framing's trailer
    framing:  None when the body is the payload itself
    """

    size: int | None
    digests: tuple[DeclaredDigest, ...] = ()
    framing: Framing | None = None

    @property
    def promised(self) -> set[str]:
        """The headers of the digests in the head."""
        return {declared.header for declared in self.digests}


def body_plan(head: RequestHead, check: BodyCheck, unsaid: int | None = None) -> BodyPlan:
    """Pure, and before the first byte is read. What cannot be checked is refused, not ignored.

    check:  what the signature scheme promised (Identity.body_check)
    unsaid: the size of a body whose head has neither Content-Length nor chunks (0: there is none); None: it must say
    Raises InvalidDigest, InvalidRequest, InvalidArgument, MissingContentLength, MalformedTrailer, NotSupported.
    """
    framing = framing_of(head, check)
    digests = declared_digests(head, check, () if framing is None else framing.trailers)
    if framing is not None:
        return BodyPlan(framing.size, digests, framing)
    says = head.values("content-length") or head.values("transfer-encoding")
    return BodyPlan(declared_size(head) if says or unsaid is None else unsaid, digests)


def declared_size(head: RequestHead) -> int | None:
    """Content-Length; None for a chunked body. MissingContentLength when the head says neither."""
    length = head.header("content-length")
    if length.isascii() and length.isdigit():
        return int(length)
    if length or "chunked" not in head.header("transfer-encoding").lower():
        raise MissingContentLength
    return None


class CheckedBody:
    """The payload of one body, checked on its way: read `chunks` to the end, then ask the rest.

    max_size: bytes of payload that it may never exceed, whatever the plan says
    also: headers of DIGEST_HEADERS whose digests are wanted though nobody promised them
    """

    def __init__(
        self, body: AsyncIterator[bytes], plan: BodyPlan, max_size: int, pool: CpuPool, also: Iterable[str] = ()
    ) -> None:
        self._body = body
        self._plan = plan
        self._max_size = max_size
        self._pool = pool
        self._decoder = Decoder(plan.framing) if plan.framing is not None else None
        self._trailers = plan.framing.trailers if plan.framing is not None else ()
        headers = [*(declared.header for declared in plan.digests), *self._trailers, *also]
        self._hashers: dict[str, Hasher] = {}  # by algorithm: x-amz-content-sha256 and x-amz-checksum-sha256 share one
        for header in headers:
            algorithm = DIGEST_HEADERS[header]
            if algorithm.name not in self._hashers:
                self._hashers[algorithm.name] = algorithm.new()
        self._headers = dict.fromkeys(headers)
        self._received = 0

    async def chunks(self, at_end: Callable[[], Awaitable[object]] | None = None) -> AsyncGenerator[Piece, None]:
        """The payload, ending only if every promise held. Once. In chunks of CHUNK_BYTES where there is something to
        hash, of which it holds two at most; a small body as a whole; else as the pieces come.

        at_end: awaited once all of it has been taken and every promise held; what it raises comes out
        Raises PayloadSizeMismatch (as soon as it is too long, or at the end), ObjectTooLarge, PayloadDigestMismatch,
        what the framing's decoder raises, and whatever the body raises.
        """
        if self._decoder is None and self._plan.size is not None and self._plan.size <= SMALL_BYTES:
            if whole := await self._whole():
                yield whole
        else:
            async with aclosing(self._in_chunks()) as chunks:
                async for chunk in chunks:
                    yield chunk
        if at_end is not None:
            await at_end()

    async def _whole(self) -> bytes:
        """A small body, checked."""
        gathered = Gathered()
        async for chunk in self._body:
            self._received += len(chunk)
            self._check_not_longer()
            gathered.add(chunk)
        whole = gathered.joined()
        self._hash(whole)
        self._check_end()
        return whole

    async def _in_chunks(self) -> AsyncGenerator[Piece, None]:
        pending: asyncio.Task[None] | None = None
        try:
            async with (
                aclosing(self._payload()) as payload,
                aclosing(coalesced(payload) if self._hashers else payload) as chunks,
            ):
                async for chunk in chunks:
                    self._received += len(chunk)
                    self._check_not_longer()
                    if pending is not None:
                        await pending
                        pending = None
                    if len(chunk) < INLINE_BYTES:
                        self._hash(chunk)
                    elif self._hashers:
                        pending = asyncio.create_task(self._pool.run(self._hash, chunk), name="hash body chunk")
                    yield chunk
            if pending is not None:
                await pending
        finally:
            if pending is not None and not pending.done():
                pending.cancel()
                await asyncio.wait([pending])
        self._check_end()

    def digest(self, header: str) -> bytes:
        """Of the payload, after its end. header: one that was promised, or is in `also`"""
        return self._hashers[DIGEST_HEADERS[header].name].digest()

    def checksums(self) -> dict[str, str]:
        """Every x-amz-checksum-* that was promised (in head or trailer) or is in `also`, after the end: all true."""
        return {header: encoded_digest(self.digest(header)) for header in self._headers if header in CHECKSUM_HEADERS}

    def trailing(self) -> dict[str, str]:
        """Of these, those that came behind the payload, so that the head of a put could not name them."""
        return {header: encoded_digest(self.digest(header)) for header in self._trailers}

    async def _payload(self) -> AsyncGenerator[Piece, None]:
        if self._decoder is None:
            async for chunk in self._body:
                yield chunk
            return
        async for chunk in self._body:
            if len(chunk) >= DECODED_INLINE_BYTES:
                pieces = await self._pool.run(self._decoder.feed, chunk)
            else:
                pieces = self._decoder.feed(chunk)
            for piece in pieces:
                yield piece
        self._decoder.end()

    def _hash(self, chunk: Piece) -> None:
        for hasher in self._hashers.values():
            hasher.update(chunk)

    def _check_not_longer(self) -> None:
        if self._plan.size is not None and self._received > self._plan.size:
            raise PayloadSizeMismatch(self._plan.size, self._received)
        if self._received > self._max_size:
            raise ObjectTooLarge(self._received, self._max_size)

    def _check_end(self) -> None:
        if self._plan.size is not None and self._received != self._plan.size:
            raise PayloadSizeMismatch(self._plan.size, self._received)
        promised = list(self._plan.digests)
        if self._decoder is not None:
            trailers = self._decoder.trailers.items()
            promised += [DeclaredDigest(name, decoded_digest(name, value)) for name, value in trailers]
        for declared in promised:
            computed = self.digest(declared.header)
            if computed != declared.digest:
                raise PayloadDigestMismatch(declared.header, declared.digest.hex(), computed.hex())
