"""The public keys that accounts have registered for an application's domain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite

from sp.domain.errors import InvalidRequest
from sp.domain.ids import Address
from spdb.database import Clock, Database
from spdb.models.auth_keys import auth_keys
from spdb.statements import names

MAX_KEYS: Final = 100
"""Of one account and domain: an application makes one for each session, and each lasts 7 days at most."""
MAX_DOMAIN_BYTES: Final = 512


@dataclass(frozen=True, slots=True)
class AuthKeys:
    """public_key: 64 lower-case hex digits"""

    db: Database
    clock: Clock

    async def add(self, account: Address, domain: str, public_key: str, expires_at_ms: int) -> None:
        """Valid until then; the same key again: until the new time. InvalidRequest for a domain that no row takes, or
        when the account has too many for it. Keys that have expired, whosever, are removed."""
        if not names.is_storable(domain) or not 0 < len(domain.encode()) <= MAX_DOMAIN_BYTES:
            raise InvalidRequest(f"a domain has 1 to {MAX_DOMAIN_BYTES} bytes of UTF-8")
        now = self.clock.now_ms()
        await self.db.write(lambda c: _add(c, account, domain, public_key, expires_at_ms, now))

    async def has(self, account: Address, domain: str, public_key: str) -> bool:
        """Whether it is registered and has not expired."""
        return public_key in await self.list(account, domain)

    async def list(self, account: Address, domain: str) -> list[str]:
        """Those that have not expired, in hex order."""
        now = self.clock.now_ms()
        return await self.db.read(lambda c: _list(c, account, domain, now))

    async def remove(self, account: Address, domain: str, public_keys: Sequence[str]) -> None:
        """Absent is success."""
        await self.db.write(lambda c: _remove(c, account, domain, public_keys))


def _of(account: Address, domain: str) -> Any:
    return (auth_keys.c.account == account) & (auth_keys.c.domain == domain)


def _add(
    connection: Connection, account: Address, domain: str, public_key: str, expires_at_ms: int, now_ms: int
) -> None:
    connection.execute(delete(auth_keys).where(auth_keys.c.expires_at_ms <= now_ms))
    held = connection.execute(
        select(func.count()).select_from(auth_keys).where(_of(account, domain), auth_keys.c.public_key != public_key)
    ).scalar_one()
    if held >= MAX_KEYS:
        raise InvalidRequest(f"an account has at most {MAX_KEYS} keys for one domain")
    dialect: Any = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(auth_keys).values(
        account=account, domain=domain, public_key=public_key, expires_at_ms=expires_at_ms
    )
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=[auth_keys.c.account, auth_keys.c.domain, auth_keys.c.public_key],
            set_={"expires_at_ms": expires_at_ms},
        )
    )


def _list(connection: Connection, account: Address, domain: str, now_ms: int) -> list[str]:
    if not names.is_storable(domain):
        return []
    rows = connection.execute(
        select(auth_keys.c.public_key)
        .where(_of(account, domain), auth_keys.c.expires_at_ms > now_ms)
        .order_by(auth_keys.c.public_key)
    )
    return [row.public_key for row in rows]


def _remove(connection: Connection, account: Address, domain: str, public_keys: Sequence[str]) -> None:
    if names.is_storable(domain):
        connection.execute(delete(auth_keys).where(_of(account, domain), auth_keys.c.public_key.in_(list(public_keys))))
