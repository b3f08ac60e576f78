"""Clients that put, overwrite, delete, get and list, and remember what was acknowledged.

Each name has one client, which makes one call after the other: so what a name may mean is known at any time. After an
acknowledgement it is one thing. After a call whose outcome the client does not know it is what it was, or what the call
wanted; the next read that succeeds tells which.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final, TypeVar

from sp.crypto.ec import best_kernel
from sp.domain.errors import NoSuchObject, ServiceUnavailable, SpError
from sp.domain.ids import Address
from sp.domain.integrity import ObjectHasher
from sp.domain.jobs import PutOrder
from sp.domain.ledger import ObjectStatus, Visibility
from sp.domain.messages import MsgCreateObject, MsgDeleteObject
from tests.sim.loop import Owner
from tests.sim.making import PARAMS, SEGMENT_BYTES
from tests.sim.provider import SimProvider
from tests.sim.world import World

T = TypeVar("T")

PATIENCE_S: Final = 90.0

Content = bytes | None
"""What a name means: these bytes, or nothing."""


class ClientGone(Exception):
    """The client hung up in the middle of its body."""


class Unknown(Exception):
    """The call failed, and may have had its effect."""


@dataclass(slots=True)
class Name:
    """possible: what it may mean now; acknowledged: of all that, the last thing a 200 was given for
    by_user: its user creates it on chain, with its checksums, before it is put; created: what was promised there
    deleted_on_chain: in the end it means nothing
    """

    bucket: str
    name: str
    primary: SimProvider
    possible: set[Content] = field(default_factory=lambda: {None})
    acknowledged: Content = None
    by_user: bool = False
    created: tuple[PutOrder, bytes] | None = None
    deleted_on_chain: bool = False

    def is_surely(self, content: Content) -> None:
        self.possible = {content}
        self.acknowledged = content

    def __str__(self) -> str:
        return f"{self.bucket}/{self.name} at {self.primary.name}"


@dataclass(eq=False)
class Client:
    """account: who it is on chain. wrong: promises it saw broken"""

    world: World
    number: int
    account: Address
    names: list[Name]
    chance: Random
    calls: int
    pause_s: float
    wrong: list[str]
    done: Counter[str]

    def __post_init__(self) -> None:
        self.process: Owner = self.world.new_process(f"client{self.number}")

    async def run(self) -> None:
        for _ in range(self.calls):
            await asyncio.sleep(self.chance.uniform(0.0, 2 * self.pause_s))
            name = self.chance.choice(self.names)
            put, delete = (self.put_created, self.delete_on_chain) if name.by_user else (self.put, self.delete)
            act = self.chance.choices((put, self.get, delete, self.list), (6, 3, 1, 1))[0]
            await act(name)

    # --- calls

    async def put(self, name: Name) -> None:
        payload = payload_of(self.chance)
        leaves = self.chance.random() < 0.08
        order = PutOrder(
            name.bucket, name.name, self.account, len(payload) if self.chance.random() < 0.7 else None, PARAMS,
            request_id=f"{self.chance.getrandbits(64):016x}",
        )  # fmt: skip
        body = self._body(payload, leaves=leaves)
        try:
            await self.call(name.primary, "put", lambda: name.primary.uploader.put(order, body))
        except Unknown:
            name.possible.add(payload)
        except ClientGone:
            self.done["puts broken off"] += 1
        except SpError as error:
            self._refused("put", error)
        else:
            name.is_surely(payload)
            self.done["puts acknowledged"] += 1
            self.world.trace.note("acknowledged", name, payload)

    async def put_created(self, name: Name) -> None:
        """As a Greenfield client does: once, of what was promised on chain. Other bytes must be refused."""
        if name.created is None:
            payload = payload_of(self.chance) or b"not empty"
            name.created = (await create_by_user(self.world, name, payload), payload)
        order, payload = name.created
        sent = payload
        if self.chance.random() < 0.2:
            sent = bytes([payload[0] ^ 1]) + payload[1:]
        try:
            await self.call(
                name.primary, "put", lambda: name.primary.uploader.put(order, self._body(sent, leaves=False))
            )
        except Unknown:
            if sent == payload:
                name.possible.add(payload)
        except SpError as error:
            self._refused("put", error)
        else:
            if sent != payload:
                self.wrong.append(f"{name}: other bytes than were promised on chain are acknowledged")
            name.is_surely(payload)
            self.done["puts of created objects acknowledged"] += 1
            self.world.trace.note("acknowledged", name, payload)

    async def delete_on_chain(self, name: Name) -> None:
        """By its user, past the provider, which finds out by and by."""
        found = [o for o in self.world.node.state.objects.values() if (o.bucket, o.name) == (name.bucket, name.name)]
        if found and found[0].status is ObjectStatus.SEALED and not name.deleted_on_chain:
            user = self.world.plan.user
            result = await self.world.execute(user, MsgDeleteObject(Address(user.address), name.bucket, name.name))
            assert result.code == 0, result
            name.possible |= {None, name.acknowledged}
            name.deleted_on_chain = True
            self.done["deletes on chain"] += 1

    async def get(self, name: Name) -> None:
        """Whole, or a part; what it must be is known."""
        try:
            content = await self.call(name.primary, "get", lambda: read(name))
        except (Unknown, SpError) as error:
            self._refused("get", error)
            return
        self.done["gets answered"] += 1
        if content not in name.possible:
            expected = ", ".join(sorted(map(shown, name.possible)))
            self.wrong.append(f"{name} reads {shown(content)} at {self.world.loop.now_s:.1f}, not {expected}")
        if not name.deleted_on_chain or content is None:
            name.possible = {content}

    async def delete(self, name: Name) -> None:
        try:
            await self.call(
                name.primary,
                "delete",
                lambda: name.primary.tasknode.delete_object(name.bucket, name.name, self.account, "a deletion"),
            )
        except Unknown:
            name.possible.add(None)
        except SpError as error:
            self._refused("delete", error)
        else:
            name.is_surely(None)
            self.done["deletes acknowledged"] += 1
            self.world.trace.note("deleted", name)

    async def list(self, name: Name) -> None:
        """Of this client's names in the bucket."""
        prefix = f"c{self.number}-"
        try:
            listing = await self.call(
                name.primary, "list", lambda: name.primary.downloader.list(name.bucket, prefix, "", "", 1000)
            )
        except (Unknown, SpError) as error:
            self._refused("list", error)
            return
        self.done["lists answered"] += 1
        listed = {entry.job.object_name for entry in listing.entries}
        for known in self.names:
            if known.bucket == name.bucket:
                wrong = (None in known.possible) if known.name in listed else None not in known.possible
                if wrong and len(known.possible) == 1:
                    self.wrong.append(f"{known} is {'' if known.name in listed else 'not '}listed")

    def _refused(self, what: str, error: Exception) -> None:
        self.done[f"{what}s that failed"] += 1
        self.world.trace.note("failed", what, type(error).__name__)

    async def _body(self, payload: bytes, *, leaves: bool) -> AsyncIterator[bytes]:
        last = self.chance.randrange(len(payload) + 1) if leaves else len(payload)
        at = 0
        while at < last:
            size = self.chance.choice((7, SEGMENT_BYTES, 3 * SEGMENT_BYTES, 1000))
            yield payload[at : min(at + size, last)]
            at += size
            if self.chance.random() < 0.2:
                await asyncio.sleep(self.chance.uniform(0.0, 3.0))
        if leaves:
            raise ClientGone

    # --- reaching a provider

    async def call(self, provider: SimProvider, what: str, work: Callable[[], Awaitable[T]]) -> T:
        """Over HTTP, as it were: the work runs in the provider's process; its answer may be lost, the client may lose
        its patience, the process may die. Unknown when the work may have been done. An effect that comes later than
        its call's end is impossible: the client waits until the work has ended, one way or the other."""
        if not provider.runs or provider.process is None:
            raise ServiceUnavailable(provider.name, "nobody listens")
        process = provider.process
        task = self.world.loop.spawn(process, _awaited(work), f"{what} of client {self.number}")
        await self._ended(task, process, self.chance.uniform(0.2, 1.0) * PATIENCE_S)
        if not task.done():
            self.world.count("client lost its patience")
            while not task.done() and process.alive:
                task.cancel()
                await self._ended(task, process, 5.0)
        if not task.done() or task.cancelled():
            raise Unknown
        error = task.exception()
        if error is None and self.chance.random() < 0.03:
            self.world.count("answer to a client lost")
            raise Unknown
        if isinstance(error, ServiceUnavailable):  # of the database, say, after the commit
            raise Unknown from error
        return task.result()

    async def _ended(self, task: asyncio.Task[Any], process: Owner, patience_s: float) -> None:
        """Until the task has ended, its process is dead, or the patience is at its end."""
        waited_s = 0.0
        while not task.done() and process.alive and waited_s < patience_s:
            await asyncio.wait([task], timeout=1.0)
            waited_s += 1.0


