"""Whether this process can do its work now: named checks, answered together at /readyz."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from sp.runtime.log import get_logger

CHECK_TIMEOUT_S: Final = 2.0

log = get_logger(__name__)

Check = Callable[[], Awaitable[object]]


class Readiness:
    def __init__(self) -> None:
        self._checks: dict[str, Check] = {}

    def add(self, name: str, check: Check) -> None:
        """check: raises, or returns False, when this part is not usable. A later one of the same name replaces it."""
        self._checks[name] = check

    async def report(self) -> dict[str, str]:
        """Check names with "ok" or what is wrong. All run at once; each has CHECK_TIMEOUT_S."""
        answers = await asyncio.gather(*(_outcome(name, check) for name, check in self._checks.items()))
        return dict(zip(self._checks, answers, strict=True))


async def _outcome(name: str, check: Check) -> str:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            return "not ready" if await check() is False else "ok"
    except TimeoutError:
        return f"no answer within {CHECK_TIMEOUT_S} s"
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the answer
        log.warning("not ready", check=name, error=type(error).__name__, reason=str(error))
        return f"{type(error).__name__}: {error}"[:300]
