"""Placement spreads by capacity, and the same question has the same answer."""

from collections import Counter

from sp.domain.ids import Address, ObjectId
from sp.domain.placement import Candidate, rank

EIGHT = [Candidate(Address(f"0x{n:040x}"), 2**40) for n in range(1, 9)]


def test_the_same_candidates_in_any_order_give_the_same_ranking() -> None:
    assert rank(EIGHT, ObjectId(7), 0) == rank(reversed(EIGHT), ObjectId(7), 0)


def test_another_version_of_an_object_is_placed_anew() -> None:
    rankings = {tuple(rank(EIGHT, ObjectId(7), version)) for version in range(8)}
    assert len(rankings) == 8


def test_every_candidate_is_first_for_a_fair_share_of_objects() -> None:
    first = Counter(rank(EIGHT, ObjectId(n), 0)[0] for n in range(1, 4001))
    assert all(400 < count < 600 for count in first.values())


def test_a_candidate_that_leaves_moves_only_what_it_had() -> None:
    for n in range(1, 200):
        before = rank(EIGHT, ObjectId(n), 0)
        after = rank([c for c in EIGHT if c.operator != before[3]], ObjectId(n), 0)
        assert after == [a for a in before if a != before[3]]


def test_more_free_space_brings_more_objects_but_a_liar_cannot_take_all() -> None:
    liar = Candidate(Address("0x" + "f" * 40), 2**62)
    modest = [Candidate(c.operator, 2**33) for c in EIGHT]
    first = Counter(rank([*modest, liar], ObjectId(n), 0)[0] for n in range(1, 2001))
    others = 2000 - first[liar.operator]
    assert first[liar.operator] > max(count for who, count in first.items() if who != liar.operator)
    assert others > 400


def test_the_same_candidate_twice_is_ranked_once() -> None:
    assert len(rank([*EIGHT, *EIGHT], ObjectId(1), 0)) == 8
