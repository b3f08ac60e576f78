"""What differs in a further process in front of an SP."""

from dataclasses import replace
from pathlib import Path

import pytest

from cli.fronts import overrides
from gateway.config import GatewayConfig
from sp.domain.errors import ConfigError
from sp.runtime.config import CommonConfig, ConfigFile, MonitorConfig, common


def configuration(tmp_path: Path, monitor: str = "", uploader: str = "unix:run/uploader.sock") -> CommonConfig:
    sections = {"endpoint": {"uploader": uploader}, "monitor": {"address": monitor}}
    return common(ConfigFile.from_mapping(sections, tmp_path))


def test_its_internal_sockets_lie_beside_the_first_ones(tmp_path: Path) -> None:
    found = overrides(configuration(tmp_path), 2)
    assert found["SP_ENDPOINT__UPLOADER"] == f"unix:{tmp_path}/run/uploader-2.sock"
    assert found["SP_ENDPOINT__GATEWAY"] == f"unix:{tmp_path}/run/gateway-2.sock"
    assert (found["SP_GATEWAY__PROCESSES"], found["SP_GATEWAY__REUSE_PORT"]) == ("1", "true")


def test_it_writes_no_ready_file_over_that_of_the_process_that_starts_it(tmp_path: Path) -> None:
    assert overrides(configuration(tmp_path), 2)["SP_READY_FILE"] == ""


def test_an_internal_tcp_address_becomes_a_socket_for_nobody_calls_it(tmp_path: Path) -> None:
    assert overrides(configuration(tmp_path, uploader="127.0.0.1:9000"), 3)["SP_ENDPOINT__UPLOADER"] == (
        "unix:run/uploader-3.sock"
    )


@pytest.mark.parametrize(
    ("address", "theirs"), [("", ""), ("127.0.0.1:0", "127.0.0.1:0"), ("127.0.0.1:9100", "127.0.0.1:9101")]
)
def test_its_monitor_has_the_next_port(tmp_path: Path, address: str, theirs: str) -> None:
    config = replace(configuration(tmp_path), monitor=MonitorConfig(address))
    assert overrides(config, 2)["SP_MONITOR__ADDRESS"] == theirs


@pytest.mark.parametrize("settings", [{"processes": 0}, {"processes": 2, "http_address": "127.0.0.1:0"}])
def test_several_processes_need_one_port(settings: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        GatewayConfig(**settings)  # type: ignore[arg-type]
