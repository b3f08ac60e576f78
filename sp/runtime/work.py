"""For whom something is done: carried by the context, so that what is shared can be shared fairly.

A task that starts others hands its own on. What nobody has said anything about is foreground work of its request.
"""

from __future__ import annotations

from contextvars import ContextVar, Token
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from sp.runtime import log


class Work(StrEnum):
    """What kind of work it is; the first goes before the others (sp.runtime.pool has the rule)."""

    FOREGROUND = "foreground"  # someone waits for the answer
    REPLICATION = "replication"  # acknowledged, not yet redundant: our jobs, and what other providers place with us
    UPKEEP = "upkeep"  # scrubbing, mending, collecting


@dataclass(frozen=True, slots=True)
class Share:
    """owner: the account, "" where it is not known; flow: one request or job of it"""

    work: Work = Work.FOREGROUND
    owner: str = ""
    flow: str = ""


_UNSAID: Final = Share()
_share: Final[ContextVar[Share]] = ContextVar("sp_share", default=_UNSAID)


def current_share() -> Share:
    """Of the task that asks. Where no flow was named, it is the request id that the log knows."""
    share = _share.get()
    return share if share.flow else Share(share.work, share.owner, log.current("request_id") or "")


def own(owner: str) -> None:
    """The rest of this task is done for this account."""
    share = _share.get()
    _share.set(Share(share.work, owner, share.flow))


class working:
    """What is done inside, also by tasks started inside, is this. None: as outside. Not for async generators, whose
    ends run in whatever context closes them."""

    __slots__ = ("_said", "_token")

    def __init__(self, work: Work | None = None, owner: str | None = None, flow: str | None = None) -> None:
        self._said = work, owner, flow
        self._token: Token[Share] | None = None

    def __enter__(self) -> None:
        outside = _share.get()
        work, owner, flow = self._said
        self._token = _share.set(
            Share(
                outside.work if work is None else work,
                outside.owner if owner is None else owner,
                outside.flow if flow is None else flow,
            )
        )

    def __exit__(self, *_: object) -> None:
        assert self._token is not None
        _share.reset(self._token)
