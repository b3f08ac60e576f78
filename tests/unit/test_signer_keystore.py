"""The keystore: what is on disk is useless without the password, and never half written."""

import json
import stat
from pathlib import Path

import pytest

from cli.sp_files import SpPlan, make_sp
from signer.files import write_whole
from signer.keystore import PASSWORD_VARIABLE, ROLES, create_keystore, load, open_keystore
from signer.sealing import Stretching
from sp.crypto.private import PrivateKey
from sp.domain.errors import ConfigError, KeystoreLocked
from tests.unit.providers import counting_bytes

QUICK = Stretching(b"s" * 16, log2_n=4, r=1, p=1)
PASSWORD = "correct horse"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "signer" / "keystore.json"


def test_an_opened_keystore_has_the_keys_that_were_created(path: Path) -> None:
    made = create_keystore(path, PASSWORD, counting_bytes("a"), stretching=QUICK)
    opened = open_keystore(path, PASSWORD)
    assert opened.addresses == made
    assert len({getattr(made, role) for role in ROLES}) == 5


def test_the_default_password_stretching_opens_again(path: Path) -> None:
    made = create_keystore(path, PASSWORD, counting_bytes("a"))
    assert open_keystore(path, PASSWORD).addresses == made
    assert json.loads(path.read_text())["scrypt"]["log2_n"] == 15


@pytest.mark.parametrize("password", ["", "Correct horse", "correct horse "])
def test_a_wrong_password_opens_nothing(path: Path, password: str) -> None:
    create_keystore(path, PASSWORD, counting_bytes("a"), stretching=QUICK)
    with pytest.raises(KeystoreLocked):
        open_keystore(path, password)


def test_no_secret_stands_in_the_file_and_only_its_owner_may_read_it(path: Path) -> None:
    create_keystore(path, PASSWORD, counting_bytes("a"), stretching=QUICK)
    opened, text = open_keystore(path, PASSWORD), path.read_text()
    secrets = [key.reveal_hex() for key in opened.keys.values()] + [opened.account_key.hex(), PASSWORD]
    assert not [secret for secret in secrets if secret in text or secret in repr(opened)]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_keys_cannot_be_swapped_between_roles(path: Path) -> None:
    create_keystore(path, PASSWORD, counting_bytes("a"), stretching=QUICK)
    document = json.loads(path.read_text())
    keys = document["keys"]
    keys["seal"], keys["approval"] = keys["approval"], keys["seal"]
    path.write_text(json.dumps(document))
    with pytest.raises(KeystoreLocked):
        open_keystore(path, PASSWORD)


def test_whatever_is_changed_of_a_keystore_opens_no_other_keys(path: Path) -> None:
    """Every sealed text and every parameter, each at its first, middle and last place."""
    made = create_keystore(path, PASSWORD, counting_bytes("a"), stretching=QUICK)
    original = path.read_text()
    document = json.loads(original)
    sealed = [each["sealed"] for each in document["keys"].values()] + [document["account_key"]]
    for text in [*sealed, document["scrypt"]["salt"]]:
        for at in (0, len(text) // 2, len(text) - 1):
            changed = text[:at] + ("1" if text[at] == "0" else "0") + text[at + 1 :]
            path.write_text(original.replace(text, changed))
            with pytest.raises(KeystoreLocked):
                open_keystore(path, PASSWORD)
        path.write_text(original.replace(text, text[:-2]))
        with pytest.raises((KeystoreLocked, ConfigError)):
            open_keystore(path, PASSWORD)
    path.write_text(original)
    assert open_keystore(path, PASSWORD).addresses == made


def test_the_password_and_the_keystore_of_a_new_sp_are_its_owners_alone(tmp_path: Path) -> None:
    dir = tmp_path / "sp"
    make_sp(dir, SpPlan("sp", "http://h:1", "h:2", "h:3", "h:4", throwaway=True))
    assert {name: stat.S_IMODE((dir / name).stat().st_mode) for name in ("keys.json", "password")} == {
        "keys.json": 0o600,
        "password": 0o600,
    }
    assert stat.S_IMODE(dir.stat().st_mode) & 0o077 == 0
    assert len((dir / "password").read_text().strip()) >= 40


def test_a_keystore_is_never_overwritten(path: Path) -> None:
    made = create_keystore(path, PASSWORD, counting_bytes("a"), stretching=QUICK)
    with pytest.raises(ConfigError, match="exists already"):
        create_keystore(path, PASSWORD, counting_bytes("b"), stretching=QUICK)
    assert open_keystore(path, PASSWORD).addresses == made


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"version": 2}', '{"version": 1, "scrypt": {}}'])
def test_another_file_is_no_keystore(path: Path, content: str) -> None:
    write_whole(path, content.encode(), replace=False)
    with pytest.raises(ConfigError, match="no keystore"):
        open_keystore(path, PASSWORD)


def test_a_forged_file_cannot_ask_for_gigabytes_of_memory(path: Path) -> None:
    create_keystore(path, PASSWORD, counting_bytes("a"), stretching=QUICK)
    document = json.loads(path.read_text())
    for parameters in ({"log2_n": 40}, {"log2_n": 20, "r": 16}):
        path.write_text(json.dumps(document | {"scrypt": document["scrypt"] | parameters}))
        with pytest.raises(ConfigError, match="out of bounds"):
            open_keystore(path, PASSWORD)


def test_the_environment_overrides_one_key(path: Path, tmp_path: Path) -> None:
    made = create_keystore(path, PASSWORD, counting_bytes("a"), stretching=QUICK)
    other = PrivateKey.generate(counting_bytes("other"))
    environ = {"SIGNER_SEAL_PRIV_KEY": "0x" + other.reveal_hex(), PASSWORD_VARIABLE: PASSWORD}
    addresses = load(path, None, environ).addresses
    assert addresses.seal == other.address
    assert addresses.operator == made.operator


def test_a_malformed_key_in_the_environment_is_named_but_not_shown(path: Path) -> None:
    create_keystore(path, PASSWORD, counting_bytes("a"), stretching=QUICK)
    with pytest.raises(ConfigError, match="SIGNER_GC_PRIV_KEY") as error:
        load(path, None, {"SIGNER_GC_PRIV_KEY": "abc123", PASSWORD_VARIABLE: PASSWORD})
    assert "abc123" not in str(error.value)


def test_all_five_keys_in_the_environment_need_no_file(path: Path) -> None:
    draw = counting_bytes("env")
    keys = {role: PrivateKey.generate(draw) for role in ROLES}
    environ = {f"SIGNER_{role.upper()}_PRIV_KEY": key.reveal_hex() for role, key in keys.items()}
    first, again = load(path, None, environ), load(path, None, environ)
    assert first.addresses.approval == keys["approval"].address
    assert first.account_key == again.account_key


def test_the_password_is_the_first_line_of_its_file(path: Path, tmp_path: Path) -> None:
    made = create_keystore(path, PASSWORD, counting_bytes("a"), stretching=QUICK)
    password_file = tmp_path / "password"
    password_file.write_text(f"{PASSWORD}\nwritten by the deployment\n")
    assert load(path, password_file, {}).addresses == made


def test_a_password_file_that_is_no_text_is_a_configuration_error(path: Path, tmp_path: Path) -> None:
    create_keystore(path, PASSWORD, counting_bytes("a"), stretching=QUICK)
    (tmp_path / "password").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="password_file"):
        load(path, tmp_path / "password", {})


@pytest.mark.parametrize("given", [None, "absent"])
def test_without_a_password_the_start_stops_with_a_configuration_error(
    path: Path, tmp_path: Path, given: str | None
) -> None:
    create_keystore(path, PASSWORD, counting_bytes("a"), stretching=QUICK)
    with pytest.raises(ConfigError, match="password_file"):
        load(path, tmp_path / given if given else None, {})


def test_a_failed_write_leaves_the_old_file_and_no_scraps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_whole(path, b"old", replace=True)

    def fail(fd: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("signer.files.os.fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        write_whole(path, b"new", replace=True)
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
