"""The command line itself: what it accepts, how it fails."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from typer.testing import CliRunner

from cli.main import app
from cli.options import bucket_and_name
from cli.output import instant, size
from cli.run import chosen_services

runner = CliRunner()


def init(dir: Path, *arguments: str) -> None:
    result = runner.invoke(app, ["init", "--dir", str(dir), *arguments])
    assert result.exit_code == 0, result.output


@pytest.fixture(scope="module")
def sp_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh SP, as `sp init` makes it. Read only."""
    dir = tmp_path_factory.mktemp("cli") / "sp-one"
    init(dir)
    return dir


def test_help_loads_neither_grpc_nor_aiohttp_nor_sqlalchemy() -> None:
    program = (
        "import sys, cli.main, typer.testing as t; r = t.CliRunner().invoke(cli.main.app, ['--help']);"
        "assert r.exit_code == 0; print([m for m in ('grpc', 'aiohttp', 'sqlalchemy', 'numpy') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "arguments",
    [
        ["frobnicate"],
        ["put"],
        ["get", "bucket-without-key"],
        ["jobs", "list", "--state", "NO_SUCH_STATE"],
        ["jobs", "list", "--limit", "0"],
        ["uploads", "ls"],
        ["uploads", "abort", "bucket"],
        ["uploads", "abort", "bucket", "no-id"],
        ["run", "--services", "signer,waiter"],
        ["run", "--services", ","],
        ["chain", "tx", "0x12"],
        ["testnet", "up", "--sps", "6"],
        ["testnet", "stop"],
        ["init", "--dir", "somewhere", "--internal", "host:9000"],
    ],
)
def test_a_wrong_command_line_ends_with_exit_code_2(arguments: list[str]) -> None:
    result = runner.invoke(app, arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["testnet", "info"],
        ["testnet", "status"],
        ["testnet", "down"],
        ["testnet", "stop", "sp0"],
        ["testnet", "start", "chain"],
        ["status"],
        ["jobs", "list"],
        ["jobs", "show", "7"],
        ["objects", "show", "bucket/key"],
        ["peers"],
        ["chain", "status"],
        ["ls"],
        ["keys", "show"],
        ["config", "check"],
    ],
)
def test_without_a_network_every_command_fails_with_one_line_and_exit_code_1(
    arguments: list[str], tmp_path: Path
) -> None:
    result = runner.invoke(app, [*arguments, "--dir", str(tmp_path)])
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("error: There is no test network here")
    assert result.stderr.count("\n") == 1


def test_the_folder_may_come_from_the_environment(tmp_path: Path) -> None:
    result = runner.invoke(app, ["testnet", "info"], env={"SP_TESTNET_DIR": str(tmp_path / "elsewhere")})
    assert str(tmp_path / "elsewhere") in result.stderr


def test_an_endpoint_without_keys_is_refused() -> None:
    env = {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}
    result = runner.invoke(app, ["ls", "--endpoint", "http://127.0.0.1:1"], env=env)
    assert result.exit_code == 1
    assert "AWS_ACCESS_KEY_ID" in result.stderr


def test_an_endpoint_where_nobody_listens_is_one_line() -> None:
    env = {"AWS_ACCESS_KEY_ID": "some", "AWS_SECRET_ACCESS_KEY": "secretsecret"}
    result = runner.invoke(app, ["ls", "--endpoint", "http://127.0.0.1:1"], env=env)
    assert result.exit_code == 1
    assert result.stderr.startswith("error: The gateway could not be reached")
    assert result.stderr.count("\n") == 1


def test_bucket_and_key_are_split_at_the_first_slash() -> None:
    assert bucket_and_name("photos/2024/a.jpg") == ("photos", "2024/a.jpg")
    assert bucket_and_name("s3://photos//a") == ("photos", "/a")
    for wrong in ("photos", "photos/", "/key", ""):
        with pytest.raises(typer.BadParameter):
            bucket_and_name(wrong)


def test_services_start_in_their_own_order_whatever_the_order_asked_for() -> None:
    assert chosen_services("gateway, signer,uploader") == ["signer", "uploader", "gateway"]


def test_times_are_utc_with_milliseconds_and_never_is_nothing() -> None:
    assert instant(1_700_000_000_123) == "2023-11-14T22:13:20.123Z"
    assert instant(0) is None
    assert instant(None) is None


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (16 * 2**20, "16.0 MiB"),
        (2**50, "1024.0 TiB"),
    ],
)
def test_sizes_are_shown_in_binary_units(size_bytes: int, text: str) -> None:
    assert size(size_bytes) == text


# --- sp init, sp config, sp keys


def test_a_new_sp_passes_its_own_check(sp_dir: Path) -> None:
    result = runner.invoke(app, ["config", "check", "--config", str(sp_dir / "sp.toml")])
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.endswith("sp.toml: ok\n")


def test_secrets_of_a_new_sp_are_readable_by_its_owner_alone(sp_dir: Path) -> None:
    for name in ("keys.json", "password"):
        assert (sp_dir / name).stat().st_mode & 0o777 == 0o600


