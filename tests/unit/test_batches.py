"""Questions that wait at the same time share a call; each has its own answer, error and patience."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from sp.domain.errors import InvalidRequest, NoSuchBucket, Overloaded, ServiceUnavailable, SpError
from sp.runtime.batches import OLD_FOR_S, Batches, OldPeers, answered
from sp.runtime.clock import ManualClock
from tests.turns import turn

Answers = Sequence[str | SpError]


@dataclass
class FarEnds:
    """Answers calls when a test says so. calls: (far end, questions), in their order."""

    calls: list[tuple[str, list[str]]] = field(default_factory=list)
    waiting: list[asyncio.Future[Answers]] = field(default_factory=list)

    async def send(self, end: str, questions: Sequence[str]) -> Answers:
        self.calls.append((end, list(questions)))
        answer: asyncio.Future[Answers] = asyncio.get_running_loop().create_future()
        self.waiting.append(answer)
        return await answer

    def batches(self, most: int = 3, most_bytes: int = 100) -> Batches[str, str]:
        return Batches("test", self.send, most=most, most_bytes=most_bytes, size_of=len)


async def asked(batches: Batches[str, str], *questions: str, end: str = "a") -> list[asyncio.Task[str]]:
    tasks = [asyncio.create_task(batches.ask(end, question)) for question in questions]
    await turn(3)
    return tasks


async def test_what_gathers_while_a_call_is_under_way_goes_together_in_the_next() -> None:
    far = FarEnds()
    batches = far.batches()
    first = await asked(batches, "1")
    rest = await asked(batches, "2", "3", "4", "5")
    assert far.calls == [("a", ["1"])], "one call at a time"
    far.waiting[0].set_result(["one"])
    await turn(5)
    assert far.calls[1:] == [("a", ["2", "3", "4"])], "at most three in a call"
    far.waiting[1].set_result(["two", NoSuchBucket("photos"), "four"])
    await turn(5)
    far.waiting[2].set_result(["five"])
    answers = await asyncio.gather(*first, *rest, return_exceptions=True)
    assert [answers[0], answers[1], *answers[3:]] == ["one", "two", "four", "five"]
    assert isinstance(answers[2], NoSuchBucket)


async def test_questions_of_one_turn_share_the_first_call_and_far_ends_do_not_wait_for_each_other() -> None:
    far = FarEnds()
    batches = far.batches()
    tasks = [asyncio.create_task(batches.ask(end, end)) for end in ("a", "b", "a")]
    await turn(3)
    assert sorted(far.calls) == [("a", ["a", "a"]), ("b", ["b"])]
    for waiting, (_, questions) in zip(far.waiting, far.calls, strict=True):
        waiting.set_result(questions)
    assert await asyncio.gather(*tasks) == ["a", "b", "a"]


async def test_a_call_is_bounded_in_bytes_and_an_oversized_question_goes_alone() -> None:
    far = FarEnds()
    batches = far.batches(most_bytes=10)
    tasks = await asked(batches, "x" * 6, "y" * 4, "z", "w" * 50)
    for number in range(3):
        far.waiting[number].set_result(far.calls[number][1])
        await turn(5)
    assert [len(questions) for _, questions in far.calls] == [2, 1, 1]
    assert await asyncio.gather(*tasks) == ["x" * 6, "y" * 4, "z", "w" * 50]


async def test_one_who_gives_up_takes_nothing_from_the_others_and_the_last_one_ends_the_call() -> None:
    far = FarEnds()
    batches = far.batches()
    tasks = await asked(batches, "1", "2")
    later = await asked(batches, "3", "4")
    tasks[0].cancel()
    later[0].cancel()
    await turn(3)
    assert not far.waiting[0].cancelled()
    tasks[1].cancel()
    await turn(5)
    assert far.waiting[0].cancelled(), "nobody waits for it any more"
    assert far.calls[1] == ("a", ["4"]), "what was given up before it was asked is not asked"
    far.waiting[1].set_result(["four"])
    assert await later[1] == "four"


@pytest.mark.parametrize("failure", [ServiceUnavailable("a", "gone"), ValueError("a mistake")])
async def test_a_call_that_fails_fails_for_each_of_its_questions_and_not_for_the_next(failure: Exception) -> None:
    far = FarEnds()
    batches = far.batches()
    tasks = await asked(batches, "1", "2")
    later = await asked(batches, "3")
    far.waiting[0].set_exception(failure)
    await turn(5)
    far.waiting[1].set_result(["three"])
    answers = await asyncio.gather(*tasks, *later, return_exceptions=True)
    assert answers == [failure, failure, "three"]


async def test_a_call_that_is_cancelled_from_elsewhere_leaves_nobody_waiting() -> None:
    far = FarEnds()
    (task,) = await asked(far.batches(), "1")
    far.waiting[0].cancel()
    with pytest.raises(ServiceUnavailable, match="cancelled"):
        await task


@pytest.mark.parametrize("answers", [[], ["one"], ["one", "two", "three"]])
async def test_answers_that_do_not_fit_the_questions_are_none(answers: list[str]) -> None:
    far = FarEnds()
    tasks = await asked(far.batches(), "1", "2")
    far.waiting[0].set_result(answers)
    for task in tasks:
        with pytest.raises(ServiceUnavailable, match="answers to 2 questions"):
            await task


@dataclass
class Item:
    number: int
    request_id: str = ""
    job_id: str = ""


async def test_each_item_of_a_call_has_its_own_answer_or_error() -> None:
    async def answer(item: Item) -> int:
        if item.number == 1:
            raise Overloaded("questions")
        return item.number

    zero, one, two = await answered([Item(n) for n in range(3)], 3, answer)
    assert (zero, two) == (0, 2)
    assert isinstance(one, Overloaded)
    for count in (0, 4):
        with pytest.raises(InvalidRequest):
            await answered([Item(n) for n in range(count)], 3, answer)


async def test_a_peer_is_old_for_a_while_only() -> None:
    clock = ManualClock()
    old = OldPeers(clock)
    assert not old.known("a")
    old.add("a")
    assert old.known("a")
    assert not old.known("b")
    clock.advance(OLD_FOR_S)
    assert not old.known("a")
