"""A small S3 client for tests: signs with the gateway's own client-side signer and speaks plain HTTP."""

from __future__ import annotations

from dataclasses import dataclass

import aiohttp

from tests.cluster.network import REGION, Account, Sp


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes
