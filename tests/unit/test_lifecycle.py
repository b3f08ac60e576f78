"""The one table of states: what it allows, and that nothing can get stuck in it."""

import pytest

from sp.domain.errors import IllegalMove
from sp.domain.lifecycle import BACKGROUND, DESCRIPTIONS, ERROR_EVENT, FINAL, RETRY_EVENT, TABLE, UPLOADING, advance
from sp.domain.lifecycle import JobEvent as E
from sp.domain.lifecycle import JobState as S

SEED_ORDER = [
    (E.UPLOAD_STARTED, S.UPLOAD_OBJECT_DOING),
    (E.PAYLOAD_STORED, S.UPLOAD_OBJECT_DONE),
    (E.ALLOCATION_STARTED, S.ALLOC_SECONDARY_DOING),
    (E.SECONDARIES_CHOSEN, S.ALLOC_SECONDARY_DONE),
    (E.REPLICATION_STARTED, S.REPLICATE_OBJECT_DOING),
    (E.ALL_SECONDARIES_SIGNED, S.REPLICATE_OBJECT_DONE),
    (E.SIGNING_STARTED, S.SIGN_OBJECT_DOING),
    (E.SEAL_BROADCAST, S.SIGN_OBJECT_DONE),
    (E.SEAL_WATCH_STARTED, S.SEAL_OBJECT_TX_DOING),
    (E.SEAL_SEEN, S.SEAL_OBJECT_DONE),
]


def test_the_straight_way_goes_through_every_state_of_the_seed_in_its_order() -> None:
    state: S = S.INIT_UNSPECIFIED
    for event, expected in SEED_ORDER:
        state = advance(state, event)
        assert state is expected


@pytest.mark.parametrize("state", [s for s in S if s.name.endswith("_DOING") and s is not S.UPLOAD_OBJECT_DOING])
def test_every_doing_state_can_fail_and_be_tried_again(state: S) -> None:
    failed = advance(state, ERROR_EVENT[state])
    assert failed.name.endswith("_ERROR")
    assert advance(failed, RETRY_EVENT[failed]) is state


def test_final_states_have_no_way_out() -> None:
    assert not [state for state, _ in TABLE if state in FINAL]


def test_from_every_state_that_is_not_final_a_final_one_can_be_reached() -> None:
    for start in S:
        reached, frontier = {start}, [start]
        while frontier:
            here = frontier.pop()
            fresh = {after for (before, _), after in TABLE.items() if before is here} - reached
            reached |= fresh
            frontier.extend(fresh)
        assert reached & FINAL, start


def test_every_state_belongs_to_the_uploader_or_the_task_node_or_is_final() -> None:
    assert set(S) == UPLOADING | BACKGROUND | FINAL
    assert not UPLOADING & BACKGROUND
    assert not BACKGROUND & FINAL


def test_a_seal_found_on_chain_ends_any_background_state_but_no_upload() -> None:
    for state in BACKGROUND - {S.UPLOAD_OBJECT_DONE}:
        assert advance(state, E.SEAL_SEEN) is S.SEAL_OBJECT_DONE
    for state in UPLOADING:
        with pytest.raises(IllegalMove):
            advance(state, E.SEAL_SEEN)


def test_an_upload_error_cannot_be_retried() -> None:
    with pytest.raises(IllegalMove) as refused:
        advance(S.UPLOAD_OBJECT_ERROR, E.UPLOAD_STARTED)
    assert refused.value.state == "UPLOAD_OBJECT_ERROR"


def test_numbers_are_the_networks() -> None:
    assert [s.value for s in S] == list(range(17))
    assert (S.ALLOC_SECONDARY_DOING, S.REPLICATE_OBJECT_DOING, S.SIGN_OBJECT_DOING, S.SEAL_OBJECT_TX_DOING) == (
        4,
        7,
        10,
        13,
    )


def test_every_state_has_the_words_that_greenfield_clients_read() -> None:
    assert set(DESCRIPTIONS) == set(S)
    assert DESCRIPTIONS[S.SEAL_OBJECT_DONE] == "object is succeed to upload and seal onto the chain"
