"""An executor whose threads choose their next call: foreground first, every account and upload in its turn."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final, ParamSpec, TypeVar

from sp.runtime.metrics import gauge, histogram
from sp.runtime.turns import Turns
from sp.runtime.work import Work, current_share

P = ParamSpec("P")
T = TypeVar("T")

PATIENCE: Final = {Work.FOREGROUND: 1, Work.REPLICATION: 16, Work.UPKEEP: 64}
"""How often a kind of work that has calls waiting is passed over before it goes next: so none ever starves."""

QUEUED: Final = gauge("sp_cpu_pool_queued", "Calls that wait for a thread of the CPU pool", ["work"])
WAITED: Final = histogram("sp_cpu_pool_wait_seconds", "How long calls waited for a thread of the CPU pool", ["work"])


_QUEUED_OF: Final = {work: QUEUED.labels(work) for work in Work}
_WAITED_OF: Final = {work: WAITED.labels(work) for work in Work}


@dataclass(eq=False, slots=True)
class _Call:
    work: Work
    call: Callable[[], Any]
    future: Future[Any] = field(default_factory=Future)
    queued_at_s: float = field(default_factory=time.perf_counter)

    def run(self) -> None:
        if not self.future.set_running_or_notify_cancel():
            return
        _WAITED_OF[self.work].observe(time.perf_counter() - self.queued_at_s)
        try:
            result = self.call()
        except BaseException as error:  # noqa: BLE001 - whatever it is, it belongs to whoever waits for the future
            self.future.set_exception(error)
        else:
            self.future.set_result(result)


class FairExecutor(Executor):
    """Threads for blocking work of several kinds (sp.runtime.work).

    threads: in all; background_threads: of these, as many at most do what is not foreground work at the same time

    The inner executor's queue holds one token for each call that waits here; a thread that takes a token takes the
    call whose turn it is. A token that finds only background work, and enough threads at that, is set aside until one
    of those is done.
    """

    def __init__(self, threads: int, background_threads: int) -> None:
        assert 1 <= background_threads <= threads
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="cpu")
        self._background_threads = background_threads
        self._lock = threading.Lock()
        self._waiting: dict[Work, Turns[_Call]] = {work: Turns() for work in Work}
        self._passed = dict.fromkeys(Work, 0)
        self._in_background = 0
        self._set_aside = 0
        self._closed = False
        self.pending = 0
        """Calls queued or running."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        share = current_share()
        call = _Call(share.work, lambda: fn(*args, **kwargs))
        with self._lock:
            if self._closed:
                raise RuntimeError("submitted after the end")
            self._waiting[share.work].add(share.owner, share.flow, call)
            self.pending += 1
            _QUEUED_OF[share.work].inc()
            self._threads.submit(self._take_turn)
        call.future.add_done_callback(self._done)
        return call.future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Calls that have not begun are cancelled in any case."""
        with self._lock:
            self._closed = True
            unbegun = [line.take() for line in self._waiting.values() for _ in range(len(line))]
        for call in unbegun:
            _QUEUED_OF[call.work].dec()
            call.future.cancel()
        self._threads.shutdown(wait, cancel_futures=True)

    def _take_turn(self) -> None:
        with self._lock:
            call = self._next()
            if call is None:
                self._set_aside += 1
                return
            self._in_background += call.work is not Work.FOREGROUND
        _QUEUED_OF[call.work].dec()
        call.run()
        with self._lock:
            self._in_background -= call.work is not Work.FOREGROUND
            if self._set_aside and not self._closed and call.work is not Work.FOREGROUND:
                self._set_aside -= 1
                self._threads.submit(self._take_turn)

    def _next(self) -> _Call | None:
        """None: what waits is background work, and enough of it is being done (or the end has come)."""
        full = self._in_background >= self._background_threads
        ready = [work for work in Work if self._waiting[work] and not (full and work is not Work.FOREGROUND)]
        if not ready:
            return None
        overdue = [work for work in ready if self._passed[work] >= PATIENCE[work]]
        chosen = overdue[-1] if overdue else ready[0]
        for work in ready:
            self._passed[work] = 0 if work is chosen else self._passed[work] + 1
        return self._waiting[chosen].take()

    def _done(self, _: Future[Any]) -> None:
        with self._lock:
            self.pending -= 1
