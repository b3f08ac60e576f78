"""The chain on disk: a log of blocks, cut into segments, and now and then a snapshot that makes old segments needless.

A block is in the log, synced, before its effects are seen by anyone. What a restart finds is executed again; execution
is pure, so the state is the same. A block without transactions is not written. Instead the log holds *reserved
heights*: "nobody was told of a height above this", synced before anyone is told of a higher one. A restart continues
from the reserved height, so a height never goes back, not even after a power failure, at the price of one sync for
many empty blocks and of skipping at most that many heights (an orderly stop reserves just what was told).

    DIR/lock                     held while a node runs
    DIR/snapshot                 framed records of chain.dev.snapshot; replaced whole
    DIR/blocks-HEIGHT.log        frames: one segment header, then blocks and reserved heights
"""

from __future__ import annotations

import fcntl
import json
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import Final, TextIO

from chain.dev import snapshot
from chain.dev.apply import execute, read_tx
from chain.dev.frames import another_frame_after, frame, scan
from chain.dev.genesis import Genesis
from chain.dev.history import History
from chain.dev.state import State, initial_state
from sp.domain.errors import StoreFailed

_BLOCK: Final = struct.Struct(">QqI")  # height, unix seconds, number of transactions
_TX: Final = struct.Struct(">I")  # bytes
_RESERVED: Final = struct.Struct(">Qq")  # height, unix seconds


@dataclass(frozen=True, slots=True)
class LoggedBlock:
    """txs: serialised SignedTx, in the order of execution"""

    height: int
    time_s: int
    txs: tuple[bytes, ...]

    def encoded(self) -> bytes:
        parts = [b"B", _BLOCK.pack(self.height, self.time_s, len(self.txs))]
        for tx in self.txs:
            parts += (_TX.pack(len(tx)), tx)
        return b"".join(parts)

    @classmethod
    def decoded(cls, payload: bytes) -> LoggedBlock:
        height, time_s, count = _BLOCK.unpack_from(payload, 1)
        offset = 1 + _BLOCK.size
        txs: list[bytes] = []
        for _ in range(count):
            (size,) = _TX.unpack_from(payload, offset)
            offset += _TX.size
            txs.append(payload[offset : offset + size])
            offset += size
        return cls(height, time_s, tuple(txs))


@dataclass(slots=True)
class Found:
    """What the log says beyond the state itself: the last reserved height, and its time."""

    reserved: int = 0
    reserved_time_s: int = 0


@dataclass(slots=True)
class Store:
    """One node's folder, held exclusively. All methods block, and sync before they return; call them one at a time,
    but `write_snapshot` may run beside the others. Errors of the file system are raised as OSError, after which the
    store must not be used further.

    reserved: heights up to this one may be told
    replay_weight: what a start has to go through: transactions and frames since the last snapshot
    """

    dir: Path
    genesis: Genesis
    reserved: int = 0
    replay_weight: int = 0
    _lock: TextIO | None = field(default=None, repr=False)
    _log: FileIO | None = field(default=None, repr=False)
    _broken: bool = False

    def append(self, block: LoggedBlock) -> None:
        self._write(frame(block.encoded()))
        self.replay_weight += len(block.txs)
        self.reserved = max(self.reserved, block.height)

    def reserve(self, height: int, time_s: int) -> None:
        """From now on, and after a restart too, heights up to this one may have been told."""
        self._write(frame(b"R" + _RESERVED.pack(height, time_s)))
        self.reserved = height

    def start_segment(self, next_height: int, time_s: int) -> None:
        """Later blocks go to a new file, which repeats what is reserved."""
        if self._log is not None:
            self._log.close()
            self._log = None
        path = self.dir / f"blocks-{next_height:012d}.log"
        self._log = FileIO(path, "a")
        header = json.dumps({"genesis": self.genesis.digest}).encode()
        self._write(frame(b"G" + header) + frame(b"R" + _RESERVED.pack(self.reserved, time_s)))
        _sync_dir(self.dir)
        self.replay_weight = 0

    def write_snapshot(self, state: State, history: History) -> None:
        """Put a snapshot in the place of the old one, and remove the segments of the blocks in it.

        state, history: copies, taken when the current segment was started.
        """
        temporary = self.dir / "snapshot.new"
        with temporary.open("wb") as file:
            for record in snapshot.records(state, history):
                file.write(frame(record))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self.dir / "snapshot")
        _sync_dir(self.dir)
        for path in _segments(self.dir):
            if _first_height(path) <= state.height:
                path.unlink()
        _sync_dir(self.dir)

    def close(self, height: int, time_s: int) -> None:
        """height: the newest that anyone was told of"""
        if self._log is not None and not self._broken:  # nothing may follow a frame that was cut short
            self.reserve(height, time_s)
        self.release()

    def release(self) -> None:
        """Let go of the folder as it is, as a crash would."""
        if self._log is not None:
            self._log.close()
            self._log = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _write(self, frames: bytes) -> None:
        assert self._log is not None
        rest, self._broken = memoryview(frames), True
        while rest:
            rest = rest[self._log.write(rest) :]
        os.fdatasync(self._log.fileno())
        self._broken = False
        self.replay_weight += 1


