"""`sp testnet files`: what the containers of a test network need before they start for the first time, in one folder
each, so that each folder can be a volume that nobody else mounts. docker-compose.yml runs it.

    DIR/chain/            chain.toml, genesis.json
    DIR/sp0/ ... spN-1/   as `sp testnet up` has them (layout.py), and account.json: the ready account, with its secrets

A container is reached by its name: chain, sp1, or sp0-SERVICE of an SP that has one container per service.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from cli.errors import NetworkDiffers
from cli.options import Config, Json
from cli.output import note, print_json, say
from cli.testnet.layout import CHAIN, Account
from sp.domain.errors import ConfigError, InvalidRequest

if TYPE_CHECKING:
    from cli.sp_files import SpPlan

EVERYWHERE: Final = "0.0.0.0"  # noqa: S104 - within a container: compose says which ports leave it
CHAIN_PORT: Final = 9090
GATEWAY_PORT: Final = 9033
P2P_PORT: Final = 9063
RECEIVER_PORT: Final = 9533
INTERNAL_PORT: Final = 9400
"""Of a split SP's services for each other, over mutual TLS."""

_ACCOUNT: Final = "account.json"


@dataclass(frozen=True, slots=True)
class SpContainers:
    """One SP: its name, whether it has one container per service, and the URL of its gateway for users."""

    name: str
    split: bool
    gateway: str

    def host(self, service: str) -> str:
        return f"{self.name}-{service}" if self.split else self.name

    def plan(self) -> SpPlan:
        from cli.sp_files import ENDPOINTS, SpPlan, hosts_of
        from cli.testnet.making import REGION

        endpoints = {service: f"{self.host(service)}:{INTERNAL_PORT}" for service in ENDPOINTS} if self.split else {}
        return SpPlan(
            name=self.name,
            public_gateway=self.gateway,
            public_p2p=f"{self.host('p2p')}:{P2P_PORT}",
            public_receiver=f"{self.host('receiver')}:{RECEIVER_PORT}",
            chain_address=f"{CHAIN}:{CHAIN_PORT}",
            endpoints=endpoints,
            sections={
                "gateway": {"http_address": f"{EVERYWHERE}:{GATEWAY_PORT}", "region": REGION},
                "p2p": {"peer_listen": f"{EVERYWHERE}:{P2P_PORT}"},
                "receiver": {"listen": f"{EVERYWHERE}:{RECEIVER_PORT}"},
            },
            certificate_names=hosts_of(endpoints),
            throwaway=True,
        )


def files(
    dir: Annotated[Path, typer.Option("--dir", help="Folder that has, or gets, a folder for the chain and each SP.")],
    sps: Annotated[int, typer.Option("--sps", min=7, max=200, help="Number of SPs.")] = 8,
    split: Annotated[list[str] | None, typer.Option("--split", help="One container per service (repeat).")] = None,
    gateway: Annotated[
        list[str] | None,
        typer.Option("--gateway", help="URL of an SP's gateway for users: sp0's, sp1's, ...", show_default="its name"),
    ] = None,
    owner: Annotated[
        str, typer.Option("--owner", help="UID:GID to give the folders to and to write as; needs root.")
    ] = "",
    block_interval_ms: Annotated[int, typer.Option("--block-interval-ms", min=10, help="Of the chain.")] = 1000,
) -> None:
    """Write keys, certificates, configurations and a genesis for containers. What is there already stays as it is."""
    network = _containers(sps, split or [], gateway or [])
    if owner:
        _become(owner, [dir / CHAIN, *(dir / each.name for each in network)])
    if _is_made(dir):
        _check_same(dir, network)
        say(f"{dir}: a network of {sps} SPs is here already")
        return
    make_files(dir, network, block_interval_ms)
    say(f"{dir}: a chain and {sps} SPs, with the same account at each: `sp testnet account` in any of them shows it")


