"""Points between durable side effects at which a process can be made to die or to freeze, from outside, at run time.

Production code knows nothing of them, and none of it changes: `install` wraps methods of classes that are already
imported, in a process that was started for it (tests/e2e/matrix/zygote.py), and this file is part of no build. It
refuses to work unless SP_FAILPOINTS names a folder, and that folder says in so many words what it is for. So their cost
where they are off is not small, it is none: there is nothing to skip.

A point is a method, before its call or after its return, in whichever process reaches it first. It is armed by a file:

    FOLDER/for-tests-only            without it nothing is installed
    FOLDER/armed/POINT.WHEN          JSON of an Order; removed by the process that carries it out, so that only one does
    FOLDER/hit/ID                    JSON {"process", "pid"}, written by that process before it dies
"""

from __future__ import annotations

import contextlib
import fnmatch
import functools
import importlib
import inspect
import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

FOLDER_VARIABLE: Final = "SP_FAILPOINTS"
PROCESS_VARIABLE: Final = "SP_FAILPOINTS_PROCESS"
MARK: Final = "for-tests-only"

POINTS: Final = (
    "chain.dev.client:DevChainClient.broadcast",
    "chain.dev.node:Node.broadcast",
    "chain.dev.store:Store.append",
    "downloader.client:DownloaderClient.head",
    "downloader.rebuild:Rebuilder._write_back",
    "downloader.service:DownloaderService.head",
    "gateway.body:CheckedBody._check_not_longer",
    "p2p.service:P2PService.answer",
    "p2p.service:P2PService.get_approvals",
    "p2p.service:P2PService.report_peer",
    "piecestore.disk.store:DiskStore.delete",
    "piecestore.disk.store:DiskStore.get",
    "piecestore.disk.temporary:TemporaryPiece.publish",
    "receiver.mending:Mender._write",
    "signer.service:SignerService.sign",
    "signer.service:SignerService.sigv4_key",
    "signer.service:SignerService.submit",
    "spdb.deletions:Deletions.done",
    "spdb.jobs:Jobs.begin_upload",
    "spdb.jobs:Jobs.choose_secondaries",
    "spdb.jobs:Jobs.collected",
    "spdb.jobs:Jobs.fail_upload",
    "spdb.jobs:Jobs.finish_upload",
    "spdb.jobs:Jobs.forget",
    "spdb.jobs:Jobs.move",
    "spdb.jobs:Jobs.put_small",
    "spdb.jobs:Jobs.secondary_done",
    "spdb.jobs:Jobs.secondary_started",
    "spdb.jobs:Jobs.take",
    "spdb.multipart:MultipartUploads.begin_part",
    "spdb.multipart:MultipartUploads.claim",
    "spdb.multipart:MultipartUploads.complete",
    "spdb.multipart:MultipartUploads.create",
    "spdb.multipart:MultipartUploads.finish_part",
    "spdb.multipart:MultipartUploads.forget_part",
    "spdb.objects:Objects.remove",
    "spdb.received:Received.add_pieces",
    "spdb.received:Received.forget",
    "spdb.received:Received.mark_sealed",
    "spdb.received:Received.open",
    "spdb.received:Received.sign",
    "spdb.small_segments:SmallSegments.delete",
    "tasknode.client:TaskNodeClient.delete_object",
    "tasknode.client:TaskNodeClient.notify",
    "uploader.client:UploaderClient.put",
    "uploader.multipart.client:MultipartClient.complete",
    "uploader.multipart.client:MultipartClient.create",
    "uploader.multipart.client:MultipartClient.put_part",
)
"""MODULE:CLASS.METHOD of every point."""


class FailpointsRefused(RuntimeError):
    """Failpoints are for test networks only, and this is none."""


