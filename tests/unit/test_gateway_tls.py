"""HTTPS by configuration."""

import ssl
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway.config import GatewayConfig
from gateway.http import tls_context
from sp.domain.errors import ConfigError
from sp.runtime.tls import make_certificates
from tests.unit.gateway_world import gateway_world


async def test_a_gateway_with_a_certificate_speaks_https_and_nothing_else(tmp_path: Path) -> None:
    files = make_certificates(tmp_path / "tls", ["127.0.0.1"])
    settings: dict[str, Any] = {"tls_certificate": Path(files.certificate), "tls_key": Path(files.key)}
    trusting = ssl.create_default_context(cafile=files.ca)
    async with gateway_world(**settings) as world, world.http() as address, aiohttp.ClientSession() as session:
        async with session.get(f"https://{address}/status", ssl=trusting) as answer:
            assert answer.status == 200
        with pytest.raises(aiohttp.ClientError):
            await session.get(f"http://{address}/status")


def test_a_certificate_without_its_key_is_refused() -> None:
    with pytest.raises(ConfigError):
        GatewayConfig(tls_certificate=Path("sp.pem"))


def test_files_that_are_no_certificate_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "sp.pem").write_text("no certificate")
    with pytest.raises(ConfigError) as refused:
        tls_context(GatewayConfig(tls_certificate=tmp_path / "sp.pem", tls_key=tmp_path / "sp.pem"))
    assert refused.value.where == "gateway.tls_certificate"
