"""What this provider remembers of the others: how they did, and until when not to ask them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, select
from sqlalchemy.dialects import postgresql, sqlite

from sp.domain.ids import Address
from sp.domain.jobs import PeerRecord
from spdb.database import Clock, Database
from spdb.models.peers import peers
from spdb.statements import names


@dataclass(frozen=True, slots=True)
class Peers:
    db: Database
    clock: Clock

    async def all(self) -> list[PeerRecord]:
        """Everyone there is a record of, by address."""
        return await self.db.read(
            lambda c: [_peer_of(row) for row in c.execute(select(peers).order_by(peers.c.provider))]
        )

    async def record_success(self, provider: Address) -> None:
        """It did its part: no failures, not frozen."""
        now = self.clock.now_ms()
        values = {"failures": 0, "frozen_until_ms": 0, "last_success_ms": now}
        await self.db.write(lambda c: _upsert(c, provider, now, values, {}))

    async def record_failure(self, provider: Address, error: str, frozen_until_ms: int) -> None:
        """One failure more; not to be asked before that time (unix ms)."""
        now = self.clock.now_ms()
        values = {"frozen_until_ms": frozen_until_ms, "last_error": names.clean(error)}
        await self.db.write(lambda c: _upsert(c, provider, now, values, {"failures": 1}))

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


_BLANK: dict[str, Any] = {
    "failures": 0,
    "frozen_until_ms": 0,
    "last_error": "",
    "last_success_ms": 0,
    "approvals_given": 0,
    "approvals_refused": 0,
}


def _insert(connection: Connection) -> Any:
    dialect: Any = postgresql if connection.dialect.name == "postgresql" else sqlite
    return dialect.insert(peers)


def _count(connection: Connection, answered: Mapping[Address, bool], now_ms: int) -> None:
    """In the order of the addresses, so that two such transactions never wait for each other's rows."""
    statement = _insert(connection)
    changed = {name: peers.c[name] + statement.excluded[name] for name in ("approvals_given", "approvals_refused")}
    changed["updated_at_ms"] = statement.excluded.updated_at_ms
    rows = [
        {
            **_BLANK,
            "provider": provider,
            "updated_at_ms": now_ms,
            "approvals_given": int(answered[provider]),
            "approvals_refused": int(not answered[provider]),
        }
        for provider in sorted(answered)
    ]
    connection.execute(statement.on_conflict_do_update(index_elements=[peers.c.provider], set_=changed), rows)


def _upsert(
    connection: Connection, provider: Address, now_ms: int, values: dict[str, Any], counted: dict[str, int]
) -> None:
    """Set `values` and add `counted` in the provider's row, made when absent."""
    fresh = {**_BLANK, **values, **counted, "provider": provider, "updated_at_ms": now_ms}
    changed = {**values, "updated_at_ms": now_ms, **{name: peers.c[name] + n for name, n in counted.items()}}
    connection.execute(
        _insert(connection).values(**fresh).on_conflict_do_update(index_elements=[peers.c.provider], set_=changed)
    )