def account(config: Config = None, as_json: Json = False) -> None:
    """In a container of a test network: the ready account, as an S3 client takes it from the environment."""
    from cli.context import Where
    from cli.sp_files import read_provider

    path = Where(config=config).config_path().with_name(_ACCOUNT)
    try:
        ready = Account(**json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(str(path), f"no account of a test network is here: {error}") from error
    endpoint = read_provider(path.parent).endpoint
    if as_json:
        print_json({**asdict(ready), "endpoint": endpoint})
        return
    say(f"export AWS_ACCESS_KEY_ID={ready.access_key_id}")
    say(f"export AWS_SECRET_ACCESS_KEY={ready.secret_access_key}")
    say(f"export AWS_DEFAULT_REGION={ready.region}")
    say(f"export AWS_ENDPOINT_URL={endpoint}")


def make_files(dir: Path, network: Sequence[SpContainers], block_interval_ms: int) -> None:
    """Write all folders anew. chain.toml comes last: without it the rest was left half-made, and nothing ran yet."""
    from chain.dev.genesis import Genesis
    from cli.sp_files import make_sp
    from cli.testnet.making import keep_account, new_account, write_chain
    from signer.files import write_whole
    from sp.domain.ids import Address

    ready = new_account()
    providers = []
    for each in network:
        home = dir / each.name
        _empty(home)
        providers.append(make_sp(home, each.plan()))
        keep_account(home, ready)
        write_whole(home / _ACCOUNT, json.dumps(asdict(ready), indent=1).encode(), replace=True)
    genesis = Genesis(authority=Address(ready.address), providers=tuple(providers))
    write_chain(dir / CHAIN, genesis, f"{EVERYWHERE}:{CHAIN_PORT}", block_interval_ms)


def _containers(count: int, split: Sequence[str], gateways: Sequence[str]) -> list[SpContainers]:
    names = [f"sp{number}" for number in range(count)]
    if unknown := set(split) - set(names):
        raise InvalidRequest(f"--split: there is no {', '.join(sorted(unknown))} among {count} SPs")
    if gateways and len(gateways) != count:
        raise InvalidRequest(f"--gateway: {len(gateways)} given for {count} SPs")
    network = [SpContainers(name, name in split, "") for name in names]
    urls = gateways or [f"http://{each.host('gateway')}:{GATEWAY_PORT}" for each in network]
    return [SpContainers(each.name, each.split, url) for each, url in zip(network, urls, strict=True)]


def _is_made(dir: Path) -> bool:
    return (dir / CHAIN / "chain.toml").exists()


def _check_same(dir: Path, network: Sequence[SpContainers]) -> None:
    """NetworkDiffers when the containers would not find each other; ConfigError when a volume was lost."""
    from chain.dev.genesis import load_genesis
    from cli.sp_files import read_provider

    registered = {provider.operator for provider in load_genesis(dir / CHAIN / "genesis.json").providers}
    if len(registered) != len(network):
        raise NetworkDiffers("number of SPs", str(len(registered)), str(len(network)))
    for each in network:
        present, plan = read_provider(dir / each.name), each.plan()
        if present.operator not in registered:
            raise ConfigError(str(dir / each.name), "its keys are not those that the chain has registered")
        if present.p2p_endpoint != plan.public_p2p:
            raise NetworkDiffers(f"address of {each.name}", present.p2p_endpoint, plan.public_p2p)
        if present.endpoint != plan.public_gateway:
            note(f"{each.name}: the chain goes on telling users that its gateway is {present.endpoint}")


def _empty(folder: Path) -> None:
    """Not the folder itself: a volume is mounted on it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _become(owner: str, folders: Sequence[Path]) -> None:
    """Give the folders away and go on as their new owner, so that all that is written is his. InvalidRequest."""
    uid, colon, gid = owner.partition(":")
    if not (colon and uid.isdecimal() and gid.isdecimal()):
        raise InvalidRequest(f"--owner {owner}: expected UID:GID in digits")
    try:
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
            os.chown(folder, int(uid), int(gid))
        os.setgroups([])
        os.setgid(int(gid))
        os.setuid(int(uid))
    except PermissionError as error:
        raise InvalidRequest(f"--owner {owner}: only root can give folders away") from error