@dataclass(frozen=True, slots=True)
class Order:
    """id: unique; processes: a pattern of the names of those that may carry it out; has: text that the call's arguments
    must contain, as repr shows them; count: at the so-manieth such call of one process; freeze: SIGSTOP, not SIGKILL
    """

    id: str
    processes: str = "*"
    has: str = ""
    count: int = 1
    freeze: bool = False


# --- in the processes that are to die -----------------------------------------------------------------------------


def install() -> None:
    """Wrap every point. FailpointsRefused; a point that does not exist any more is an AttributeError."""
    named = os.environ.get(FOLDER_VARIABLE, "")
    if not named or not (Path(named) / MARK).exists():
        raise FailpointsRefused(f"{FOLDER_VARIABLE} must name a folder with a file {MARK!r}")
    inside = _Inside(Path(named))
    for point in POINTS:
        owner, name = _resolved(point)
        setattr(owner, name, _wrapped(point.rpartition(":")[2], getattr(owner, name), inside))


def _resolved(point: str) -> tuple[type, str]:
    module, _, path = point.partition(":")
    class_name, _, method = path.partition(".")
    owner: type = getattr(importlib.import_module(module), class_name)
    if method not in vars(owner):
        raise AttributeError(f"no failpoint {point}: {class_name} has no {method} of its own")
    return owner, method


def _wrapped(point: str, method: Callable[..., Any], inside: _Inside) -> Callable[..., Any]:
    if inspect.iscoroutinefunction(method):

        @functools.wraps(method)
        async def call_and_await(*given: Any, **named: Any) -> Any:
            inside.reached(point, "before", given, named)
            result = await method(*given, **named)
            inside.reached(point, "after", given, named)
            return result

        return call_and_await

    @functools.wraps(method)
    def call(*given: Any, **named: Any) -> Any:
        inside.reached(point, "before", given, named)
        result = method(*given, **named)
        inside.reached(point, "after", given, named)
        return result

    return call


class _Inside:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._counted: dict[str, int] = {}

    def reached(self, point: str, when: str, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        armed = self._folder / "armed" / f"{point}.{when}"
        try:
            order = Order(**json.loads(armed.read_text()))
        except FileNotFoundError:
            return
        process = os.environ[PROCESS_VARIABLE]
        if not fnmatch.fnmatch(process, order.processes) or (order.has and order.has not in _shown(given, named)):
            return
        with self._lock:
            self._counted[order.id] = self._counted.get(order.id, 0) + 1
            if self._counted[order.id] != order.count:
                return
            try:
                armed.rename(self._folder / "armed" / f"taken-{order.id}")
            except FileNotFoundError:  # another process was quicker
                return
            told = self._folder / "hit" / f".{order.id}"
            told.write_text(json.dumps({"process": process, "pid": os.getpid()}))
            told.rename(self._folder / "hit" / order.id)
            os.kill(os.getpid(), signal.SIGSTOP if order.freeze else signal.SIGKILL)


def _shown(given: tuple[Any, ...], named: dict[str, Any]) -> str:
    return repr([each for each in (*given[1:], *named.values()) if not isinstance(each, (bytes, memoryview))])


# --- in the test --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Hit:
    process: str
    pid: int


class Failpoints:
    """The test's side of one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("armed", "hit"):
            (folder / name).mkdir(parents=True)
        (folder / MARK).touch()

    @contextlib.contextmanager
    def armed(self, point: str, when: str, order: Order) -> Iterator[None]:
        """point: CLASS.METHOD; when: before or after. Disarmed at the exit, whatever happened."""
        assert any(known.endswith(f":{point}") for known in POINTS), f"there is no point {point}"
        assert when in ("before", "after")
        path = self.folder / "armed" / f"{point}.{when}"
        temporary = path.with_name(f".{order.id}")
        temporary.write_text(json.dumps(asdict(order)))
        temporary.rename(path)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)

    def hit(self, order: Order) -> Hit | None:
        try:
            return Hit(**json.loads((self.folder / "hit" / order.id).read_text()))
        except FileNotFoundError:
            return None
