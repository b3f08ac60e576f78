"""The chain's answers that every request needs, remembered for the present block only.

A grant, a new bucket or a new owner counts from the next block on, so an answer of this height is as good as a fresh
one. Refusals by exception (NoSuchBucket, NoSuchObject) are not kept.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from chain.client import Chain
from sp.domain.ids import Address
from sp.domain.ledger import Action, Block, Bucket
from sp.domain.params import StorageParams

K = TypeVar("K")
V = TypeVar("V")

_Permission = tuple[Address | None, str, str | None, Action]


@dataclass(slots=True)
class ChainView:
    """limit: answers kept of each kind."""

    chain: Chain
    limit: int = 4096
    _height: int = 0
    _buckets: dict[str, Bucket] = field(default_factory=dict, repr=False)
    _permissions: dict[_Permission, bool] = field(default_factory=dict, repr=False)

    async def head_bucket(self, bucket: str) -> Bucket:
        """NoSuchBucket."""
        height = await self._at_present()
        return await self._remembered(self._buckets, bucket, height, lambda: self.chain.head_bucket(bucket))

    async def allowed(self, account: Address | None, bucket: str, object_name: str | None, action: Action) -> bool:
        """VerifyPermission. NoSuchBucket, NoSuchObject."""
        height = await self._at_present()
        return await self._remembered(
            self._permissions,
            (account, bucket, object_name, action),
            height,
            lambda: self.chain.verify_permission(account, bucket, object_name, action),
        )

    async def latest_block(self) -> Block:
        return await self.chain.latest_block()

    async def params_now(self) -> StorageParams:
        return await self.chain.params_at((await self.chain.latest_block()).time_s)

    def forget(self) -> None:
        """Ask again: we know that the chain has moved."""
        self._buckets.clear()
        self._permissions.clear()

    async def _at_present(self) -> int:
        block = await self.chain.latest_block()
        if block.height != self._height:
            self.forget()
            self._height = block.height
        return self._height

    async def _remembered(self, kept: dict[K, V], key: K, height: int, ask: Callable[[], Awaitable[V]]) -> V:
        if key in kept:
            return kept[key]
        answer = await ask()
        if height == self._height and len(kept) < self.limit:  # a block that came meanwhile may have changed it
            kept[key] = answer
        return answer