async def _awaited(work: Callable[[], Awaitable[T]]) -> T:
    return await work()


async def read(name: Name) -> Content:
    """The whole object as its primary serves it."""
    downloader = name.primary.downloader
    try:
        entry = await downloader.head(name.bucket, name.name)
        assert entry.job.payload_size is not None
        parts = [bytes(part) async for part in downloader.get(entry, 0, entry.job.payload_size)]
    except NoSuchObject:
        return None
    return b"".join(parts)


def payload_of(chance: Random) -> bytes:
    size = chance.choice((0, 1, chance.randrange(1, SEGMENT_BYTES), SEGMENT_BYTES, SEGMENT_BYTES + 1,
                          chance.randrange(1, 400), chance.randrange(1, 400), chance.randrange(400, 1500)))  # fmt: skip
    return chance.randbytes(size)


def shown(content: Content) -> str:
    return "nothing" if content is None else f"{len(content)} bytes {content[:4].hex()}"


async def create_by_user(world: World, name: Name, payload: bytes) -> PutOrder:
    """The object with its seven checksums, in a transaction of its own; how it is to be put."""
    hasher = ObjectHasher(PARAMS.data_chunks, PARAMS.parity_chunks, best_kernel())
    for at in range(0, len(payload), SEGMENT_BYTES):
        hasher.add(payload[at : at + SEGMENT_BYTES])
    user = Address(world.plan.user.address)
    message = MsgCreateObject(
        creator=user,
        bucket=name.bucket,
        object_name=name.name,
        payload_size=len(payload),
        visibility=Visibility.INHERIT,
        content_type="text/plain",
        expect_checksums=hasher.checksums(),
    )
    result = await world.execute(world.plan.user, message)
    assert result.object_id is not None, result
    root = hasher.checksums()[0]
    return PutOrder(name.bucket, name.name, user, len(payload), PARAMS, object_id=result.object_id, expected_root=root)
