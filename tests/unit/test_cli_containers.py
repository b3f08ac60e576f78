"""The files of a network of containers: made once, whole, and never changed afterwards."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from typer.testing import CliRunner, Result

from cli.context import Where
from cli.main import app

runner = CliRunner()
SIZE = ("--sps", "7", "--split", "sp0")


def files(dir: Path, *words: str) -> Result:
    return runner.invoke(app, ["testnet", "files", "--dir", str(dir), *words])


def contents(dir: Path) -> dict[str, bytes]:
    return {str(path.relative_to(dir)): path.read_bytes() for path in dir.rglob("*") if path.is_file()}


def toml(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven SPs, sp0 in one container per service. Read only."""
    dir = tmp_path_factory.mktemp("net")
    done = files(dir, *SIZE)
    assert done.exit_code == 0, done.output
    return dir


def test_the_services_of_a_split_sp_call_each_other_by_name_and_only_with_its_certificate(made: Path) -> None:
    config = toml(made / "sp0" / "sp.toml")
    assert config["endpoint"]["signer"] == "sp0-signer:9400"
    certificate = x509.load_pem_x509_certificate((made / "sp0" / config["tls"]["certificate"]).read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert set(names.get_values_for_type(x509.DNSName)) == {
        address.partition(":")[0] for address in config["endpoint"].values()
    }
    assert "tls" not in toml(made / "sp1" / "sp.toml")


def test_the_chain_registers_every_sp_at_its_container(made: Path) -> None:
    providers = json.loads((made / "chain" / "genesis.json").read_bytes())["providers"]
    assert [each["moniker"] for each in providers] == [f"sp{number}" for number in range(7)]
    assert [each["receiver_endpoint"] for each in providers[:2]] == ["sp0-receiver:9533", "sp1:9533"]
    assert [each["p2p_endpoint"] for each in providers[:2]] == ["sp0-p2p:9063", "sp1:9063"]
    operators = {toml(made / each["moniker"] / "sp.toml")["sp"]["operator_address"] for each in providers}
    assert operators == {each["operator"] for each in providers}


def test_every_sp_keeps_the_same_account_and_nobody_else_can_read_it(made: Path) -> None:
    accounts = {(made / f"sp{number}" / "account.json").read_bytes() for number in range(7)}
    assert len(accounts) == 1
    assert {path.stat().st_mode & 0o777 for path in made.rglob("account.json")} == {0o600}
    assert all(list((made / f"sp{number}" / "accounts").iterdir()) for number in range(7))


def test_a_second_call_changes_nothing(made: Path) -> None:
    before = contents(made)
    again = files(made, *SIZE, "--gateway=http://elsewhere:1", *["--gateway=http://x:1"] * 6)
    assert again.exit_code == 0
    assert contents(made) == before
    assert "sp0: the chain goes on telling users that its gateway is http://sp0-gateway:9033" in again.output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--sps", "8", "--split", "sp0"), "number of SPs"),
        (("--sps", "7"), "address of sp0"),
        (("--sps", "7", "--split", "sp7"), "there is no sp7"),
        (("--sps", "7", "--gateway", "http://x:1"), "1 given for 7"),
        (("--sps", "7", "--owner", "root"), "UID:GID"),
    ],
)
def test_another_network_than_the_one_that_is_there_is_refused(made: Path, words: tuple[str, ...], said: str) -> None:
    before = contents(made)
    refused = files(made, *words)
    assert refused.exit_code == 1
    assert said in refused.output
    assert contents(made) == before


def test_what_was_left_half_made_is_made_anew(tmp_path: Path) -> None:
    assert files(tmp_path, *SIZE).exit_code == 0
    (tmp_path / "chain" / "chain.toml").unlink()  # written last
    old = contents(tmp_path)
    assert files(tmp_path, *SIZE).exit_code == 0
    new = contents(tmp_path)
    assert new.keys() == old.keys() | {"chain/chain.toml"}
    assert all(old[name] != new[name] for name in old if name.endswith("keys.json"))


def test_a_volume_that_was_lost_is_reported_and_not_filled_with_other_keys(tmp_path: Path) -> None:
    assert files(tmp_path, *SIZE).exit_code == 0
    (tmp_path / "sp3" / "provider.json").unlink()
    refused = files(tmp_path, *SIZE)
    assert refused.exit_code == 1
    assert "sp3" in refused.output


def test_the_account_is_shown_as_an_s3_client_takes_it(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SP_CONFIG", str(made / "sp0" / "sp.toml"))
    shown = runner.invoke(app, ["testnet", "account"]).output.splitlines()
    account = json.loads((made / "sp0" / "account.json").read_bytes())
    assert f"export AWS_SECRET_ACCESS_KEY={account['secret_access_key']}" in shown
    assert "export AWS_ENDPOINT_URL=http://sp0-gateway:9033" in shown


def test_sp_config_of_the_environment_counts_only_where_no_option_says_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SP_CONFIG", "/from/environment.toml")
    assert Where().config_path() == Path("/from/environment.toml")
    assert Where().chosen
    assert Where(config=Path("given.toml")).config_path() == Path("given.toml")
    assert not Where(dir=Path("testnet")).chosen
