"""`sp status`: how every SP of a test network is, asked where it listens."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from cli.options import Dir, Json
from cli.output import print_json, print_table, size

if TYPE_CHECKING:
    import aiohttp

    from chain.client import Chain
    from cli.testnet.layout import Network, NetworkSp
    from sp.runtime.parts import Parts

T = TypeVar("T")

ANSWER_TIMEOUT_S: Final = 5.0


def status(dir: Dir = None, as_json: Json = False) -> None:
    """Show one line per SP: status on chain, ready, height it has seen, its jobs by state."""
    from cli.context import Where, run

    rows = run(_all(Where(dir).testnet()))
    if as_json:
        print_json(rows)
        return
    columns = ("sp", "role", "ready", "height", "free", "jobs")
    print_table(columns, (_row(row) for row in rows))


@dataclass(frozen=True, slots=True)
class _Asking:
    testnet: Network
    session: aiohttp.ClientSession


async def _all(testnet: Network) -> list[dict[str, Any]]:
    import aiohttp

    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ANSWER_TIMEOUT_S)) as session:
        asking = _Asking(testnet, session)
        return list(await asyncio.gather(*(_one(asking, sp) for sp in testnet.sps)))


async def _one(asking: _Asking, sp: NetworkSp) -> dict[str, Any]:
    """role: its status on chain, and whether it runs as one process. Unanswered questions stay None."""
    from cli.context import connect_chain, opened
    from cli.testnet.supervisor import running_pids

    pids = running_pids(asking.testnet, sp.processes)
    record: dict[str, Any] = {
        "name": sp.name,
        "role": None,
        "processes": len(pids),
        "ready": len(pids) == len(sp.processes) and await _ready(asking, sp),
        "height": None,
        "free_bytes": None,
        "jobs": None,
    }
    if not pids:
        return record
    async with opened(asking.testnet.config_path(sp.name)) as parts:
        record["role"] = await _answered(_role(await connect_chain(parts), sp.operator_address))
        record["jobs"] = await _answered(_jobs(parts))
        ping = await _answered(_ping(parts, sp.p2p))
        if ping is not None:
            record["height"], record["free_bytes"] = ping
    return record


async def _answered(question: Awaitable[T]) -> T | None:
    """None when whoever is asked does not answer: the other columns are worth showing."""
    from sp.domain.errors import Kind, SpError

    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            return await question
    except TimeoutError:
        return None
    except SpError as error:
        if error.kind is not Kind.UNAVAILABLE:
            raise
        return None


async def _role(chain: Chain, operator: str) -> str:
    from sp.domain.addresses import parse_address

    registered = (await chain.storage_providers()).get(parse_address(operator))
    return registered.status.name if registered is not None else "NOT_REGISTERED"


async def _jobs(parts: Parts) -> dict[str, int]:
    from sp.domain.jobs import JobFilter
    from tasknode.client import connect

    _, counts = await (await connect(parts)).list_jobs(JobFilter(limit=1))
    return {state.name: count for state, count in sorted(counts.items()) if count}


async def _ping(parts: Parts, endpoint: str) -> tuple[int, int]:
    from p2p.client import GrpcPeers
    from sp.runtime.channels import Channels
    from sp.runtime.rpc import dial

    def dialled(target: str) -> Any:
        return dial(target, tls=None, timeout_s=ANSWER_TIMEOUT_S)

    async with Channels(dialled, parts.clock, limit=1) as channels:
        answer = await GrpcPeers(channels, parts.clock).ping(endpoint)
    return answer.height, answer.free_bytes


async def _ready(asking: _Asking, sp: NetworkSp) -> bool:
    """Whether all its processes say so at /readyz."""
    import aiohttp

    from cli.testnet.supervisor import monitor_address

    for process in sp.processes:
        address = monitor_address(asking.testnet, process)
        if address is None:
            return False
        try:
            async with asking.session.get(f"http://{address}/readyz") as response:
                if response.status != 200:
                    return False
        except (aiohttp.ClientError, TimeoutError):
            return False
    return True


def _row(row: dict[str, Any]) -> tuple[object, ...]:
    jobs = "  ".join(f"{state} {count}" for state, count in (row["jobs"] or {}).items())
    role = row["role"] or ("unknown" if row["processes"] else "stopped")
    return row["name"], role, row["ready"], row["height"], size(row["free_bytes"]), jobs
