"""Bytes that others must agree on, made with the network's own software and never with ours.

vectors.json          checksums of objects, parity of tiny segments (its `confirmed_by` says by what)
signdoc_vectors.json  documents that are signed, their hashes and signatures
auth_vectors.json     signed HTTP requests of the Greenfield SDKs
sigv4_*.json[l]       signed HTTP requests of S3
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parent


@cache
def load(name: str) -> Any:
    """The parsed file; shared between tests, so not to be changed."""
    return json.loads((_FOLDER / name).read_text(encoding="utf-8"))


def payload(size: int) -> bytes:
    """The payload of most checksum vectors: byte i is (7 i + 3) mod 256."""
    period = bytes((7 * i + 3) & 0xFF for i in range(256))
    return (period * (size // 256 + 1))[:size]


def numbered_lines() -> bytes:
    """The payload of `upstream_go_vector`, as greenfield-common's go/hash/hash_test.go makes it: 113,194,784 bytes."""
    line = "1234567890," * 8 + "1234567890"
    return "".join(f"[{i:05d}] {line}\n" for i in range(1024 * 1024)).encode()
