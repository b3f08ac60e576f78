"""Where a server listens."""

from __future__ import annotations

import socket
import stat
from pathlib import Path

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from sp.domain.errors import ConfigError
from sp.runtime.rpc import dial, serving


async def is_serving(address: str) -> bool:
    async with dial(address, timeout_s=10) as channel:
        answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


async def test_a_unix_socket_and_its_folder_are_for_this_user_only_and_gone_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "run" / "s.sock"
    async with serving(f"unix:{path}", []) as bound:
        assert bound == f"unix:{path}"
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert await is_serving(bound)
    assert not path.exists()


async def test_the_address_yielded_has_the_port_in_fact_bound() -> None:
    async with serving("127.0.0.1:0", []) as bound:
        host, _, port = bound.rpartition(":")
        assert (host, int(port) > 0) == ("127.0.0.1", True)
        assert await is_serving(bound)


async def test_what_a_killed_process_left_behind_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    assert path.is_socket()
    async with serving(f"unix:{path}", []) as bound:
        assert await is_serving(bound)


async def test_a_socket_on_which_another_process_listens_is_left_to_it(tmp_path: Path) -> None:
    address = f"unix:{tmp_path}/s.sock"
    async with serving(address, []):
        with pytest.raises(ConfigError, match="another process listens"):
            async with serving(address, []):
                pass
        assert await is_serving(address)


async def test_a_file_that_is_no_socket_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("content")
    with pytest.raises(ConfigError, match="is no socket"):
        async with serving(f"unix:{path}", []):
            pass
    assert path.read_text() == "content"


async def test_a_taken_port_is_a_config_error() -> None:
    async with serving("127.0.0.1:0", []) as bound:
        with pytest.raises(ConfigError, match="cannot listen"):
            async with serving(bound, []):
                pass


async def test_a_socket_path_that_is_too_long_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="at most 107"):
        async with serving(f"unix:{tmp_path}/{'x' * 107}", []):
            pass
