from __future__ import annotations

import tomllib
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sp.domain.errors import ConfigError
from sp.runtime.config import (
    COMMON_SECTIONS,
    ConfigFile,
    TlsConfig,
    check_unknown_sections,
    common,
    dump,
    listen_address,
    load,
)


class Colour(StrEnum):
    RED = "red"
    GREEN = "green"


@dataclass(frozen=True)
class Section:
    needed: str
    count: int = 1
    share_s: float = 0.5
    on: bool = False
    names: tuple[str, ...] = ()
    ports: tuple[int, ...] = (1, 2)
    file: Path = Path("x")
    colour: Colour = Colour.RED
    mode: Literal["fast", "slow"] = "fast"
    limit: int | None = None


def read(tmp_path: Path, text: str, **environ: str) -> ConfigFile:
    path = tmp_path / "sp.toml"
    path.write_text(text)
    return load(path, environ)


@pytest.mark.parametrize("service", ["gateway", "uploader", "downloader", "tasknode", "signer", "p2p", "receiver"])
@pytest.mark.parametrize("address", ["0.0.0.0:9400", "10.0.0.1:9400", "[::]:9400", "sp0-signer:9400"])
def test_an_internal_endpoint_that_other_hosts_reach_needs_mutual_tls(
    tmp_path: Path, service: str, address: str
) -> None:
    endpoint = {"endpoint": {service: address}}
    with pytest.raises(ConfigError, match=rf"\[endpoint\] {service}"):
        common(ConfigFile.from_mapping(endpoint, tmp_path))
    tls = {"tls": {"ca": "ca.pem", "certificate": "sp.pem", "key": "sp.key"}}
    assert getattr(common(ConfigFile.from_mapping(endpoint | tls, tmp_path)).endpoint, service) == address


@pytest.mark.parametrize("address", ["unix:run/x.sock", "127.0.0.1:9400", "[::1]:9400", "localhost:9400"])
def test_an_internal_endpoint_of_this_host_needs_none(tmp_path: Path, address: str) -> None:
    assert common(ConfigFile.from_mapping({"endpoint": {"signer": address}}, tmp_path)).endpoint.signer


def test_every_type_of_value_is_read(tmp_path: Path) -> None:
    text = """
    [s]
    needed = "x"
    count = 7
    share_s = 2
    on = true
    names = ["a", "b"]
    ports = [80]
    file = "sub/f"
    colour = "green"
    mode = "slow"
    limit = 3
    """
    assert read(tmp_path, text).section("s", Section) == Section(
        "x", 7, 2.0, True, ("a", "b"), (80,), tmp_path / "sub/f", Colour.GREEN, "slow", 3
    )


def test_what_is_not_given_has_its_default(tmp_path: Path) -> None:
    section = read(tmp_path, '[s]\nneeded = "x"').section("s", Section)
    assert section == Section("x", file=tmp_path / "x")


def test_the_environment_takes_precedence_and_its_text_is_converted(tmp_path: Path) -> None:
    file = read(
        tmp_path,
        '[s]\nneeded = "x"\ncount = 1',
        SP_S__COUNT="12",
        SP_S__SHARE_S="1.5",
        SP_S__ON="yes",
        SP_S__NAMES="a, b,",
        SP_S__PORTS="1,2,3",
        SP_S__COLOUR="green",
        SP_S__LIMIT="",
        SP_READY_FILE="/not/a/section",
        OTHER__KEY="y",
    )
    assert file.sections() == ["s"]
    assert file.section("s", Section) == Section(
        "x", 12, 1.5, True, ("a", "b"), (1, 2, 3), tmp_path / "x", Colour.GREEN, "fast", None
    )


def test_a_section_of_two_words_can_come_from_the_environment_alone(tmp_path: Path) -> None:
    file = read(tmp_path, "", SP_PIECE_STORE__NEEDED="y")
    assert file.section("piece_store", Section).needed == "y"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("cuont = 1", "unknown key"),
        ('count = "1"', "whole number"),
        ("count = 1.0", "whole number"),
        ("count = true", "whole number"),
        ('share_s = "1"', "finite number"),
        ("share_s = inf", "finite number"),
        ("share_s = true", "finite number"),
        ("on = 1", "true or false"),
        ('on = "yes"', "true or false"),
        ('names = "a"', "must be a list"),
        ("names = [1]", "must be a string"),
        ("ports = [1, true]", "whole number"),
        ("needed = 1", "must be a string"),
        ('colour = "blue"', "one of red, green"),
        ('mode = "medium"', "one of fast, slow"),
        ("[s.sub]\nx = 1", "unknown key"),
        ("[s.names]\nx = 1", "must be a list"),
    ],
)
def test_a_wrong_value_is_refused_with_its_place(tmp_path: Path, line: str, reason: str) -> None:
    needed = "" if line.startswith("needed") else 'needed = "x"'
    file = read(tmp_path, f"[s]\n{needed}\n{line}")
    with pytest.raises(ConfigError, match=reason) as raised:
        file.section("s", Section)
    assert f"{tmp_path}/sp.toml [s] {line.split()[0].removeprefix('[s.').removesuffix(']')}" in raised.value.where


