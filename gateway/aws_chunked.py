"""The framing inside a body that x-amz-content-sha256 announces as STREAMING-...: an incremental decoder, pure.

    SIZE[;chunk-signature=HEX64]\\r\\n PAYLOAD \\r\\n  ...  0[;chunk-signature=HEX64]\\r\\n
    [name:value\\r\\n]  [x-amz-trailer-signature:HEX64\\r\\n]  \\r\\n

It is no Content-Encoding (restic sends none) and no Transfer-Encoding (it may be inside one). Stored as it is, it would
be a silently damaged object.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from gateway.auth.scheme import BodyCheck
from gateway.auth.sigv4_chunks import EMPTY_SHA256, ChunkSeed, ChunkSignatures
from gateway.checksums import CHECKSUM_HEADERS, CONTENT_SHA256
from gateway.errors import (
    BodyCutShort,
    InvalidArgument,
    MalformedFraming,
    MalformedTrailer,
    MissingContentLength,
    NotSupported,
)
from gateway.request import RequestHead
from sp.domain.errors import InvalidRequest, PayloadSizeMismatch, SignatureMismatch
from sp.runtime.chunks import Gathered, Piece

SIGNED: Final = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
SIGNED_TRAILER: Final = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
UNSIGNED_TRAILER: Final = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
TRAILER_SIGNATURE: Final = "x-amz-trailer-signature"
DECODED_LENGTH: Final = "x-amz-decoded-content-length"

MAX_LINE_BYTES: Final = 512
"""Of a chunk's head or a trailer. The longest that a client needs is about 100."""

FREE_CHUNKS: Final = 4096
MIN_AVERAGE_BYTES: Final = 64
"""After the first FREE_CHUNKS, chunks must hold so much on average: smaller ones cost far more work than they bring.
(S3 demands 8 KiB of every chunk but the last; some clients that know other servers send less.)"""

