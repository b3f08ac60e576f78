"""The next nonce of every key: one transaction of a key is handed to the chain at a time, many may wait for a block."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, TypeVar

from chain.client import Chain
from sp.domain.errors import DeadlineExceeded, TxRefused
from sp.domain.ids import Address
from sp.runtime.log import get_logger

T = TypeVar("T")

WRONG_SEQUENCE: Final = ("sdk", 32)
"""cosmos-sdk's ErrWrongSequence: the transaction's nonce is not the account's next one."""

log = get_logger(__name__)


@dataclass(slots=True)
class _Account:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    next: int | None = None  # None: to be read from the chain


class Nonces:
    """Counts locally, so that several transactions of one key fit into one block; asks the chain when in doubt.

    The lock of a key is held across its broadcast on purpose: the chain takes nonces in order only.
    """

    def __init__(self, chain: Chain, tries: int, block_timeout_s: float) -> None:
        self._chain = chain
        self._tries = tries
        self._block_timeout_s = block_timeout_s
        self._accounts: dict[Address, _Account] = {}

    async def use(self, address: Address, broadcast: Callable[[int], Awaitable[T]]) -> T:
        """Call `broadcast` with the account's next nonce, again with a fresh one while the chain calls it wrong."""
        account = self._accounts.setdefault(address, _Account())
        async with account.lock:
            for left in reversed(range(self._tries)):
                nonce = await self._next(address, account)
                try:
                    return await self._once(account, nonce, broadcast)
                except TxRefused as error:
                    if (error.codespace, error.code) != WRONG_SEQUENCE or not left:
                        raise
                    log.info("nonce out of step", account=address, nonce=nonce)
                    await self._catch_up(address, account, nonce)
            raise AssertionError("the last try returns or raises")

    async def _next(self, address: Address, account: _Account) -> int:
        if account.next is None:
            account.next = (await self._chain.account(address)).nonce
        return account.next

    async def _once(self, account: _Account, nonce: int, broadcast: Callable[[int], Awaitable[T]]) -> T:
        account.next = None  # unknown from here on, also when this is cancelled: it may have arrived
        try:
            answer = await broadcast(nonce)
        except TxRefused as error:
            if (error.codespace, error.code) != WRONG_SEQUENCE:
                account.next = nonce  # looked at and turned away: not used up
            raise
        account.next = nonce + 1
        return answer

    async def _catch_up(self, address: Address, account: _Account, refused: int) -> None:
        """Read the nonce; where the chain still names the refused one, earlier transactions of this key wait in its
        pool: the next block counts them."""
        height = (await self._chain.latest_block()).height
        account.next = (await self._chain.account(address)).nonce
        if account.next != refused:
            return
        account.next = None
        try:
            async with asyncio.timeout(self._block_timeout_s):
                await self._chain.next_block(height)
        except TimeoutError as error:
            raise DeadlineExceeded("the next block", int(self._block_timeout_s * 1000)) from error
