"""A whole network in one process: the dev chain and any number of SPs, talking through real gRPC and HTTP.

Nothing is simulated: each SP has its own directory with keystore, SQLite database and disk store, its own listeners, and
is started by the same `running(parts)` of each service that `sp run` uses. What a test may change: the configuration of
one SP, its piece store (wrapped by FaultyStore), which of its services run, and the chain's faults.
"""

from __future__ import annotations

import secrets
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import chain.dev.app
import downloader.app
import gateway.app
import p2p.app
import receiver.app
import signer.app
import tasknode.app
import uploader.app
from chain.dev.genesis import Genesis
from chain.dev.node import Node
from downloader.service import DownloaderService
from piecestore.faulty import FaultyStore
from piecestore.open import shared_piece_store
from signer.client import SpKeys
from signer.keystore import create_keystore
from sp.crypto.private import PrivateKey
from sp.domain.ids import Address
from sp.domain.jobs import Job
from sp.domain.ledger import SpStatus, StorageProvider
from sp.domain.lifecycle import FINAL, JobState
from sp.domain.params import StorageParams
from sp.runtime.clock import SystemClock
from sp.runtime.config import ConfigFile
from sp.runtime.parts import Parts
from tasknode.client import JobDetail
from tasknode.service import TaskNodeService

KIB = 1024
PASSWORD = "a password for tests"
REGION = "us-east-1"

RUNNERS: dict[str, Callable[[Parts], Any]] = {
    "signer": signer.app.running,
    "p2p": p2p.app.running,
    "receiver": receiver.app.running,
    "tasknode": tasknode.app.running,
    "uploader": uploader.app.running,
    "downloader": downloader.app.running,
    "gateway": gateway.app.running,
}

QUICK: dict[str, dict[str, object]] = {
    "tasknode": {"poll_interval_s": 0.2, "retry_first_delay_ms": 50, "retry_max_delay_ms": 400, "lease_ms": 2000},
    "uploader": {"collect_interval_s": 0.2, "keep_failed_ms": 0, "lease_ms": 2000},
}
"""Shorter waits than in production, so that tests of retries and collection are quick."""


@dataclass(frozen=True, slots=True)
class Account:
    """A custodial account that every SP of the network knows."""

    key: PrivateKey
    access_key_id: str
    secret_access_key: str

    @property
    def address(self) -> Address:
        return Address(self.key.address)


@dataclass
class Sp:
    """One provider. `parts` and `services` are there while it runs."""

    name: str
    dir: Path
    keys: SpKeys
    ports: Mapping[str, int]
    sections: dict[str, dict[str, object]]
    parts: Parts | None = None
    faulty: FaultyStore | None = None
    services: dict[str, Any] = field(default_factory=dict)
    _stack: AsyncExitStack | None = None

    @property
    def operator(self) -> Address:
        return self.keys.operator

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.ports['gateway']}"

    @property
    def tasknode(self) -> TaskNodeService:
        return self.services["tasknode"]

    @property
    def downloader(self) -> DownloaderService:
        return self.services["downloader"]

    @property
    def pieces(self) -> FaultyStore:
        assert self.faulty is not None
        return self.faulty

    async def start(self, *names: str) -> None:
        """Start these services (default all) in one process, in the order of `sp run`."""
        assert self._stack is None, f"{self.name} runs already"
        self._stack = stack = AsyncExitStack()
        file = ConfigFile.from_mapping(self.sections, self.dir)
        self.parts = await stack.enter_async_context(Parts(file, clock=SystemClock()))
        real = await shared_piece_store(self.parts)
        self.parts._opened.pop("piece_store").order = -1  # the wrapper takes its name; the real one closes last
        self.faulty = FaultyStore(real)
        await self.parts.once("piece_store", lambda: _as_opened(self.faulty))
        for name in names or RUNNERS:
            self.services[name] = await stack.enter_async_context(RUNNERS[name](self.parts))

    async def stop(self) -> None:
        if self._stack is not None:
            stack, self._stack = self._stack, None
            self.services.clear()
            await stack.aclose()


@asynccontextmanager
async def _as_opened(value: Any) -> AsyncIterator[Any]:
    yield value


@dataclass
class Network:
    dir: Path
    node: Node
    chain_parts: Parts
    account: Account
    sps: list[Sp]

    async def job(self, sp: Sp, bucket: str, name: str) -> Job:
        return (await sp.tasknode.get_job_of(bucket, name)).job

    async def settled(self, sp: Sp, bucket: str, name: str, until: frozenset[JobState] = FINAL) -> JobDetail:
        """The newest job of a name once it is in one of these states (by its own events, not by polling)."""
        job = await self.job(sp, bucket, name)
        last: JobDetail | None = None
        async for last in sp.tasknode.watch_job(job.id):
            if last.job.state in until:
                return last
        assert last is not None
        raise AssertionError(f"job ended in {last.job.state.name}: {last.job.error}\n{story(last)}")

    async def sealed(self, sp: Sp, bucket: str, name: str) -> JobDetail:
        detail = await self.settled(sp, bucket, name)
        assert detail.job.state is JobState.SEAL_OBJECT_DONE, story(detail)
        return detail


