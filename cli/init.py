"""`sp init`: the directory of one SP."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.options import Json
from cli.output import print_fields, print_json, say

Dir = Annotated[Path, typer.Option("--dir", help="The SP's directory; made if missing.")]
Name = Annotated[str, typer.Option("--name", help="Name, and moniker on chain.", show_default="the directory's name")]
Chain = Annotated[str, typer.Option("--chain", help="host:port of the chain.")]
PublicHost = Annotated[str, typer.Option("--public-host", help="Where users and other SPs reach this one.")]
ListenHost = Annotated[str, typer.Option("--listen-host", help="Address that the public services listen on.")]
HttpPort = Annotated[int, typer.Option("--http-port", min=1, max=65535, help="Of the gateway.")]
P2pPort = Annotated[int, typer.Option("--p2p-port", min=1, max=65535, help="Of the P2P node.")]
ReceiverPort = Annotated[int, typer.Option("--receiver-port", min=1, max=65535, help="Of the receiver.")]
Internal = Annotated[
    str,
    typer.Option(
        "--internal",
        help="host:port of its services for each other, with {service} in it, over mutual TLS.",
        show_default="unix sockets",
    ),
]
SpDb = Annotated[str, typer.Option("--spdb", help="URL of its database.")]
Monitor = Annotated[str, typer.Option("--monitor", help="host:port of /metrics and /readyz.", show_default="off")]
DomainName = Annotated[str, typer.Option("--domain-name", help="Buckets are also BUCKET.DOMAIN-NAME.")]


def init(
    dir: Dir,
    name: Name = "",
    chain: Chain = "127.0.0.1:9090",
    public_host: PublicHost = "127.0.0.1",
    listen_host: ListenHost = "127.0.0.1",
    http_port: HttpPort = 9033,
    p2p_port: P2pPort = 9063,
    receiver_port: ReceiverPort = 9533,
    internal: Internal = "",
    spdb: SpDb = "sqlite:///spdb.sqlite",
    monitor: Monitor = "",
    domain_name: DomainName = "",
    as_json: Json = False,
) -> None:
    """Make an SP: new keys under a new password, certificates, and sp.toml. Prints what the chain has to register."""
    from dataclasses import asdict

    from cli.sp_files import ENDPOINTS, SpPlan, hosts_of, make_sp

    if internal and "{service}" not in internal:
        raise typer.BadParameter("--internal needs {service} in its host name: each service has its own address")
    endpoints = {service: internal.replace("{service}", service) for service in ENDPOINTS} if internal else {}
    plan = SpPlan(
        name=name or dir.resolve().name,
        public_gateway=f"http://{public_host}:{http_port}",
        public_p2p=f"{public_host}:{p2p_port}",
        public_receiver=f"{public_host}:{receiver_port}",
        chain_address=chain,
        endpoints=endpoints,
        sections={
            "spdb": {"url": spdb},
            "gateway": {"http_address": f"{listen_host}:{http_port}", "domain_name": domain_name},
            "p2p": {"peer_listen": f"{listen_host}:{p2p_port}"},
            "receiver": {"listen": f"{listen_host}:{receiver_port}"},
            "monitor": {"address": monitor} if monitor else {},
        },
        certificate_names=hosts_of(endpoints),
    )
    provider = asdict(make_sp(dir, plan))
    if as_json:
        print_json(provider)
        return
    say(f"{dir}: sp.toml, keys.json, password. Keep the last two apart, and back both up.")
    print_fields({key: value for key, value in provider.items() if key not in ("id", "status")})
