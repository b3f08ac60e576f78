"""Who may begin to send: a share of the memory is set aside before the first byte is taken."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Final

from sp.domain.errors import Overloaded
from sp.runtime.limits import IN_USE, LIMIT, REFUSED, WAITING
from sp.runtime.turns import Turns
from sp.runtime.work import current_share

RESERVED_FOR_SMALL: Final = 8
"""One part in so many of the budget is for small ones alone."""


class Admitted:
    """One share, held inside `async with`."""

    __slots__ = ("_admission", "_cost", "_small")

    def __init__(self, admission: Admission, small: bool, cost: int) -> None:
        self._admission = admission
        self._small = small
        self._cost = cost

    async def __aenter__(self) -> None:
        await self._admission.take(self._small, self._cost)

    async def __aexit__(self, *_: object) -> None:
        self._admission.give_back(self._small, self._cost)


@dataclass(eq=False, slots=True)
class _Waiting:
    cost: int
    in_line: bool = True
    ready: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Admission:
    """A budget of bytes for bodies on their way in. Each is charged what it can hold in memory at most: its size, but
    no more than `each_bytes` (and no less than total_bytes / most, so that there are never more than `most` at once).

    Whoever finds no room waits in line, accounts in turn (sp.runtime.work says whose it is); the line is bounded in
    length and in time, past which Overloaded is raised. An eighth of the budget is for small ones alone, so that large
    ones never keep them out; while large ones wait, small ones have that eighth and no more, so that room for a large
    one comes together again. Nobody asks for more while holding a share, so none waits for another in a circle.

    name:        of the limit, in errors and metrics
    small_bytes: the largest size that counts as small; a size that is not known is large
    queue:       how many may wait; 0: none, who finds no room is refused at once
    patience_s:  how long each may wait
    """

    def __init__(
        self,
        name: str,
        *,
        total_bytes: int,
        most: int,
        each_bytes: int,
        small_bytes: int,
        queue: int,
        patience_s: float,
    ) -> None:
        assert total_bytes >= most >= 1
        self._name = name
        self._total = total_bytes
        self._least = -(-total_bytes // most)
        self._each = each_bytes
        self._reserve = total_bytes // RESERVED_FOR_SMALL if most >= RESERVED_FOR_SMALL else 0
        self._small_bytes = small_bytes
        self._queue = queue
        self._patience_s = patience_s
        self._used = {True: 0, False: 0}  # by whether they are small
        self._lines: dict[bool, Turns[_Waiting]] = {True: Turns(), False: Turns()}
        self._in_use = IN_USE.labels(f"{name}, bytes")
        LIMIT.labels(f"{name}, bytes").set(total_bytes)
        self._in_line, self._refused = WAITING.labels(name), REFUSED.labels(name)

    @property
    def used_bytes(self) -> int:
        return self._used[True] + self._used[False]

    @property
    def waiting(self) -> int:
        return len(self._lines[True]) + len(self._lines[False])

    def admitted(self, size_bytes: int | None) -> Admitted:
        """`async with`: inside, a share is held. size_bytes: of the body, None when it is not known. Overloaded."""
        small = bool(self._reserve) and size_bytes is not None and size_bytes <= self._small_bytes
        return Admitted(self, small, self._cost(size_bytes, small))

    async def take(self, small: bool, cost: int) -> None:
        if self._lines[small] or not self._fits(small, cost):
            await self._wait(small, cost)
        else:
            self._take(small, cost)

    def _cost(self, size_bytes: int | None, small: bool) -> int:
        holds = self._each if size_bytes is None else min(size_bytes, self._each)
        return min(max(holds, self._least), self._reserve if small else self._total - self._reserve)

    def _fits(self, small: bool, cost: int) -> bool:
        if self.used_bytes + cost > self._total:
            return False
        if small:
            return not self._lines[False] or self._used[True] + cost <= self._reserve
        return self._used[False] + cost <= self._total - self._reserve

    async def _wait(self, small: bool, cost: int) -> None:
        if self.waiting >= self._queue:
            self._refused.inc()
            raise Overloaded(self._name)
        share, line, entry = current_share(), self._lines[small], _Waiting(cost)
        line.add(share.owner, share.flow, entry)
        try:
            with self._in_line.track_inprogress():
                async with asyncio.timeout(self._patience_s):
                    await entry.ready
        except (asyncio.CancelledError, TimeoutError) as end:
            if entry.in_line:
                line.remove(share.owner, share.flow, entry)
                self._grant()  # whoever stood behind it may fit
            elif not entry.ready.cancelled():
                self.give_back(small, cost)  # granted in the same moment: handed on
            if isinstance(end, asyncio.CancelledError):
                raise
            self._refused.inc()
            raise Overloaded(self._name) from None

    def _take(self, small: bool, cost: int) -> None:
        self._used[small] += cost
        self._in_use.inc(cost)

    def give_back(self, small: bool, cost: int) -> None:
        self._used[small] -= cost
        self._in_use.dec(cost)
        assert self._used[small] >= 0
        self._grant()

    def _grant(self) -> None:
        """Small ones first where they fit: of a large line they have their eighth, of an empty one everything."""
        granted = True
        while granted:
            granted = self._grant_one(True) or self._grant_one(False)

    def _grant_one(self, small: bool) -> bool:
        line = self._lines[small]
        if not line or not self._fits(small, line.head().cost):
            return False
        entry = line.take()
        entry.in_line = False
        if not entry.ready.cancelled():
            self._take(small, entry.cost)
            entry.ready.set_result(None)
        return True
