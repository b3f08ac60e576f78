"""The chain on disk: what was in a block is there after any stop, and a damaged log is never read as a whole one."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chain.dev.apply import execute, read_tx
from chain.dev.frames import frame, scan
from chain.dev.genesis import Genesis, genesis_from, load_genesis
from chain.dev.history import History
from chain.dev.state import State, initial_state
from chain.dev.store import LoggedBlock, open_store
from chain.tx import signer_of
from sp.domain.errors import ConfigError, EventsPruned, StoreFailed
from sp.domain.ids import Address
from sp.domain.ledger import Action, Effect, EventType, SpStatus, Visibility
from sp.domain.messages import (
    MsgDeleteBucket,
    MsgDeleteObject,
    MsgDeletePolicy,
    MsgPutPolicy,
    MsgRejectSealObject,
    MsgStorageProviderExit,
    MsgStorageProviderForcedExit,
    MsgUpdateBucketInfo,
    MsgUpdateObjectContent,
    MsgUpdateObjectInfo,
    MsgUpdateParams,
    MsgUpdateStorageProviderStatus,
    TxMessage,
)
from tests.chain_world import (
    ALICE,
    AUTHORITY,
    BOB,
    EMPTY,
    GENESIS,
    PARAMS,
    PRIMARY,
    SECONDARIES,
    SPARE,
    SPS,
    T0,
    checksums,
    create_bucket,
    create_object,
    delegate_create,
    seal,
    signed,
    swap_in,
)

LIMIT = 1000


class Chain:
    """A store with its state, as the node moves them: first into the log, then executed."""

    def __init__(self, folder: Path, genesis: Genesis = GENESIS, limit: int = LIMIT) -> None:
        self.folder = folder
        self.store, self.state, self.history = open_store(folder, genesis, limit)

    def block(self, *messages: TxMessage) -> None:
        nonces: Counter[Address] = Counter()
        raws = []
        for message in messages:
            signer = signer_of(message)
            raws.append(signed(message, self.state.account(signer).nonce + nonces[signer]))
            nonces[signer] += 1
        height, time_s = self.state.height + 1, max(T0, self.state.earliest_next_time)
        self.store.append(LoggedBlock(height, time_s, tuple(raws)))
        txs = [read_tx(raw) for raw in raws]
        self.history.add(execute(self.state, height, time_s, txs), txs)

    def snapshot(self) -> None:
        self.store.start_segment(self.state.height + 1, self.state.time_s)
        self.store.write_snapshot(self.state.copy(), self.history.copy())

    def crash(self) -> Chain:
        """Stop without a word, and start again."""
        self.store.release()
        return Chain(self.folder)

    def close(self) -> None:
        self.store.close(self.state.height, self.state.time_s)

    @property
    def log(self) -> Path:
        return max(self.folder.glob("blocks-*.log"))


@contextmanager
def chain_in(folder: Path) -> Iterator[Chain]:
    opened = Chain(folder)
    try:
        yield opened
    finally:
        opened.store.release()


def assert_same(restarted: Chain, live: Chain) -> None:
    assert restarted.state == live.state
    assert restarted.history == live.history


# --- any history --------------------------------------------------------------------------------------------------

Step = tuple[int, int, int, int]
BUCKETS = ("photos", "papers")
NAMES = ("a", "b")
SIZES = (0, 1, 5000)
ACTORS = (ALICE, BOB)


def _seal(state: State, bucket: str, name: str, wrong: bool) -> TxMessage:
    found = state.find_object(bucket, name)
    if found is None:
        return seal(99, name, bucket=bucket)
    over = (found.update.checksums if found.update else found.checksums) or ()
    expect = () if over else checksums("late")
    secondaries = [SPARE, *SECONDARIES[1:]] if wrong else SECONDARIES
    return seal(found.id + wrong, name, over or expect, secondaries, bucket=bucket, expect=expect)


def _swap_in(state: State, bucket: str, name: str) -> TxMessage:
    """Of a column whose holder leaves, if there is one."""
    found = state.find_object(bucket, name)
    if found is None or not found.secondaries:
        return swap_in(99, name=name, bucket=bucket)
    leaving = [i for i, operator in enumerate(found.secondaries) if state.providers[operator].exiting]
    column = leaving[0] if leaving else 0
    target = next(sp for sp in SPS if sp.operator == found.secondaries[column])
    return swap_in(found.id, column, target, SPARE, found.checksums, name, bucket, found.version)


def message_for(step: Step, state: State) -> TxMessage:
    kind, x, y, z = step
    bucket, name, size, actor = BUCKETS[x % 2], NAMES[y % 2], SIZES[z % 3], ACTORS[(x + y + z) % 2]
    expect = checksums(f"{x}{y}{z}") if size else (EMPTY,) * 7
    visibility = (Visibility.PUBLIC_READ, Visibility.PRIVATE)[z % 2]
    makers: tuple[Callable[[], TxMessage], ...] = (
        lambda: create_bucket(bucket, actor, visibility),
        lambda: create_object(name, size, actor, bucket, expect),
        lambda: delegate_create(name, size, actor, bucket=bucket),
        lambda: _seal(state, bucket, name, wrong=False),
        lambda: _seal(state, bucket, name, wrong=z == 0),
        lambda: MsgUpdateObjectContent(actor, bucket, name, size, "text/plain", expect),
        lambda: MsgRejectSealObject(PRIMARY.seal, bucket, name),
        lambda: MsgDeleteObject(actor, bucket, name),
        lambda: MsgDeleteBucket(actor, bucket),
        lambda: MsgUpdateBucketInfo(actor, bucket, visibility),
        lambda: MsgUpdateObjectInfo(actor, bucket, name, visibility),
        lambda: MsgPutPolicy(actor, bucket, NAMES[0] if z else "", BOB, (Action.GET_OBJECT,), Effect(1 + z % 2)),
        lambda: MsgDeletePolicy(actor, bucket, NAMES[0] if z else "", BOB),
        lambda: MsgUpdateStorageProviderStatus(SECONDARIES[x].operator, SpStatus(z % 2)),
        lambda: MsgUpdateParams(AUTHORITY, replace(PARAMS, max_segment_size=1 + z)),
        lambda: MsgStorageProviderExit(SECONDARIES[4 + x % 2].operator),
        lambda: MsgStorageProviderForcedExit(AUTHORITY, SECONDARIES[5].operator),
        lambda: _swap_in(state, bucket, name),
    )
    return makers[kind % len(makers)]()


steps = st.tuples(st.integers(0, 17), st.integers(0, 3), st.integers(0, 3), st.integers(0, 2))
histories = st.lists(st.lists(steps, min_size=1, max_size=4), max_size=25)


def check_books(state: State) -> None:
    """What must hold in every state."""
    indexed = {(bucket, name): object_id for bucket, names in state.names.items() for name, object_id in names.items()}
    assert indexed == {(o.bucket, o.name): o.id for o in state.objects.values()}
    assert state.names.keys() == state.buckets.keys()
    waiting = {o.id for o in state.objects.values() if o.update is not None or o.status == 0}
    assert state.fees.keys() == waiting
    locked: Counter[Address] = Counter()
    for fee in state.fees.values():
        locked[fee.payer] += fee.amount
    for account in state.accounts.values():
        assert account.balance >= 0
        assert account.locked == locked[account.address]
    assert state.bucket_policies.keys() <= {bucket.id for bucket in state.buckets.values()}
    assert state.object_policies.keys() <= state.objects.keys()
    assert all([*state.bucket_policies.values(), *state.object_policies.values()])


@settings(max_examples=60)
@given(histories, st.integers(0, 25))
def test_any_history_is_found_again_after_a_crash_with_or_without_a_snapshot(
    history: list[list[Step]], snapshot_at: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        live = Chain(Path(folder))
        for number, block in enumerate(history):
            if number == snapshot_at:
                live.snapshot()
            live.block(*(message_for(step, live.state) for step in block))
            check_books(live.state)
        restarted = live.crash()
        assert_same(restarted, live)
        restarted.store.release()


@settings(max_examples=60)
@given(histories)
def test_a_refused_transaction_changes_the_nonce_and_nothing_else(history: list[list[Step]]) -> None:
    state, accounts = initial_state(GENESIS), 0
    for step in (step for block in history for step in block):
        message = message_for(step, state)
        signer, before = signer_of(message), state.copy()
        raw = signed(message, state.account(signer).nonce)
        executed = execute(state, state.height + 1, max(T0, state.earliest_next_time), [read_tx(raw)])
        if executed.results[0].code:
            accounts += 1
            expected = replace(before.account(signer), nonce=before.account(signer).nonce + 1)
            before.accounts[signer], before.height, before.time_s = expected, state.height, state.time_s
            assert state == before
            assert executed.block.events == ()


# --- stops and restarts -------------------------------------------------------------------------------------------


def test_a_snapshot_makes_the_old_segments_needless(tmp_path: Path) -> None:
    with chain_in(tmp_path) as live:
        live.block(create_bucket(), create_object())
        old = live.log
        live.snapshot()
        live.block(seal())
        assert not old.exists()
        restarted = live.crash()
        assert_same(restarted, live)
        restarted.store.release()


def test_a_snapshot_that_was_not_finished_is_as_if_never_begun(tmp_path: Path) -> None:
    with chain_in(tmp_path) as live:
        live.block(create_bucket())
        live.store.start_segment(live.state.height + 1, live.state.time_s)
        (tmp_path / "snapshot.new").write_bytes(b"half of it")
        live.block(create_object())
        restarted = live.crash()
        assert_same(restarted, live)
        restarted.store.release()


def test_a_height_that_was_reserved_is_not_told_twice_after_a_crash(tmp_path: Path) -> None:
    with chain_in(tmp_path) as live:
        live.block(create_bucket())
        live.store.reserve(17, T0 + 16)
        live.store.release()
    with chain_in(tmp_path) as restarted:
        assert (restarted.state.height, restarted.state.time_s) == (17, T0 + 16)
        restarted.block(create_object())
        assert restarted.state.height == 18


def test_an_orderly_stop_skips_no_height(tmp_path: Path) -> None:
    with chain_in(tmp_path) as live:
        live.block(create_bucket())
        live.store.reserve(17, T0 + 16)
        live.close()
    with chain_in(tmp_path) as restarted:
        assert restarted.state.height == 1
        restarted.snapshot()
        restarted.close()
    with chain_in(tmp_path) as restarted:
        assert restarted.state.height == 1


@pytest.mark.parametrize("lost", [1, 4, 11, 40])
def test_a_torn_tail_is_cut_off_and_the_log_goes_on_from_there(tmp_path: Path, lost: int) -> None:
    with chain_in(tmp_path) as live:
        live.block(create_bucket())
        whole = live.state.copy()
        live.block(create_object())
        os.truncate(live.log, live.log.stat().st_size - lost)
        restarted = live.crash()
        assert restarted.state == whole
        restarted.block(create_object("again"))
        again = restarted.crash()
        assert_same(again, restarted)
        again.store.release()


@pytest.mark.parametrize("tail", [b"\0" * 100, b"GFB1", b"GFB1" + b"\xff" * 8, frame(b"Bblock")[:-1]])
def test_rubbish_after_the_last_frame_is_cut_off(tmp_path: Path, tail: bytes) -> None:
    with chain_in(tmp_path) as live:
        live.block(create_bucket())
        with live.log.open("ab") as file:
            file.write(tail)
        restarted = live.crash()
        assert_same(restarted, live)
        restarted.store.release()


def test_a_segment_whose_header_was_torn_is_begun_anew(tmp_path: Path) -> None:
    with chain_in(tmp_path) as live:
        live.block(create_bucket())
        live.store.start_segment(live.state.height + 1, live.state.time_s)
        os.truncate(live.log, 7)
        restarted = live.crash()
        restarted.block(create_object())
        again = restarted.crash()
        assert_same(again, restarted)
        again.store.release()


def test_damage_before_acknowledged_blocks_is_not_taken_for_a_torn_tail(tmp_path: Path) -> None:
    with chain_in(tmp_path) as live:
        live.block(create_bucket())
        live.block(create_object())
        live.block(seal())
        log = live.log
    contents = bytearray(log.read_bytes())
    contents[300] ^= 1
    log.write_bytes(contents)
    with pytest.raises(StoreFailed):
        open_store(tmp_path, GENESIS, LIMIT)
    assert log.read_bytes() == contents


def test_a_damaged_snapshot_is_refused(tmp_path: Path) -> None:
    with chain_in(tmp_path) as live:
        live.block(create_bucket())
        live.snapshot()
    path = tmp_path / "snapshot"
    whole = path.read_bytes()
    frames, _ = scan(whole)
    for damaged in (whole[:-3], whole[: -len(frame(frames[-1]))], whole[:60] + b"x" + whole[61:]):
        path.write_bytes(damaged)
        with pytest.raises(StoreFailed):
            open_store(tmp_path, GENESIS, LIMIT)


def test_two_nodes_do_not_share_a_folder(tmp_path: Path) -> None:
    with chain_in(tmp_path), pytest.raises(StoreFailed):
        open_store(tmp_path, GENESIS, LIMIT)
    with chain_in(tmp_path):
        pass


@pytest.mark.parametrize("with_snapshot", [False, True])
def test_a_folder_belongs_to_one_genesis(tmp_path: Path, with_snapshot: bool) -> None:
    with chain_in(tmp_path) as live:
        live.block(create_bucket())
        if with_snapshot:
            live.snapshot()
    with pytest.raises(StoreFailed):
        open_store(tmp_path, replace(GENESIS, store_price=8), LIMIT)


def test_after_a_failed_write_nothing_is_added_that_would_hide_the_torn_frame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with chain_in(tmp_path) as live:
        live.block(create_bucket())
        whole = live.state.copy()
        with monkeypatch.context() as patched:
            patched.setattr(os, "fdatasync", _no_space)
            with pytest.raises(OSError, match="no space"):
                live.block(create_object())
        live.close()
        restarted = Chain(tmp_path)
        assert restarted.state.height in (whole.height, whole.height + 1)  # written whole, though not synced
        restarted.store.release()
        frames, _ = scan(live.log.read_bytes())
        assert frames[-1][:1] == b"B"


def _no_space(_: int) -> None:
    raise OSError(28, "no space left on device")


# --- history ------------------------------------------------------------------------------------------------------


def test_events_are_paged_by_blocks_and_each_comes_once(tmp_path: Path) -> None:
    with chain_in(tmp_path) as live:
        live.block(create_bucket(), create_object())
        live.block(create_object("b"))
        live.block(seal())
        history = live.history
    newest = live.state.height + 10
    pages, height = [], 0
    while height < newest:
        height, events = history.events_after(height, 1, newest)
        pages.append([event.type for event in events])
    assert pages == [
        [EventType.CREATE_BUCKET, EventType.CREATE_OBJECT],
        [EventType.CREATE_OBJECT],
        [EventType.SEAL_OBJECT],
    ]
    assert history.events_after(newest, 10, newest) == (newest, [])
    assert history.events_after(0, 100, newest)[0] == newest


def test_what_is_older_than_the_history_is_refused_not_left_out(tmp_path: Path) -> None:
    live = Chain(tmp_path, limit=10)
    live.block(create_bucket())
    for number in range(30):
        live.block(create_object(f"{number}", size=1))
    history = live.history
    live.snapshot()
    restarted = live.crash()
    restarted.store.release()
    assert restarted.history == replace(history, limit=LIMIT)
    assert 10 <= len(history.results) <= 12
    assert len(history.results) == sum(len(block.tx_hashes) for block in history.blocks)
    with pytest.raises(EventsPruned) as pruned:
        history.events_after(history.forgotten - 1, 10, 100)
    assert pruned.value.oldest_height == history.forgotten
    assert len(history.events_after(history.forgotten, 100, 100)[1]) == len(history.results)


def test_an_empty_history_covers_all_heights() -> None:
    assert History(LIMIT).events_after(0, 5, 9) == (9, [])


# --- genesis ------------------------------------------------------------------------------------------------------


def test_a_genesis_file_reads_back_as_written(tmp_path: Path) -> None:
    genesis = replace(GENESIS, balances={ALICE: 10**30})
    path = tmp_path / "genesis.json"
    path.write_text(genesis.to_json())
    assert load_genesis(path) == genesis
    assert load_genesis(path).digest == genesis.digest != GENESIS.digest
    assert initial_state(genesis).account(ALICE).balance == 10**30


def test_a_short_genesis_has_defaults() -> None:
    genesis = genesis_from({"authority": AUTHORITY.lower()})
    assert (genesis.authority, genesis.chain_id, genesis.params.data_chunks) == (AUTHORITY, "greenfield_9000-121", 4)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"authority": "nobody"}',
        f'{{"authority": "{AUTHORITY}", "colour": 1}}',
        f'{{"authority": "{AUTHORITY}", "initial_balance": "-1"}}',
        f'{{"authority": "{AUTHORITY}", "params": {{"data_chunks": 0}}}}',
        f'{{"authority": "{AUTHORITY}", "params": {{"chunks": 4}}}}',
        f'{{"authority": "{AUTHORITY}", "providers": [{{"operator": "{ALICE}"}}]}}',
    ],
)
def test_a_wrong_genesis_file_is_a_configuration_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "genesis.json"
    path.write_text(text)
    with pytest.raises(ConfigError):
        load_genesis(path)
    with pytest.raises(ConfigError):
        load_genesis(tmp_path / "absent.json")


def test_a_store_says_what_a_start_would_have_to_do_again(tmp_path: Path) -> None:
    with chain_in(tmp_path) as live:
        live.block(create_bucket(), create_object())
        restarted = live.crash()
        assert restarted.store.replay_weight >= 3  # a frame and two transactions
        restarted.snapshot()
        assert restarted.store.replay_weight == 0
        restarted.store.release()