def story(detail: JobDetail) -> str:
    """A job's history, for the message of a failed assertion."""
    return "\n".join(f"{row.at_ms} {row.state.name} {row.event} {row.provider} {row.reason}" for row in detail.history)


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago; all are held open while they are chosen, so that they differ."""
    with _Sockets() as sockets:
        return [sockets.bind() for _ in range(count)]


class _Sockets:
    def __enter__(self) -> _Sockets:
        self._open: list[socket.socket] = []
        return self

    def bind(self) -> int:
        one = socket.socket()
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.bind(("127.0.0.1", 0))
        self._open.append(one)
        return one.getsockname()[1]

    def __exit__(self, *_: object) -> None:
        for one in self._open:
            one.close()


PORTS = ("gateway", "p2p", "receiver")


def _new_sp(dir: Path, number: int, ports: Mapping[str, int], chain_port: int, changes: Mapping[str, Any]) -> Sp:
    """One provider's directory with its keys and configuration."""
    home = dir / f"sp{number}"
    (home / "signer").mkdir(parents=True)
    (home / "password").write_text(PASSWORD)
    keys = create_keystore(home / "signer" / "keystore.json", PASSWORD, secrets.token_bytes)
    sections: dict[str, dict[str, object]] = {
        "sp": {"name": f"sp{number}", "operator_address": keys.operator},
        "log": {"level": "warning"},
        "chain": {"address": f"127.0.0.1:{chain_port}"},
        "signer": {"password_file": "password"},
        "gateway": {"http_address": f"127.0.0.1:{ports['gateway']}", "region": REGION},
        "p2p": {"peer_listen": f"127.0.0.1:{ports['p2p']}", "reserve_bytes": 0},
        "receiver": {"listen": f"127.0.0.1:{ports['receiver']}"},
        **QUICK,
    }
    for name, table in changes.items():
        sections[name] = {**sections.get(name, {}), **table}
    return Sp(f"sp{number}", home, keys, ports, sections)


def _provider(sp: Sp, number: int) -> StorageProvider:
    return StorageProvider(
        id=number + 1,
        operator=sp.keys.operator,
        funding=sp.keys.funding,
        seal=sp.keys.seal,
        approval=sp.keys.approval,
        gc=sp.keys.gc,
        status=SpStatus.IN_SERVICE,
        endpoint=sp.endpoint,
        p2p_endpoint=f"127.0.0.1:{sp.ports['p2p']}",
        receiver_endpoint=f"127.0.0.1:{sp.ports['receiver']}",
        moniker=sp.name,
    )


@asynccontextmanager
async def running_network(
    dir: Path,
    sps: int = 8,
    params: StorageParams | None = None,
    changes: Mapping[str, Any] | None = None,
    chain_changes: Mapping[str, object] | None = None,
) -> AsyncIterator[Network]:
    """A network below `dir`. Segments are 64 KiB unless `params` says otherwise, so that small objects have many.

    changes: configuration of every SP, by section; chain_changes: of the chain node
    """
    ports = free_ports(1 + sps * len(PORTS))
    chain_port = ports.pop()
    providers = [
        _new_sp(dir, n, dict(zip(PORTS, ports[n * 3 : n * 3 + 3], strict=True)), chain_port, changes or {})
        for n in range(sps)
    ]
    account = Account(PrivateKey.generate(secrets.token_bytes), "GNFDTESTACCESSKEY001", "secret/" + "s" * 33)
    genesis = Genesis(
        authority=Address(account.key.address),
        params=params or StorageParams(max_segment_size=64 * KIB),
        providers=tuple(_provider(sp, n) for n, sp in enumerate(providers)),
    )
    (dir / "genesis.json").write_text(genesis.to_json())
    node_section: dict[str, object] = {
        "listen": f"127.0.0.1:{chain_port}",
        "genesis": "genesis.json",
        "production": "when_pending",
        "faults": True,
        **(chain_changes or {}),
    }
    async with AsyncExitStack() as stack:
        file = ConfigFile.from_mapping({"log": {"level": "warning"}, "chain_node": node_section}, dir)
        chain_parts = await stack.enter_async_context(Parts(file, clock=SystemClock()))
        node = await stack.enter_async_context(chain.dev.app.running(chain_parts))
        network = Network(dir, node, chain_parts, account, providers)
        for sp in providers:
            stack.push_async_callback(sp.stop)
            await sp.start()
            await import_account(sp, account)
        yield network


async def import_account(sp: Sp, account: Account) -> None:
    await sp.services["signer"].import_account(
        "tester", bytes.fromhex(account.key.reveal_hex().removeprefix("0x")), account.access_key_id, account.secret_access_key
    )
