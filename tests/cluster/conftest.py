"""Networks for the cluster tests, and logs that are seen only where a test fails."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator
from urllib.parse import quote

import pytest
import pytest_asyncio
import structlog

from chain.dev.faults import Faults
from sp.runtime import log
from tests.cluster.network import Network, Sp, running_network
from tests.cluster.s3 import S3, s3_session

BUCKET = "photos"


@pytest.fixture(autouse=True, scope="package")
def _quiet_logs() -> Iterator[None]:
    """Our log lines go to the standard library's loggers, whose output pytest shows with a failed test."""
    structlog.configure(
        processors=[
            log.merge_bound,
            structlog.processors.add_log_level,
            structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    before = logging.getLogger().level
    logging.getLogger().setLevel(logging.INFO)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    yield
    logging.getLogger().setLevel(before)
    structlog.reset_defaults()


@pytest.fixture(autouse=True)
def _nothing_lost(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No task may die unseen: what asyncio says of one fails the test."""
    yield
    lost = [record for record in caplog.get_records("call") if record.name == "asyncio" and record.levelno >= 40]
    assert not lost, [f"{record.getMessage()} {record.exc_info}" for record in lost]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def network(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Network]:
    """One network for all tests of a module, made as its PLAN says (arguments of `running_network`)."""
    plan = getattr(request.module, "PLAN", {})
    async with running_network(tmp_path_factory.mktemp("network"), **plan) as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def s3(network: Network) -> AsyncIterator[S3]:
    """The account's client at the first provider, which is the primary of BUCKET."""
    async with s3_session(network.sps[0], network.account) as client:
        await client.make_bucket(BUCKET)
        yield client


@pytest_asyncio.fixture(loop_scope="module")
async def nothing_left_afterwards(network: Network, s3: S3) -> AsyncIterator[None]:
    """Whatever a test did: when all names of BUCKET are deleted, no piece and no row is left at any provider. For a
    network with manual chores."""
    yield
    network.node.set_faults(Faults())
    await network.restart_as_planned()
    for name in await listed(s3):
        answer = await s3.call("DELETE", f"/{BUCKET}/{quote(name)}")
        assert answer.status == 204, answer.body
    nothing: dict[str, tuple[list[str], dict[str, int]]] = {sp.name: ([], {}) for sp in network.sps}
    if {sp.name: await remains(sp) for sp in network.sps} != nothing:
        await network.settle()
        assert {sp.name: await remains(sp) for sp in network.sps} == nothing


async def remains(sp: Sp) -> tuple[list[str], dict[str, int]]:
    """Pieces and rows at a provider."""
    return await sp.keys(), await sp.rows()


async def listed(s3: S3) -> list[str]:
    answer = await s3.call("GET", f"/{BUCKET}", "list-type=2")
    return [part.split(b"</Key>")[0].decode() for part in answer.body.split(b"<Key>")[1:]]
