"""Signatures inside a body (STREAMING-AWS4-HMAC-SHA256-PAYLOAD and -TRAILER): pure.

Each chunk's signature covers the one before it, the first one the signature of the request's head (the seed).
Source: https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html and sigv4-streaming-trailers.html
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Final

from gateway.auth import sigv4_text as text
from sp.domain.errors import SignatureMismatch

CHUNK_ALGORITHM: Final = "AWS4-HMAC-SHA256-PAYLOAD"
TRAILER_ALGORITHM: Final = "AWS4-HMAC-SHA256-TRAILER"
EMPTY_SHA256: Final = hashlib.sha256().hexdigest()


@dataclass(frozen=True, slots=True)
class ChunkSeed:
    """What signatures in a body start from. timestamp, scope: as in the head; signature: of the head, 64 hex digits"""

    signing_key: bytes = field(repr=False)
    timestamp: str
    scope: str
    signature: str


class ChunkSignatures:
    """The chain of signatures of one body. Signs for clients, checks for servers."""

    def __init__(self, seed: ChunkSeed) -> None:
        self._seed = seed
        self._previous = seed.signature

    def chunk(self, sha256_hex: str) -> str:
        """The signature of the next chunk, by the hash of its payload."""
        return self._next((CHUNK_ALGORITHM, *self._context(), EMPTY_SHA256, sha256_hex))

    def trailer(self, lines: str) -> str:
        """The signature of the trailer. lines: `name:value\\n` of each trailing header, in the order sent."""
        digest = hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()
        return self._next((TRAILER_ALGORITHM, *self._context(), digest))

    def check_chunk(self, sha256_hex: str, claimed: str) -> None:
        """SignatureMismatch."""
        if not text.same(self.chunk(sha256_hex), claimed):
            raise SignatureMismatch("the signature of a chunk does not belong to it and those before it")

    def check_trailer(self, lines: str, claimed: str) -> None:
        """SignatureMismatch."""
        if not text.same(self.trailer(lines), claimed):
            raise SignatureMismatch("the signature of the trailer does not belong to it and the chunks before it")

    def _context(self) -> tuple[str, str, str]:
        return self._seed.timestamp, self._seed.scope, self._previous

    def _next(self, parts: tuple[str, ...]) -> str:
        self._previous = text.signature(self._seed.signing_key, "\n".join(parts))
        return self._previous
