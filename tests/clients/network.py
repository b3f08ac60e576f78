"""The network that the clients talk to, and a second gateway of its sp0 that speaks HTTPS."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import boto3

from sp.runtime.process import READY_FILE_VARIABLE
from sp.runtime.tls import make_certificates
from tests.clients.program import Place
from tests.e2e.processes import Network, environment, eventually

START_TIMEOUT_S: Final = 60
END_TIMEOUT_S: Final = 30


def place_on(network: Network, folder: Path) -> Place:
    found = network.json("testnet", "info")
    account = found["account"]
    endpoint, keys = found["sps"][0]["gateway"], (account["access_key_id"], account["secret_access_key"])
    return Place(endpoint, account["region"], *keys, folder)


def s3_at(place: Place) -> Any:
    """boto3's client in this process."""
    return boto3.client(
        "s3",
        endpoint_url=place.endpoint,
        region_name=place.region,
        aws_access_key_id=place.key_id,
        aws_secret_access_key=place.secret,
    )


@contextmanager
def speaking_https(network: Network, place: Place, folder: Path) -> Iterator[Place]:
    """The same account and buckets at an https endpoint: one more gateway process on sp0's services."""
    files = make_certificates(folder, ["127.0.0.1", "localhost"])
    port = _free_port()
    config, ready = network.dir / "sp0" / "sp-https.toml", folder / "ready"
    config.write_text(
        _changed(
            (network.dir / "sp0" / "sp.toml").read_text(),
            {
                'gateway = "unix:run/gateway.sock"': 'gateway = "unix:run/gateway-https.sock"',
                f'http_address = "{place.address}"': f'http_address = "127.0.0.1:{port}"\n'
                f'tls_certificate = "{files.certificate}"\ntls_key = "{files.key}"',
            },
        )
    )
    command = [sys.executable, "-m", "cli.main", "run", "--config", str(config), "--services", "gateway"]
    with (folder / "gateway.log").open("wb") as log:
        with_file = {**environment(), READY_FILE_VARIABLE: str(ready)}
        process = subprocess.Popen(command, stdout=log, stderr=log, env=with_file)
    try:
        eventually(lambda: ready.exists() or process.poll() is not None, "an HTTPS gateway", START_TIMEOUT_S)
        assert process.poll() is None, (folder / "gateway.log").read_text()
        yield replace(place, endpoint=f"https://127.0.0.1:{port}", ca=Path(files.ca))
    finally:
        process.terminate()
        process.wait(END_TIMEOUT_S)


def _changed(text: str, changes: dict[str, str]) -> str:
    for old, new in changes.items():
        assert old in text, f"sp.toml has no {old}"
        text = text.replace(old, new)
    return text


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
