"""`sp exit`: an SP leaves the network, and others take over what it keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.options import Config, Dir, Json, Sp
from cli.output import instant, print_fields, print_json, print_table, say

if TYPE_CHECKING:
    from chain.client import Chain
    from cli.context import Where
    from sp.domain.ids import Address
    from sp.domain.ledger import StorageProvider
    from sp.domain.messages import TxMessage
    from sp.runtime.parts import Parts

app = typer.Typer(no_args_is_help=True)

WAIT_BLOCKS = 20
LISTED = 20

Unsealed = Annotated[
    bool, typer.Option("--unsealed", help="Though some of its puts are not sealed: those may be lost with it.")
]


@app.callback()
def _group() -> None:
    """Leave the network."""


@app.command()
def announce(
    unsealed: Unsealed = False, dir: Dir = None, sp: Sp = None, config: Config = None, as_json: Json = False
) -> None:
    """Tell the chain that this SP leaves (GRACEFUL_EXITING). It takes nothing new, and serves what it keeps until other
    SPs have taken that over. There is no way back."""
    from cli.context import Where, run

    _shown(run(_announce(Where(dir, sp, config), unsealed)), as_json)


@app.command()
def status(dir: Dir = None, sp: Sp = None, config: Config = None, as_json: Json = False) -> None:
    """Show how far a leaving SP is: what on chain still names it. And, for any SP, which columns of its own objects
    other SPs have yet to take over from SPs that leave."""
    from cli.context import Where, run

    _shown(run(_status(Where(dir, sp, config))), as_json)


@app.command()
def complete(dir: Dir = None, sp: Sp = None, config: Config = None, as_json: Json = False) -> None:
    """Strike this SP off the chain's register, once nothing there names it. It may be switched off then."""
    from cli.context import Where, run

    record = run(_complete(Where(dir, sp, config)))
    if as_json:
        print_json(record)
    else:
        say(f"{record['sp']} has left the network")


@app.command()
def force(
    operator: Annotated[str, typer.Argument(metavar="OPERATOR", help="Address of the SP that is gone.")],
    authority: Annotated[
        str, typer.Option("--authority", help="An account that the SP keeps.", show_default="its first one")
    ] = "",
    dir: Dir = None,
    sp: Sp = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Mark an SP as gone (FORCED_EXITING), in the name of the chain's authority, whose key the SP that is asked must
    keep: on a test network every SP does."""
    from cli.context import Where, run
    from sp.domain.addresses import parse_address

    chief = parse_address(authority) if authority else None
    _shown(run(_force(Where(dir, sp, config), parse_address(operator), chief)), as_json)


def _shown(record: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(record)
        return
    print_fields({key: value for key, value in record.items() if not isinstance(value, list | dict)})
    if record["waiting"]:
        columns = ("object", "column", "from", "to", "attempts", "next attempt", "last error")
        names = ("object", "redundancy_index", "from", "to", "attempts", "next_attempt_at", "error")
        rows = (tuple(row[name] for name in names) for row in record["waiting"])
        print_table(columns, rows, "columns of this SP's objects to be taken over")


async def _announce(where: Where, unsealed: bool) -> dict[str, Any]:
    from cli.context import connect_chain, opened
    from sp.domain.errors import InvalidRequest
    from sp.domain.jobs import JobFilter
    from sp.domain.lifecycle import BACKGROUND
    from sp.domain.messages import MsgStorageProviderExit
    from tasknode import client as tasknode

    async with opened(where.config_path()) as parts:
        chain, me = await connect_chain(parts), await _me(parts)
        if not (await _registered(chain, me)).exiting:
            _, counts = await (await tasknode.connect(parts)).list_jobs(JobFilter(limit=1))
            open_jobs = sum(count for state, count in counts.items() if state in BACKGROUND)
            if open_jobs and not unsealed:
                raise InvalidRequest(f"{open_jobs} puts here are not sealed yet: wait for them, or say --unsealed")
            await _execute(parts, chain, MsgStorageProviderExit(me))
        return await _record(parts, chain, me)


async def _status(where: Where) -> dict[str, Any]:
    from cli.context import connect_chain, opened

    async with opened(where.config_path()) as parts:
        return await _record(parts, await connect_chain(parts), await _me(parts))


async def _complete(where: Where) -> dict[str, Any]:
    from cli.context import connect_chain, opened
    from sp.domain.messages import MsgCompleteStorageProviderExit

    async with opened(where.config_path()) as parts:
        chain, me = await connect_chain(parts), await _me(parts)
        provider = await _registered(chain, me)
        await _execute(parts, chain, MsgCompleteStorageProviderExit(me))
        return {"sp": provider.moniker, "operator": me, "status": "GONE"}


async def _force(where: Where, operator: Address, authority: Address | None) -> dict[str, Any]:
    from cli.context import connect_chain, opened
    from signer import client as signer
    from sp.domain.errors import NoSuchAccount
    from sp.domain.messages import MsgStorageProviderForcedExit

    async with opened(where.config_path()) as parts:
        chain = await connect_chain(parts)
        await _registered(chain, operator)
        if authority is None:
            accounts = await (await signer.connect(parts)).list_accounts()
            if not accounts:
                raise NoSuchAccount("")
            authority = accounts[0].address
        await _execute(parts, chain, MsgStorageProviderForcedExit(authority, operator))
        return await _record(parts, chain, operator)


async def _record(parts: Parts, chain: Chain, operator: Address) -> dict[str, Any]:
    from tasknode import client as tasknode

    providers = await chain.storage_providers()
    provider = await _registered(chain, operator)
    listed, counts = await (await tasknode.connect(parts)).list_swap_ins(LISTED)

    def name(address: Address | None) -> str | None:
        known = providers.get(address) if address is not None else None
        return known.moniker if known is not None else address

    return {
        "sp": provider.moniker,
        "operator": operator,
        "status": provider.status.name,
        "objects_as_secondary": await _kept_by(chain, operator),
        "columns_of_own_objects_waiting": sum(counts.values()),
        "waiting": [
            {
                "object": f"{each.bucket}/{each.object_name}",
                "job_id": each.job_id,
                "redundancy_index": int(each.redundancy_index),
                "from": name(each.target),
                "to": name(each.successor),
                "attempts": each.attempts,
                "next_attempt_at": instant(each.next_attempt_at_ms),
                "error": each.error,
            }
            for each in listed
        ],
    }


async def _kept_by(chain: Chain, operator: Address) -> int:
    """Sealed objects that are with this provider, as the chain says."""
    from sp.domain.ledger import NO_OBJECT

    count, after = 0, NO_OBJECT
    while page := await chain.list_objects(secondary=operator, after=after):
        count, after = count + len(page), page[-1].id
    return count


async def _me(parts: Parts) -> Address:
    from signer import client as signer

    return (await (await signer.connect(parts)).keys()).operator


async def _registered(chain: Chain, operator: Address) -> StorageProvider:
    from sp.domain.errors import UnknownProvider

    provider = (await chain.storage_providers()).get(operator)
    if provider is None:
        raise UnknownProvider(operator)
    return provider


async def _execute(parts: Parts, chain: Chain, message: TxMessage) -> None:
    from signer import client as signer
    from sp.domain.errors import TxRefused

    height = (await chain.latest_block()).height
    tx_hash = await (await signer.connect(parts)).submit(message)
    result = await chain.wait_tx(tx_hash, height + WAIT_BLOCKS)
    if result.code:
        raise TxRefused(result.codespace, result.code, result.log)
