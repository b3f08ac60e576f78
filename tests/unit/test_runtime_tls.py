from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from grpc_health.v1 import health_pb2, health_pb2_grpc

from sp.domain.errors import ConfigError, ServiceUnavailable
from sp.runtime.config import TlsConfig
from sp.runtime.rpc import dial, serving
from sp.runtime.tls import make_certificates

NAMES = ["localhost", "127.0.0.1", "uploader.sp0"]


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> TlsConfig:
    return make_certificates(tmp_path_factory.mktemp("tls") / "certificates", NAMES)


@pytest.fixture
def authority(ours: TlsConfig) -> bytes:
    return Path(ours.ca).read_bytes()


async def check(channel: grpc.aio.Channel) -> health_pb2.HealthCheckResponse:
    return await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())


def test_the_files_are_private_and_the_authoritys_key_is_gone(ours: TlsConfig) -> None:
    files = [Path(ours.ca), Path(ours.certificate), Path(ours.key)]
    assert sorted(files[0].parent.iterdir()) == sorted(files)
    assert [stat.S_IMODE(file.stat().st_mode) for file in files] == [0o600] * 3
    keys = [file for file in files if b"PRIVATE KEY" in file.read_bytes()]
    assert keys == [Path(ours.key)]


def test_the_certificate_is_valid_for_ten_years_and_for_its_names(ours: TlsConfig) -> None:
    certificate = x509.load_pem_x509_certificate(Path(ours.certificate).read_bytes())
    ca = x509.load_pem_x509_certificate(Path(ours.ca).read_bytes())
    certificate.verify_directly_issued_by(ca)
    now = datetime.now(UTC)
    assert certificate.not_valid_before_utc < now
    assert certificate.not_valid_after_utc > now + timedelta(days=3650)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost", "uploader.sp0"]
    assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]


def test_making_them_again_replaces_them(tmp_path: Path) -> None:
    first = Path(make_certificates(tmp_path, ["localhost"]).key).read_bytes()
    assert Path(make_certificates(tmp_path, ["localhost"]).key).read_bytes() != first


async def test_services_with_our_certificate_talk(ours: TlsConfig) -> None:
    async with serving("127.0.0.1:0", [], tls=ours) as bound, dial(bound, tls=ours, timeout_s=10) as channel:
        assert (await check(channel)).status == health_pb2.HealthCheckResponse.SERVING


async def test_a_stranger_with_a_certificate_of_its_own_is_refused(ours: TlsConfig, tmp_path: Path) -> None:
    mixed = TlsConfig(ours.ca, *_pair(make_certificates(tmp_path, NAMES)))
    async with serving("127.0.0.1:0", [], tls=ours) as bound, dial(bound, tls=mixed, timeout_s=10) as channel:
        with pytest.raises(ServiceUnavailable):
            await check(channel)


async def test_a_client_without_certificate_is_refused(ours: TlsConfig, authority: bytes) -> None:
    credentials = grpc.ssl_channel_credentials(authority)
    async with serving("127.0.0.1:0", [], tls=ours) as bound, grpc.aio.secure_channel(bound, credentials) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await check(channel)
    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_server_that_is_not_ours_is_not_talked_to(ours: TlsConfig, tmp_path: Path) -> None:
    other = make_certificates(tmp_path, NAMES)
    async with serving("127.0.0.1:0", [], tls=other) as bound, dial(bound, tls=ours, timeout_s=10) as channel:
        with pytest.raises(ServiceUnavailable):
            await check(channel)


async def test_a_unix_socket_does_without(ours: TlsConfig, tmp_path: Path) -> None:
    address = f"unix:{tmp_path}/s"
    async with serving(address, [], tls=ours), dial(address, tls=ours, timeout_s=10) as channel:
        assert (await check(channel)).status == health_pb2.HealthCheckResponse.SERVING


async def test_missing_files_are_a_config_error(tmp_path: Path) -> None:
    absent = TlsConfig(*(str(tmp_path / name) for name in ("ca", "certificate", "key")))
    with pytest.raises(ConfigError, match="No such file"):
        async with serving("127.0.0.1:0", [], tls=absent):
            pass


def _pair(tls: TlsConfig) -> tuple[str, str]:
    return tls.certificate, tls.key
