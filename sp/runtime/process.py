"""One process with any set of services in it: started in order, stopped in reverse.

SIGTERM or SIGINT begins an orderly stop: no new calls, a bounded time for those in flight, then exit code 0. A second
one ends the process at once. An exception in a task that nobody awaits stops it too, with exit code 1.
When all services are up, one line "ready" is logged, and the file that SP_READY_FILE names (if any) is written.
"""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, contextmanager
from pathlib import Path
from typing import Final

import uvloop

import sp
from sp.domain.errors import ConfigError, SpError
from sp.runtime import log
from sp.runtime.config import ConfigFile, common, load
from sp.runtime.errors import sp_error_in
from sp.runtime.malloc import tune_malloc
from sp.runtime.monitor import monitoring, probe_lag
from sp.runtime.parts import Parts
from sp.runtime.ready import Check

Runner = Callable[[Parts], AbstractAsyncContextManager[object]]

READY_FILE_VARIABLE: Final = "SP_READY_FILE"

logger = log.get_logger(__name__)


def run_process(
    services: Sequence[str],
    runners: Mapping[str, Runner],
    config_path: Path,
    *,
    name: str = "",
    last: Runner | None = None,
) -> int:
    """Run the named services until told to stop. The exit code: 0, or 1 after one line or a trace on stderr.

    name: in each line of the log; "": by its services
    last: entered once all services are up, before the process is ready
    """
    tune_malloc()
    _take_all_descriptors()
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")  # its C core writes to stderr past our log
    try:
        _check_known(services, runners)
        file = load(config_path, os.environ)
        log.configure(common(file).log, name or ("+".join(services) if len(services) <= 2 else "sp"))
    except SpError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_run(file, services, _entered(services, runners, last), os.environ.get(READY_FILE_VARIABLE, "")))
    except Exception as failure:
        known = sp_error_in(failure)
        if known is None:
            logger.exception("stopped by a mistake")
        else:
            logger.error("stopped", error=type(known).__name__, reason=str(known))
        return 1
    return 0


def _take_all_descriptors() -> None:
    """As many open files as the system lets this process have: the usual 1,024 are fewer than a gateway's clients."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _spare_the_collector() -> None:
    """What the start has made stays: it need not be looked at again by each full collection of garbage. Small requests
    make few cycles and many objects, so the young are looked at less often; both were 7% of a small put."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def _check_known(services: Sequence[str], runners: Mapping[str, Runner]) -> None:
    for name in services:
        if name not in runners:
            raise ConfigError("services", f"no service {name!r}; there are: {', '.join(runners)}")


def _entered(services: Sequence[str], runners: Mapping[str, Runner], last: Runner | None) -> list[Runner]:
    named = [runners[name] for name in services]
    return named if last is None else [*named, last]


async def _run(file: ConfigFile, services: Sequence[str], runners: Sequence[Runner], ready_file: str) -> None:
    parts = Parts(file)
    with _stopped_by_signals(parts.stopping):
        async with parts:
            await _until_stopped(parts, services, runners, ready_file)
        logger.info("stopped", services=list(services))


async def _until_stopped(parts: Parts, services: Sequence[str], runners: Sequence[Runner], ready_file: str) -> None:
    parts.spawn(probe_lag(), "event loop lag")
    started, starting = asyncio.Event(), asyncio.current_task()
    parts.spawn(_interrupt_start(parts.stopping, started, starting), "interrupt start")
    parts.ready.add("started", _checking(started))  # the monitor listens before they do
    try:
        async with AsyncExitStack() as stack:
            monitor = monitoring(parts.common.monitor.address, parts.ready, services)
            if address := await stack.enter_async_context(monitor):
                parts.listens("monitor", address)
            for running in runners:
                await stack.enter_async_context(running(parts))
            started.set()
            _spare_the_collector()
            await _tell_ready(parts, services, ready_file)
            await parts.stopping.wait()
            logger.info("stopping", services=list(services))
    except asyncio.CancelledError:
        if started.is_set() or not parts.stopping.is_set():
            raise
        if starting is not None:
            starting.uncancel()
        logger.info("stopped before it was ready", services=list(services))


async def _interrupt_start(
    stopping: asyncio.Event, started: asyncio.Event, starting: asyncio.Task[None] | None
) -> None:
    """A stop while services are still starting cancels the start."""
    await stopping.wait()
    if starting is not None and not started.is_set():
        starting.cancel()


def _checking(started: asyncio.Event) -> Check:
    async def is_started() -> bool:
        return started.is_set()

    return is_started


async def _tell_ready(parts: Parts, services: Sequence[str], ready_file: str) -> None:
    logger.info("ready", services=list(services), addresses=parts.addresses, version=sp.__version__, pid=os.getpid())
    if ready_file:
        lines = ["ready", *(f"{name} {address}" for name, address in parts.addresses.items())]
        await asyncio.to_thread(_write_atomically, Path(ready_file), "\n".join(lines) + "\n")


def _write_atomically(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, "utf-8")
    temporary.replace(path)


@contextmanager
def _stopped_by_signals(stopping: asyncio.Event) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    signalled = False

    def stop(number: int) -> None:
        nonlocal signalled
        if signalled:
            os._exit(128 + number)
        signalled = True
        logger.info("told to stop", signal=signal.Signals(number).name)
        stopping.set()

    numbers = (signal.SIGTERM, signal.SIGINT)
    for number in numbers:
        loop.add_signal_handler(number, stop, number)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