@pytest.mark.parametrize(("variable", "text"), [("SP_S__COUNT", "many"), ("SP_S__ON", "perhaps"), ("SP_S__CUONT", "1")])
def test_a_wrong_environment_variable_is_named(tmp_path: Path, variable: str, text: str) -> None:
    file = read(tmp_path, '[s]\nneeded = "x"', **{variable: text})
    with pytest.raises(ConfigError) as raised:
        file.section("s", Section)
    assert raised.value.where == f"environment {variable}"


def test_a_missing_value_without_default_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="missing"):
        read(tmp_path, "").section("s", Section)


def test_a_file_that_is_absent_or_no_toml_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load(tmp_path / "absent.toml", {})
    with pytest.raises(ConfigError, match="line 2"):
        read(tmp_path, "[s]\nx = = 1\n[t]")
    with pytest.raises(ConfigError, match="outside any"):
        read(tmp_path, "x = 1")


def test_a_section_that_belongs_to_nobody_is_refused(tmp_path: Path) -> None:
    file = read(tmp_path, "[endpoints]\nuploader = 'x:1'")
    with pytest.raises(ConfigError, match="endpoints"):
        check_unknown_sections(file, COMMON_SECTIONS)


def test_paths_are_relative_to_the_file_or_to_the_directory_it_names(tmp_path: Path) -> None:
    assert read(tmp_path, "").path_of("a/b") == tmp_path / "a/b"
    assert read(tmp_path, "[sp]\ndir = 'sub'").path_of("a") == tmp_path / "sub/a"
    assert read(tmp_path, "[sp]\ndir = '/elsewhere'").path_of("a") == Path("/elsewhere/a")
    assert read(tmp_path, "").path_of("/abs") == Path("/abs")


def test_common_sections_have_absolute_addresses_and_certificate_files(tmp_path: Path) -> None:
    text = "[endpoint]\nsigner = '127.0.0.1:9000'\n[tls]\nca = 'c'\ncertificate = 's'\nkey = 'k'"
    config = common(read(tmp_path, text))
    assert config.endpoint.signer == "127.0.0.1:9000"
    assert config.endpoint.tasknode == f"unix:{tmp_path}/run/tasknode.sock"
    assert config.tls == TlsConfig(f"{tmp_path}/c", f"{tmp_path}/s", f"{tmp_path}/k")


def test_half_a_tls_section_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="all three or none"):
        common(read(tmp_path, "[tls]\nca = 'c'"))


def test_a_socket_path_that_the_system_would_cut_off_is_refused() -> None:
    def address(size_bytes: int) -> str:
        return listen_address(ConfigFile.from_mapping({}, Path("/" + "d" * (size_bytes - 3))), "unix:s")

    assert len(address(107)) == len("unix:") + 107
    with pytest.raises(ConfigError, match="108 bytes; a socket's path has at most 107"):
        address(108)


@pytest.mark.parametrize("text", ["", "host", ":80", "host:", "host:http", "host:65536", "host:-1", "host:²"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        listen_address(ConfigFile.from_mapping({}, Path("/")), text)


@given(
    st.builds(
        Section,
        needed=st.text(),
        count=st.integers(-(2**63), 2**63 - 1),
        share_s=st.floats(allow_nan=False, allow_infinity=False),
        on=st.booleans(),
        names=st.lists(st.text()).map(tuple),
        colour=st.sampled_from(Colour),
        file=st.just(Path("/f")),
        limit=st.none() | st.integers(0, 9),
    )
)
def test_a_dump_reads_back_as_the_same_configuration(section: Section) -> None:
    table = {name: value for name, value in asdict(section).items() if value is not None}
    table["names"], table["ports"], table["file"] = list(section.names), list(section.ports), "/f"
    file = ConfigFile.from_mapping({"s": table}, Path("/"))
    again = ConfigFile.from_mapping(tomllib.loads(dump(file, {"s": Section})), Path("/"))
    assert again.section("s", Section) == section


def test_a_dump_shows_every_default_and_no_password_of_a_url(tmp_path: Path) -> None:
    file = read(tmp_path, "[spdb]\nurl = 'postgresql://sp:hunter2@db/sp'")
    text = dump(file, COMMON_SECTIONS)
    assert 'url = "postgresql://sp:***@db/sp"' in text
    assert "hunter2" not in text
    assert 'uploader = "unix:run/uploader.sock"' in text
    assert "cpu_threads = 4" in text