_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
_SIZE = re.compile(rb"[0-9a-fA-F]{1,16}")
_CHUNK_SIGNATURE = re.compile(rb"chunk-signature=([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Framing:
    """How one body is framed.

    size:      bytes of payload that must come out
    trailers:  names of the checksums that come behind the payload
    seed:      what the chunks' signatures start from; None: they are not signed
    """

    size: int
    trailers: tuple[str, ...] = ()
    seed: ChunkSeed | None = None


def framing_of(head: RequestHead, check: BodyCheck) -> Framing | None:
    """None for a body that is its own payload. Looks at x-amz-content-sha256 alone.

    Refuses what it would otherwise store with its framing inside: NotSupported, InvalidArgument, InvalidRequest,
    MissingContentLength.
    """
    name = head.header(CONTENT_SHA256)
    if not name.startswith("STREAMING-"):
        _refuse_unannounced(head)
        return None
    if name.startswith("STREAMING-AWS4-ECDSA-"):
        raise NotSupported("Signature Version 4A")
    if name not in (SIGNED, SIGNED_TRAILER, UNSIGNED_TRAILER):
        raise InvalidArgument(CONTENT_SHA256, f"it must be one of {SIGNED}, {SIGNED_TRAILER}, {UNSIGNED_TRAILER}")
    seed = None if name == UNSIGNED_TRAILER else check.chunks
    if name != UNSIGNED_TRAILER and seed is None:
        raise NotSupported("signed chunks in a request that is not signed with Signature Version 4")
    return Framing(_decoded_length(head), _announced(head, name), seed)


def _refuse_unannounced(head: RequestHead) -> None:
    """Whoever gives the SHA-256 of the body has sent the body itself, whatever he calls it; others are not trusted."""
    encodings = [encoding.strip().lower() for encoding in head.header("content-encoding").split(",")]
    whole = _SHA256.fullmatch(head.header(CONTENT_SHA256))
    if ("aws-chunked" in encodings and not whole) or head.values(DECODED_LENGTH):
        raise NotSupported("an aws-chunked body whose x-amz-content-sha256 does not begin with STREAMING-")
    if head.values("x-amz-trailer"):
        raise InvalidRequest("x-amz-trailer without an x-amz-content-sha256 that ends with -TRAILER")


def _decoded_length(head: RequestHead) -> int:
    length = head.header(DECODED_LENGTH)
    if not (length.isascii() and length.isdigit()) or len(length) > 19:
        raise MissingContentLength
    return int(length)


def _announced(head: RequestHead, name: str) -> tuple[str, ...]:
    announced = [trailer.strip().lower() for trailer in head.header("x-amz-trailer").split(",") if trailer.strip()]
    if announced and name == SIGNED:
        raise InvalidRequest(f"x-amz-trailer, but {CONTENT_SHA256} does not end with -TRAILER")
    if not announced and name == SIGNED_TRAILER:
        raise MalformedTrailer("x-amz-trailer does not say what it is")
    if len(announced) > 1 or not CHECKSUM_HEADERS.keys() >= set(announced):
        raise InvalidRequest("x-amz-trailer must name one x-amz-checksum- header")
    return tuple(announced)


class Decoder:
    """Takes a framed body in any cut, gives its payload.

    trailers: names and values, complete once `end` has returned. If the chunks are signed, all payload is hashed here.
    """

    def __init__(self, framing: Framing) -> None:
        self.trailers: dict[str, str] = {}
        self._framing = framing
        self._chain = ChunkSignatures(framing.seed) if framing.seed is not None else None
        self._on_line: Callable[[bytes], None] | None = self._size_line  # None: nothing may follow
        self._line = bytearray()
        self._left = 0
        self._received = 0
        self._chunks = 0
        self._claimed = ""
        self._sha256 = hashlib.sha256()
        self._trailer_signature = ""
        self._blank_lines = 0

    def feed(self, chunk: bytes) -> list[Piece]:
        """The payload in the next bytes of the body, large pieces of it as views of `chunk`.

        MalformedFraming, MalformedTrailer, PayloadSizeMismatch, SignatureMismatch.
        """
        view, at, found = memoryview(chunk), 0, Gathered()
        while at < len(chunk):
            if self._left:
                piece = view[at : at + self._left]
                self._payload(piece)
                found.add(piece)
                at += len(piece)
            else:
                at = self._text(chunk, at)
        if found.size * 2 < len(chunk):  # do not keep a large buffer alive for the little payload in it
            return [found.joined()] if found.size else []
        return found.pieces

    def end(self) -> None:
        """The body has ended. BodyCutShort unless it was complete."""
        if self._on_line is not None:
            raise BodyCutShort(self._received, self._framing.size)

    def _payload(self, piece: memoryview) -> None:
        if self._chain is not None:
            self._sha256.update(piece)
        self._left -= len(piece)
        self._received += len(piece)
        if not self._left and self._chain is not None:
            self._chain.check_chunk(self._sha256.hexdigest(), self._claimed)

    def _text(self, chunk: bytes, at: int) -> int:
        """Take one line, or the beginning of one, from `at` on; where it ends."""
        if self._on_line is None:
            raise MalformedFraming("there are bytes after its end")
        end = chunk.find(b"\n", at, at + MAX_LINE_BYTES)
        stop = end + 1 if end >= 0 else len(chunk)
        if len(self._line) + stop - at > MAX_LINE_BYTES:
            raise MalformedFraming("a line is too long")
        self._line += chunk[at:stop]
        if end >= 0:
            line = bytes(self._line)
            self._line.clear()
            self._on_line(line)
        return stop

    def _size_line(self, line: bytes) -> None:
        digits, _, extension = line.removesuffix(b"\r\n").partition(b";")
        if not line.endswith(b"\r\n") or not _SIZE.fullmatch(digits):
            raise MalformedFraming("a chunk does not begin with its size in hex")
        size = int(digits, 16)
        if self._received + size > self._framing.size:
            raise PayloadSizeMismatch(self._framing.size, self._received + size)
        if self._chain is not None:
            self._claimed = _signature_in(extension)
        self._chunks += 1
        if (self._chunks - FREE_CHUNKS) * MIN_AVERAGE_BYTES > self._received:
            raise MalformedFraming("its chunks are too small")
        if size:
            self._left = size
            self._sha256 = hashlib.sha256()
            self._on_line = self._gap_line
        else:
            self._last_chunk()

    def _last_chunk(self) -> None:
        if self._received != self._framing.size:
            raise PayloadSizeMismatch(self._framing.size, self._received)
        if self._chain is not None:
            self._chain.check_chunk(EMPTY_SHA256, self._claimed)
        self._on_line = self._trailer_line

    def _gap_line(self, line: bytes) -> None:
        if line != b"\r\n":
            raise MalformedFraming("a chunk is longer than its size")
        self._on_line = self._size_line

    def _trailer_line(self, line: bytes) -> None:
        # minio-go ends a trailer with "\n" and puts an empty line before the trailer's signature; S3 accepts both.
        text = line.removesuffix(b"\n").removesuffix(b"\r").decode("utf-8", "surrogateescape")
        if not text:
            self._blank_lines += 1
            self._blank_line()
            return
        name, colon, value = text.partition(":")
        name, value = name.strip().lower(), value.strip()
        if not colon or self._trailer_signature:
            raise MalformedTrailer("it is not a list of NAME:VALUE with the signature last")
        if name == TRAILER_SIGNATURE and self._chain is not None:
            self._trailer_signature = value
        elif name in self._framing.trailers and name not in self.trailers and not self._blank_lines:
            self.trailers[name] = value
        else:
            raise MalformedTrailer("there is one that x-amz-trailer does not announce")

    def _blank_line(self) -> None:
        if self.trailers.keys() != set(self._framing.trailers):
            raise MalformedTrailer("one that x-amz-trailer announces is missing")
        if self._chain is None or not self._framing.trailers:
            self._on_line = None
        elif self._trailer_signature:
            lines = "".join(f"{name}:{value}\n" for name, value in self.trailers.items())
            self._chain.check_trailer(lines, self._trailer_signature)
            self._on_line = None
        elif self._blank_lines > 1:
            raise MalformedTrailer("its signature is missing")


def _signature_in(extension: bytes) -> str:
    claimed = _CHUNK_SIGNATURE.fullmatch(extension)
    if claimed is None:
        raise SignatureMismatch("a chunk has no signature, or not one of 64 hex digits")
    return claimed[1].decode()
