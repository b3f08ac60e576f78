"""What a client remembers of the chain, and what makes it forget.

A question that was asked before something changed may be answered after: so what is about to be asked takes a ticket,
and an answer whose ticket is out of date is not remembered.
"""

from __future__ import annotations

from typing import Final, Generic, TypeVar

from chain.dev.news import GONE, News, decoded
from chain.dev.permissions import Permissions, Question
from sp.domain.errors import NoSuchObjectId
from sp.domain.ids import Address, ObjectId, TxHash
from sp.domain.ledger import NO_OBJECT, Block, Bucket, ChainObject, EventType, StorageProvider, TxResult
from sp.domain.params import StorageParams

T = TypeVar("T")
K = TypeVar("K")

EARLIER_PARAMS_KEPT: Final = 4096
RESULTS_KEPT: Final = 4096


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


class Recent(Generic[K, T]):
    """At most `limit` values by key; the one that was used least recently goes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._values: dict[K, T] = {}

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: K) -> T | None:
        value = self._values.pop(key, None)
        if value is not None:
            self._values[key] = value
        return value

    def put(self, key: K, value: T) -> None:
        self._values.pop(key, None)
        _make_room(self._values, self._limit)
        self._values[key] = value

    def forget(self, key: K) -> None:
        self._values.pop(key, None)

    def clear(self) -> None:
        self._values.clear()


class Caches:
    """providers: until PROVIDERS_CHANGED
    params:      one answer for all times since the last PARAMS_CHANGED (or since the stream began), and those of single
                 earlier times. Only of times up to the newest block's: whatever changes them has been heard by then
    permissions: until a block has an event of their bucket or object
    objects, buckets: by id and by name, until a block has an event of them, and then as its news say. That there is
                 none is remembered only of an id that is gone: it never comes back, while what is not there yet may be
                 there before its block is heard of
    results:     of transactions in the newest blocks

    ticket: to be taken before asking about permissions, objects, buckets
    """

    def __init__(self, permissions_limit: int, objects_limit: int) -> None:
        self.providers: Remembered[dict[Address, StorageProvider]] = Remembered()
        self.permissions = Permissions(permissions_limit)
        self.results: Recent[TxHash, TxResult] = Recent(RESULTS_KEPT)
        self.ticket = 0
        self._objects: Recent[ObjectId, ChainObject | bytes] = Recent(objects_limit)
        self._buckets: Recent[str, Bucket] = Recent(objects_limit)
        self._params: Remembered[StorageParams] = Remembered()
        self._params_since_s = 0
        self._earlier_params: dict[int, StorageParams] = {}
        self._newest: Block | None = None

    def hear(self, news: News | None) -> None:
        """The next block; None: an unknown number of blocks was missed."""
        if news is None:
            self._forget()
            return
        block = news.block
        kinds = {event.type for event in block.events}
        if EventType.PROVIDERS_CHANGED in kinds:
            self.providers.forget()
        if self._newest is None or EventType.PARAMS_CHANGED in kinds:
            self._params.forget()
            self._params_since_s = block.time_s + 1  # a change holds from the second after its block
        self._newest = block
        if block.events:
            self._hear_events(news)
        for result in news.results.values():
            self.results.put(result.tx_hash, result)

    def _forget(self) -> None:
        self.ticket += 1
        self._newest = None
        self.providers.forget()
        self.permissions.clear()
        self.results.clear()
        self._objects.clear()
        self._buckets.clear()
        self._params.forget()
        self._earlier_params.clear()

    def _hear_events(self, news: News) -> None:
        self.ticket += 1
        self.permissions.hear(news.block)
        for event in news.block.events:
            if event.object_id != NO_OBJECT:
                self._objects.forget(event.object_id)
            else:
                self._buckets.forget(event.bucket)
        for bucket in news.buckets:
            self._buckets.put(bucket.name, bucket)
        for object_id, record in news.objects.items():
            self._objects.put(object_id, record)

    # --- objects, buckets, permissions

    def object(self, object_id: ObjectId) -> ChainObject | None:
        """NoSuchObjectId when it is known to be gone."""
        found = self._objects.get(object_id)
        if found == GONE:
            raise NoSuchObjectId(object_id)
        if isinstance(found, bytes):
            found = decoded(found)
            self._objects.put(object_id, found)
        return found

    def keep_object(self, found: ChainObject, ticket: int) -> None:
        if ticket == self.ticket:
            self._objects.put(found.id, found)

    def bucket(self, name: str) -> Bucket | None:
        return self._buckets.get(name)

    def keep_bucket(self, found: Bucket, ticket: int) -> None:
        if ticket == self.ticket:
            self._buckets.put(found.name, found)

    def keep_permission(self, question: Question, answer: bool, ticket: int) -> None:
        if ticket == self.ticket:
            self.permissions.put(question, answer)

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


def _make_room(mapping: dict[K, T], limit: int) -> None:
    """For one more: the oldest goes."""
    if len(mapping) >= limit:
        del mapping[next(iter(mapping))]
