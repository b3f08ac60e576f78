"""A network of real processes at the level "debug", sp0 as one process per service: no log of theirs holds a secret."""

import http.client
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from gateway.request import RequestHead
from gateway.sign import sign_sigv4
from tests.e2e.processes import MORE_ENVIRONMENT, Network
from tests.secrets_seen import Secrets, files_below

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Network, Secrets, dict[str, bytes]]]:
    """A network that has been used well and badly; what must not be seen; what its commands have printed."""
    network, known, printed = Network(tmp_path_factory.mktemp("net")), Secrets(), dict[str, bytes]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MORE_ENVIRONMENT, "SP_LOG__LEVEL", "debug")
        try:
            network.sp("testnet", "up", "--detach", "--split", "sp0", "--block-interval-ms", "100")
            account = network.json("testnet", "info")["account"]
            for number in range(8):
                home = network.dir / f"sp{number}"
                known.add_provider(f"sp{number}", home / "keys.json", home / "password", home / "accounts")
            for words in (
                ("mb", "photos"),
                ("accounts", "list"),
                ("keys", "show"),
                ("config", "dump"),
                ("jobs", "list"),
            ):
                printed[" ".join(words)] = network.sp(*words).encode()
            network.put("photos/cat.jpg", b"meow" * 10_000, "--wait")
            assert network.get("photos/cat.jpg") == b"meow" * 10_000
            gateway = network.json("testnet", "info")["sps"][0]["gateway"]
            for secret, path, status in (
                (account["secret_access_key"], "/photos/cat.jpg", 200),
                (account["secret_access_key"], "/photos/none", 404),
                ("x" * 40, "/photos/cat.jpg", 403),
            ):
                assert asked(known, gateway, path, account["access_key_id"], secret) == status
            refused = network.run("get", "photos/none", "/dev/null")
            printed["get"] = refused.stdout.encode() + refused.stderr.encode()
            yield network, known, printed
        finally:
            network.run("testnet", "down")


def asked(known: Secrets, gateway: str, path: str, access_key_id: str, secret: str) -> int:
    """The status of a GET that is signed with this secret."""
    host = urlsplit(gateway).netloc
    signed = sign_sigv4(RequestHead("GET", path, "", (("host", host),)), access_key_id, secret, int(time.time()))
    known.add_authorization(dict(signed)["authorization"])
    with closing(http.client.HTTPConnection(host, timeout=30)) as connection:
        connection.request("GET", path, headers=dict(signed))
        return connection.getresponse().status


def test_no_log_and_no_command_shows_a_secret(run: tuple[Network, Secrets, dict[str, bytes]]) -> None:
    network, known, printed = run
    logs = files_below([network.dir / "log"])
    assert {Path(name).stem for name in logs} >= {"chain", "sp0-signer", "sp0-gateway", "sp1"}
    assert any(b"[debug" in text for text in logs.values())
    assert known.seen_in(logs | printed) == []
