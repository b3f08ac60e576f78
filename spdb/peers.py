"""What this provider remembers of the others: how they did, and until when not to ask them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, select

from sp.domain.ids import Address
from sp.domain.jobs import PeerRecord
from spdb.database import Clock, Database
from spdb.models.peers import peers
from spdb.prepared import Prepared, for_dialects
from spdb.statements import names


@dataclass(frozen=True, slots=True)
class Peers:
    db: Database
    clock: Clock

    async def all(self) -> list[PeerRecord]:
        """Everyone there is a record of, by address."""
        return await self.db.read(lambda c: [_peer_of(row) for row in _ALL.all(c, {})])

    async def record_success(self, provider: Address) -> None:
        """It did its part: no failures, not frozen."""
        now = self.clock.now_ms()
        values = {"failures": 0, "frozen_until_ms": 0, "last_success_ms": now}
        await self.db.write(lambda c: _record(c, _SUCCESS, provider, now, values))

    async def record_failure(self, provider: Address, error: str, frozen_until_ms: int) -> None:
        """One failure more; not to be asked before that time (unix ms)."""
        now = self.clock.now_ms()
        values = {"failures": 1, "frozen_until_ms": frozen_until_ms, "last_error": names.clean(error)}
        await self.db.write(lambda c: _record(c, _FAILURE, provider, now, values))

    async def count_approvals(self, answered: Mapping[Address, bool]) -> None:
        """These answered a question for an approval: given (True) or refused."""
        now = self.clock.now_ms()
        await self.db.write(lambda c: _count(c, answered, now))


def _peer_of(row: Row[Any]) -> PeerRecord:
    return PeerRecord(
        Address(row.provider),
        row.failures,
        row.frozen_until_ms,
        row.last_error,
        row.last_success_ms,
        row.approvals_given,
        row.approvals_refused,
        row.updated_at_ms,
    )


_ALL: Final = Prepared(select(peers).order_by(peers.c.provider))

_BLANK: dict[str, Any] = {
    "failures": 0,
    "frozen_until_ms": 0,
    "last_error": "",
    "last_success_ms": 0,
    "approvals_given": 0,
    "approvals_refused": 0,
}


def _upsert(dialect: Any, changed: tuple[str, ...], counted: tuple[str, ...] = ()) -> Any:
    """Set the columns `changed` and add to those `counted` in the provider's row, made when absent."""
    bound = ("provider", "updated_at_ms", *changed, *counted)
    statement = dialect.insert(peers)
    news = {name: statement.excluded[name] for name in ("updated_at_ms", *changed)}
    news |= {name: peers.c[name] + statement.excluded[name] for name in counted}
    fresh = {**_BLANK, **{name: bindparam(f"b_{name}") for name in bound}}
    return statement.values(**fresh).on_conflict_do_update(index_elements=[peers.c.provider], set_=news)


def _prepared(changed: tuple[str, ...], counted: tuple[str, ...] = ()) -> Prepared:
    return for_dialects(lambda dialect: _upsert(dialect, changed, counted))


_SUCCESS: Final = _prepared(("failures", "frozen_until_ms", "last_success_ms"))
_FAILURE: Final = _prepared(("frozen_until_ms", "last_error"), counted=("failures",))
_ANSWERED: Final = _prepared((), counted=("approvals_given", "approvals_refused"))


def _record(
    connection: Connection, statement: Prepared, provider: Address, now_ms: int, values: dict[str, Any]
) -> None:
    row = {**values, "provider": provider, "updated_at_ms": now_ms}
    statement.run(connection, {f"b_{name}": value for name, value in row.items()})


def _count(connection: Connection, answered: Mapping[Address, bool], now_ms: int) -> None:
    """In the order of the addresses, so that two such transactions never wait for each other's rows."""
    rows = [
        {
            "b_provider": provider,
            "b_updated_at_ms": now_ms,
            "b_approvals_given": int(answered[provider]),
            "b_approvals_refused": int(not answered[provider]),
        }
        for provider in sorted(answered)
    ]
    if rows:
        _ANSWERED.run_each(connection, rows)
