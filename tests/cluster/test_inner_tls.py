"""The services of one SP over TCP: each of their endpoints is closed to whoever has no certificate of this SP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import asdict
from pathlib import Path

import grpc
import pytest
import pytest_asyncio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from proto import signer_pb2
from proto.signer_pb2_grpc import SignerStub
from sp.domain.errors import ServiceUnavailable
from sp.runtime.config import TlsConfig
from sp.runtime.rpc import dial
from sp.runtime.tls import make_certificates
from tests.cluster.making import free_ports, merged
from tests.cluster.network import Network, Sp, running_network
from tests.cluster.s3 import s3_session

pytestmark = pytest.mark.asyncio(loop_scope="module")

BACK = ("signer", "p2p", "receiver", "tasknode")
FRONT = ("uploader", "downloader", "gateway")
SERVING = health_pb2.HealthCheckResponse.SERVING


class Split:
    """One SP whose services run in two groups, as in two processes, that reach each other over TCP alone."""

    def __init__(self, network: Network, tls: TlsConfig, endpoints: dict[str, str]) -> None:
        self.network, self.tls, self.endpoints = network, tls, endpoints
        self.without_certificate = grpc.ssl_channel_credentials(Path(tls.ca).read_bytes())


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def split(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Split]:
    async with running_network(tmp_path_factory.mktemp("network"), sps=1) as network:
        back = network.sps[0]
        await back.stop()
        tls = make_certificates(back.dir / "tls", ["127.0.0.1"])
        services = (*BACK, *FRONT)
        endpoints = {name: f"127.0.0.1:{port}" for name, port in zip(services, free_ports(len(services)), strict=True)}
        back.sections = merged(back.sections, {"endpoint": endpoints, "tls": asdict(tls)})
        front = Sp(back.plan, back.sections)
        await back.start(*BACK)
        try:
            await front.start(*FRONT)
            yield Split(network, tls, endpoints)
        finally:
            await front.stop()


async def check(channel: grpc.aio.Channel) -> int:
    reply = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=10)
    return int(reply.status)


async def test_an_object_goes_through_services_that_reach_each_other_with_their_certificate_alone(split: Split) -> None:
    network = split.network
    async with s3_session(network.sps[0], network.account) as client:
        await client.make_bucket("photos")
        assert (await client.put("photos", "cat.jpg", b"meow" * 50_000)).status == 200
        assert (await client.get("photos", "cat.jpg")).body == b"meow" * 50_000


@pytest.mark.parametrize("service", [*BACK, *FRONT])
async def test_every_internal_endpoint_answers_this_sps_own_services(split: Split, service: str) -> None:
    async with dial(split.endpoints[service], tls=split.tls, timeout_s=10) as channel:
        assert await check(channel) == SERVING


@pytest.mark.parametrize("service", [*BACK, *FRONT])
async def test_every_internal_endpoint_refuses_a_client_without_a_certificate(split: Split, service: str) -> None:
    async with grpc.aio.secure_channel(split.endpoints[service], split.without_certificate) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await check(channel)
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("service", [*BACK, *FRONT])
async def test_every_internal_endpoint_refuses_a_certificate_of_another_sp(
    split: Split, service: str, tmp_path: Path
) -> None:
    other = make_certificates(tmp_path, ["127.0.0.1"])
    pretending = TlsConfig(split.tls.ca, other.certificate, other.key)
    async with dial(split.endpoints[service], tls=pretending, timeout_s=10) as channel:
        with pytest.raises(ServiceUnavailable):
            await check(channel)


@pytest.mark.parametrize("service", [*BACK, *FRONT])
async def test_every_internal_endpoint_refuses_plain_text(split: Split, service: str) -> None:
    async with dial(split.endpoints[service], timeout_s=10) as channel:
        with pytest.raises(ServiceUnavailable):
            await check(channel)


async def test_the_signer_signs_nothing_for_a_stranger(split: Split) -> None:
    async with grpc.aio.secure_channel(split.endpoints["signer"], split.without_certificate) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await SignerStub(channel).GetKeys(signer_pb2.GetKeysRequest(), timeout=10)
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