def test_the_keys_shown_are_those_that_the_chain_is_to_register(sp_dir: Path) -> None:
    result = runner.invoke(app, ["keys", "show", "--config", str(sp_dir / "sp.toml"), "--json"])
    keys = json.loads(result.stdout)
    provider = json.loads((sp_dir / "provider.json").read_text())
    assert set(keys) == {"operator", "funding", "seal", "approval", "gc"}
    assert keys == {role: provider[role] for role in keys}
    assert provider["moniker"] == "sp-one"


def test_an_sp_is_never_made_over_another(sp_dir: Path) -> None:
    before = (sp_dir / "keys.json").read_bytes()
    result = runner.invoke(app, ["init", "--dir", str(sp_dir)])
    assert result.exit_code == 1
    assert "exists already" in result.stderr
    assert (sp_dir / "keys.json").read_bytes() == before


def test_what_config_dump_prints_reads_back_as_the_same_configuration(sp_dir: Path, tmp_path: Path) -> None:
    dumped = runner.invoke(app, ["config", "dump", "--config", str(sp_dir / "sp.toml")]).stdout
    again = tmp_path / "sp.toml"
    again.write_text(dumped)
    assert runner.invoke(app, ["config", "dump", "--config", str(again)]).stdout == dumped


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("[uploader]\nmax_upload = 3", "unknown key"),
        ("[uplaoder]\nmax_uploads = 3", "unknown section"),
        ('[uploader]\nmax_uploads = "many"', "must be a whole number"),
        ("[tls]\nca = 'ca.pem'", "all three or none"),
        ("[uploader", "sp.toml"),
    ],
)
def test_config_check_names_the_place_of_a_mistake(line: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "sp.toml"
    path.write_text(line + "\n")
    result = runner.invoke(app, ["config", "check", "--config", str(path)])
    assert result.exit_code == 1
    assert words in result.stderr
    assert result.stderr.count("\n") == 1


def test_config_check_reads_the_environment_too(sp_dir: Path) -> None:
    arguments = ["config", "check", "--config", str(sp_dir / "sp.toml")]
    result = runner.invoke(app, arguments, env={"SP_UPLOADER__MAX_UPLOADS": "lots"})
    assert result.exit_code == 1
    assert "SP_UPLOADER__MAX_UPLOADS" in result.stderr


def test_internal_tcp_endpoints_come_with_certificates_for_their_hosts(tmp_path: Path) -> None:
    init(tmp_path / "sp", "--internal", "sp0-{service}:9100")
    assert {path.name for path in (tmp_path / "sp" / "tls").iterdir()} == {"ca.pem", "sp.pem", "sp.key"}
    dumped = runner.invoke(app, ["config", "dump", "--config", str(tmp_path / "sp" / "sp.toml")]).stdout
    assert 'signer = "sp0-signer:9100"' in dumped
    assert 'ca = "tls/ca.pem"' in dumped


def test_certificates_are_renewed_for_the_same_hosts_under_another_authority(tmp_path: Path) -> None:
    init(tmp_path / "sp", "--internal", "sp0-{service}:9100")
    tls = tmp_path / "sp" / "tls"
    before = {path.name: path.read_bytes() for path in tls.iterdir()}
    result = runner.invoke(app, ["certificates", "--json", "--config", str(tmp_path / "sp" / "sp.toml")])
    assert result.exit_code == 0, result.output
    assert "sp0-signer" in json.loads(result.stdout)["names"]
    after = {path.name: path.read_bytes() for path in tls.iterdir()}
    assert after.keys() == before.keys()
    assert not [name for name in after if after[name] == before[name]]
    certificate = x509.load_pem_x509_certificate(after["sp.pem"])
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(after["ca.pem"]))
    with pytest.raises(InvalidSignature):
        certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(before["ca.pem"]))


def test_without_mutual_tls_there_is_nothing_to_renew(sp_dir: Path) -> None:
    result = runner.invoke(app, ["certificates", "--config", str(sp_dir / "sp.toml")])
    assert result.exit_code == 1
    assert "no [tls]" in result.stderr


def test_a_genesis_registers_the_sps_it_is_given(sp_dir: Path, tmp_path: Path) -> None:
    from chain.dev.genesis import load_genesis

    result = runner.invoke(app, ["chain", "genesis", str(sp_dir), "--dir", str(tmp_path / "chain")])
    assert result.exit_code == 0, result.output
    genesis = load_genesis(tmp_path / "chain" / "genesis.json")
    assert [provider.moniker for provider in genesis.providers] == ["sp-one"]


def test_secrets_of_an_imported_account_are_not_taken_from_the_command_line(sp_dir: Path) -> None:
    arguments = ["accounts", "import", "x", "--access-key-id", "AK1", "--config", str(sp_dir / "sp.toml")]
    result = runner.invoke(app, arguments, input="only one line\nand another\n")
    assert result.exit_code == 2
