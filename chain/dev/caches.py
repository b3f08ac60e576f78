"""What a client remembers of the chain, and what makes it forget.

A question that was asked before something changed may be answered after: so what is about to be asked takes a ticket,
and an answer whose ticket is out of date is not remembered.
"""

from __future__ import annotations

from typing import Final, Generic, TypeVar

from sp.domain.ids import Address
from sp.domain.ledger import Action, Block, EventType, StorageProvider
from sp.domain.params import StorageParams

T = TypeVar("T")
K = TypeVar("K")

EARLIER_PARAMS_KEPT: Final = 4096

Question = tuple[Address | None, str, str | None, Action]


class Remembered(Generic[T]):
    """One value that holds until `forget`."""

    def __init__(self) -> None:
        self.value: T | None = None
        self.ticket = 0

    def forget(self) -> None:
        self.value = None
        self.ticket += 1

    def keep(self, value: T, ticket: int) -> None:
        if ticket == self.ticket:
            self.value = value


class Caches:
    """providers: until PROVIDERS_CHANGED
    params:      one answer for all times since the last PARAMS_CHANGED (or since the stream began), and those of single
                 earlier times. Only of times up to the newest block's: whatever changes them has been heard by then
    permissions: answers at the newest block, until the next one
    """

    def __init__(self, permissions_limit: int) -> None:
        self.providers: Remembered[dict[Address, StorageProvider]] = Remembered()
        self._params: Remembered[StorageParams] = Remembered()
        self._params_since_s = 0
        self._earlier_params: dict[int, StorageParams] = {}
        self._permissions: dict[Question, bool] = {}
        self._permissions_limit = permissions_limit
        self._newest: Block | None = None

    def hear(self, block: Block | None) -> None:
        """The next block; None: an unknown number of blocks was missed."""
        self._permissions.clear()
        if block is None:
            self._newest = None
            self.providers.forget()
            self._params.forget()
            self._earlier_params.clear()
            return
        kinds = {event.type for event in block.events}
        if EventType.PROVIDERS_CHANGED in kinds:
            self.providers.forget()
        if self._newest is None or EventType.PARAMS_CHANGED in kinds:
            self._params.forget()
            self._params_since_s = block.time_s + 1  # a change holds from the second after its block
        self._newest = block

    # --- parameters

    def params_at(self, time_s: int) -> StorageParams | None:
        if self._newest is None or time_s > self._newest.time_s:
            return None
        return self._params.value if time_s >= self._params_since_s else self._earlier_params.get(time_s)

    @property
    def params_ticket(self) -> int:
        """To be taken before asking."""
        return self._params.ticket

    def keep_params(self, time_s: int, params: StorageParams, ticket: int) -> None:
        if self._newest is None or time_s > self._newest.time_s or ticket != self._params.ticket:
            return
        if time_s >= self._params_since_s:
            self._params.keep(params, ticket)
        else:
            _make_room(self._earlier_params, EARLIER_PARAMS_KEPT)
            self._earlier_params[time_s] = params

    # --- permissions

    def permission(self, question: Question) -> bool | None:
        return self._permissions.get(question)

    def keep_permission(self, question: Question, answer: bool, height: int) -> None:
        """height: of the newest block, before asking"""
        if self._newest is not None and self._newest.height == height:
            _make_room(self._permissions, self._permissions_limit)
            self._permissions[question] = answer


def _make_room(mapping: dict[K, T], limit: int) -> None:
    """For one more: the oldest goes."""
    if len(mapping) >= limit:
        del mapping[next(iter(mapping))]
