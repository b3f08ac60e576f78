"""Questions to one far end share calls: what gathers while one call is under way goes together in the next."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Generic, Protocol, TypeVar

from sp.domain.errors import InvalidRequest, ServiceUnavailable, SpError
from sp.runtime.clock import Clock
from sp.runtime.errors import error_from_detail
from sp.runtime.incoming import fit_ids
from sp.runtime.log import bound
from sp.runtime.metrics import histogram

Q = TypeVar("Q")
R = TypeVar("R")

OLD_FOR_S: Final = 600.0
"""How long a provider that did not know a call is not asked by it again: it may be brought up to date meanwhile."""

_OLD_PEERS: Final = 1024

SIZES = histogram("sp_batch_questions", "Questions that shared one call", ["batch"], buckets=(1, 2, 4, 8, 16, 32))


@dataclass(slots=True, eq=False)
class _Waiting(Generic[Q, R]):
    question: Q
    answer: asyncio.Future[R]


@dataclass(slots=True)
class _Line(Generic[Q, R]):
    """Those who wait for a place in a call to one far end."""

    waiting: deque[_Waiting[Q, R]] = field(default_factory=deque)


class Batches(Generic[Q, R]):
    """One call at a time to each far end, and no timer: a question that finds no call under way goes at once.

    name: in the metrics
    send: one call with some questions: their answers in the same order, an SpError in place of one that failed. What
      it raises is the failure of each of them. It is cancelled when nobody waits for it any more.
    most, most_bytes: in one call; size_of: bytes of a question (one that is larger than `most_bytes` goes by itself)
    """

    def __init__(
        self,
        name: str,
        send: Callable[[str, Sequence[Q]], Awaitable[Sequence[R | SpError]]],
        *,
        most: int,
        most_bytes: int,
        size_of: Callable[[Q], int],
    ) -> None:
        self._send = send
        self._most = most
        self._most_bytes = most_bytes
        self._size_of = size_of
        self._sizes = SIZES.labels(name)
        self._lines: dict[str, _Line[Q, R]] = {}

    async def ask(self, end: str, question: Q) -> R:
        """The answer of one far end. Whoever waits here brings a deadline of its own."""
        entry: _Waiting[Q, R] = _Waiting(question, asyncio.get_running_loop().create_future())
        line = self._lines.get(end)
        if line is None:
            line = self._lines[end] = _Line()
            line.waiting.append(entry)
            asyncio.create_task(self._drive(end, line), name=f"questions to {end}")  # noqa: RUF006 - the line has it
        else:
            line.waiting.append(entry)
        return await entry.answer

    async def _drive(self, end: str, line: _Line[Q, R]) -> None:
        """Until nobody waits. `_lines` has the line for exactly as long as this runs."""
        batch: list[_Waiting[Q, R]] = []
        try:
            while batch := self._next(line):
                await self._call(end, batch)
        finally:
            del self._lines[end]
            for entry in (*batch, *line.waiting):  # only if this was cancelled: the process ends
                entry.answer.cancel()

    def _next(self, line: _Line[Q, R]) -> list[_Waiting[Q, R]]:
        batch: list[_Waiting[Q, R]] = []
        size = 0
        while line.waiting and len(batch) < self._most:
            entry = line.waiting[0]
            if not entry.answer.done():  # given up before it was asked
                size += self._size_of(entry.question)
                if batch and size > self._most_bytes:
                    break
                batch.append(entry)
            line.waiting.popleft()
        return batch

    async def _call(self, end: str, batch: list[_Waiting[Q, R]]) -> None:
        """One call; every one of the batch has its answer afterwards."""
        self._sizes.observe(len(batch))
        calling = asyncio.ensure_future(self._send(end, [entry.question for entry in batch]))

        def unless_wanted(_: object) -> None:
            if all(entry.answer.done() for entry in batch):
                calling.cancel()

        for entry in batch:
            entry.answer.add_done_callback(unless_wanted)
        try:
            await asyncio.wait([calling])
        finally:
            calling.cancel()
        _hand_out(end, batch, calling)


def _hand_out(end: str, batch: Sequence[_Waiting[Q, R]], calling: asyncio.Future[Sequence[R | SpError]]) -> None:
    failure = ServiceUnavailable(end, "the call was cancelled") if calling.cancelled() else calling.exception()
    answers: Sequence[R | BaseException] = [failure] * len(batch) if failure is not None else calling.result()
    if len(answers) != len(batch):
        answers = [ServiceUnavailable(end, f"{len(answers)} answers to {len(batch)} questions")] * len(batch)
    for entry, answer in zip(batch, answers, strict=True):
        if entry.answer.done():
            continue
        if isinstance(answer, BaseException):
            entry.answer.set_exception(answer)
        else:
            entry.answer.set_result(answer)


class Item(Protocol):
    """One question in a call of many: the ids of the work that it belongs to, for the log."""

    request_id: str
    job_id: str


I = TypeVar("I", bound=Item)  # noqa: E741


async def answered(items: Sequence[I], most: int, answer: Callable[[I], Awaitable[R]]) -> list[R | SpError]:
    """The serving side: each item by itself and all at once, with its answer or its SpError. InvalidRequest for none or
    more than `most` of them."""
    if not 1 <= len(items) <= most:
        raise InvalidRequest(f"a call brings 1 to {most} questions")

    async def one(item: I) -> R | SpError:
        with bound(**fit_ids(item.request_id, item.job_id)):
            try:
                return await answer(item)
            except SpError as error:
                return error

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(item)) for item in items]
    return [task.result() for task in tasks]


def answer_of(message: Any, field: str, read: Callable[[Any], R], end: str) -> R | SpError:
    """The asking side: one answer of many, a message with the oneof `answer` of `field` and `error`. What cannot be
    read is the failure of that one.

    read: makes the answer of what is in `field`; may raise SpError. end: who answered
    """
    if message.WhichOneof("answer") != field:
        return error_from_detail(message.error) or ServiceUnavailable(end, "an answer that is none")
    try:
        return read(getattr(message, field))
    except SpError as error:
        return error


class OldPeers:
    """Those whose version does not know a call; forgotten after a while."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until_s: OrderedDict[str, float] = OrderedDict()

    def known(self, end: str) -> bool:
        return self._until_s.get(end, 0.0) > self._clock.monotonic_s()

    def add(self, end: str) -> None:
        self._until_s[end] = self._clock.monotonic_s() + OLD_FOR_S
        self._until_s.move_to_end(end)
        if len(self._until_s) > _OLD_PEERS:
            self._until_s.popitem(last=False)