def open_store(dir: Path, genesis: Genesis, history_limit: int) -> tuple[Store, State, History]:
    """Open a node's folder, made if missing: the store, and the state and history that its files lead to.

    StoreFailed: another process has it open, it belongs to another chain, or it is damaged. Not so a last frame of the
    log that is not whole: that is an append which a crash cut short, and is removed; nobody was told of its block.
    """
    dir.mkdir(parents=True, exist_ok=True)
    store = Store(dir, genesis, _lock=_locked(dir / "lock"))
    try:
        state, history = _from_snapshot(dir / "snapshot", genesis, history_limit)
        found = Found(state.height, state.time_s)
        segments = _segments(dir)
        for path in segments:
            _replay(store, path, state, history, found, is_last=path == segments[-1])
        state.height = store.reserved = max(found.reserved, state.height)
        state.time_s = max(found.reserved_time_s, state.time_s)
        _open_log(store, segments, state)
    except BaseException:
        store.release()
        raise
    return store, state, history


def _open_log(store: Store, segments: list[Path], state: State) -> None:
    if segments and segments[-1].stat().st_size:
        store._log = FileIO(segments[-1], "a")
    else:
        store.start_segment(state.height + 1 if not segments else _first_height(segments[-1]), state.time_s)


def _locked(path: Path) -> TextIO:
    file = path.open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise StoreFailed("chain log", f"another node has {path.parent} open") from error
    return file


def _from_snapshot(path: Path, genesis: Genesis, history_limit: int) -> tuple[State, History]:
    if not path.exists():
        return initial_state(genesis), History(history_limit)
    contents = path.read_bytes()
    payloads, end = scan(contents)
    if end != len(contents):
        raise StoreFailed("chain snapshot", f"{path} is damaged at byte {end}")
    return snapshot.restored(payloads, genesis, history_limit)


def _replay(store: Store, path: Path, state: State, history: History, found: Found, *, is_last: bool) -> None:
    for payload in _payloads(path, is_last=is_last):
        store.replay_weight += 1
        match payload[:1]:
            case b"G":
                if json.loads(payload[1:])["genesis"] != store.genesis.digest:
                    raise StoreFailed("chain log", f"{path} is of a chain with another genesis")
            case b"R":
                found.reserved, found.reserved_time_s = _RESERVED.unpack_from(payload, 1)
            case b"B":
                block = LoggedBlock.decoded(payload)
                store.replay_weight += len(block.txs)
                _execute(block, state, history)
            case kind:
                raise StoreFailed("chain log", f"{path} holds a frame of unknown kind {kind!r}")


def _execute(block: LoggedBlock, state: State, history: History) -> None:
    if block.height <= state.height:
        return  # in the snapshot already
    txs = [read_tx(raw, trusted=True) for raw in block.txs]
    history.add(execute(state, block.height, block.time_s, txs), txs)


def _payloads(path: Path, *, is_last: bool) -> Iterator[bytes]:
    contents = path.read_bytes()
    payloads, end = scan(contents)
    if end != len(contents):
        if not is_last or another_frame_after(contents, end):
            raise StoreFailed("chain log", f"{path} is damaged at byte {end}")
        os.truncate(path, end)
        _sync(path)
    yield from payloads


def _segments(dir: Path) -> list[Path]:
    return sorted(dir.glob("blocks-*.log"), key=_first_height)


def _first_height(path: Path) -> int:
    return int(path.stem.removeprefix("blocks-"))


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _sync_dir(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
