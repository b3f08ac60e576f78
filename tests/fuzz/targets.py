"""The targets by name."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Final, Protocol

from tests.fuzz.guard import Run

HERE: Final = Path(__file__).parent

TARGETS: Final[dict[str, tuple[str, str]]] = {
    "head": ("heads", "request line, query and headers, and all that an operation reads of them"),
    "auth": ("heads", "SigV4, SigV2, presigned, GNFD1, GNFD2, personal signatures"),
    "chunked": ("bodies", "aws-chunked bodies in all framings and cuts"),
    "xml": ("bodies", "XML documents"),
    "form": ("bodies", "POST forms in all cuts"),
    "policy": ("bodies", "the policy of a POST form"),
    "site": ("site", "raw requests at a whole gateway"),
    "messages": ("strangers", "protobuf of other providers, error details, transactions"),
    "stream": ("stream", "frames of a Replicate stream at a whole receiver"),
    "sign_docs": ("strangers", "messages that clients want approved"),
    "config": ("files", "sp.toml and its environment"),
    "keystore": ("files", "keystore, password and account files"),
    "documents": ("files", "genesis, provider and network descriptions"),
    "disk": ("files", "names in the piece store, frames of the chain's log"),
}
"""Name: its module, and what it is about."""


class Place(Protocol):
    """A target with a network, a loop and threads of its own."""

    def run(self, raw: bytes) -> None: ...

    def close(self) -> None: ...


_PLACES: Final[dict[str, Place]] = {}
_STARTED: Final = frozenset({"site", "stream"})


def target(name: str) -> Run:
    """Whatever it needs is started when it is first asked for, and goes on until `close_all`."""
    found = getattr(import_module(f"tests.fuzz.{TARGETS[name][0]}"), name)
    if name not in _STARTED:
        run: Run = found
        return run
    if name not in _PLACES:
        _PLACES[name] = found()
    return _PLACES[name].run


def close_all() -> None:
    while _PLACES:
        _PLACES.popitem()[1].close()


def inputs(name: str) -> list[Path]:
    """The committed seeds of a target and the inputs that once broke it."""
    return sorted(path for kind in ("corpus", "cases") for path in (HERE / kind / name).glob("*"))
