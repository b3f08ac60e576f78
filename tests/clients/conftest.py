"""A running network, a bucket for each client, and the table of what worked."""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, Final

import boto3
import pytest

from tests.clients.installs import CannotInstall
from tests.clients.matrix import page
from tests.clients.operations import MANY, OPERATIONS, Bench, shown
from tests.clients.program import Client, Place
from tests.e2e.processes import Network

MANY_BUCKET: Final = "many-keys"
REPORT: Final = "SP_CLIENTS_REPORT"
"""Where to write the table, if anywhere."""

_cells: dict[tuple[str, str], bool] = {}
_asked: set[tuple[str, str]] = set()
_versions: dict[str, str] = {}


@pytest.fixture(scope="session")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    network = Network(tmp_path_factory.mktemp("net"))
    try:
        network.sp("testnet", "up", "--detach", "--block-interval-ms", "100")
        yield network
    finally:
        network.run("testnet", "down")


@pytest.fixture(scope="session")
def place(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Place:
    found = network.json("testnet", "info")
    account = found["account"]
    return Place(
        found["sps"][0]["gateway"],
        account["region"],
        account["access_key_id"],
        account["secret_access_key"],
        tmp_path_factory.mktemp("client"),
    )


@pytest.fixture(scope="session")
def s3(place: Place) -> Any:
    """boto3's client in this process, for what a test needs before its client comes."""
    return boto3.client(
        "s3",
        endpoint_url=place.endpoint,
        region_name=place.region,
        aws_access_key_id=place.key_id,
        aws_secret_access_key=place.secret,
    )


@pytest.fixture(scope="session")
def many(s3: Any) -> Callable[[], str]:
    """Gives a bucket with the keys of MANY, filled when it is first asked for: that keeps the network busy."""

    @cache
    def filled() -> str:
        s3.create_bucket(Bucket=MANY_BUCKET)
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda key: s3.put_object(Bucket=MANY_BUCKET, Key=key, Body=b"x"), MANY))
        return MANY_BUCKET

    return filled


@pytest.fixture(scope="session")
def bucket_of(s3: Any) -> Callable[[str], str]:
    """Of a client: its own bucket."""

    @cache
    def bucket(name: str) -> str:
        made = "of-" + "".join(c for c in name if c.isalnum())
        s3.create_bucket(Bucket=made)
        return made

    return bucket


@pytest.fixture
def installed(client_class: type[Client]) -> type[Client]:
    """The test's parameter, its package in place."""
    try:
        client_class.package.program(client_class.interpreter)
    except CannotInstall as missing:
        pytest.fail(str(missing), pytrace=False)
    return client_class


@pytest.fixture
def bench(
    installed: type[Client], place: Place, many: Callable[[], str], bucket_of: Callable[[str], str], tmp_path: Path
) -> Bench:
    return Bench(installed(place), bucket_of(installed.name), many, tmp_path)


@pytest.hookimpl(tryfirst=True)  # before -m selects
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test here has the parameters `client_class` and `operation`, which say its cell of the table."""
    for item in items:
        if Path(__file__).parent in item.path.parents and isinstance(item, pytest.Function):
            item.add_marker(pytest.mark.clients)
            of: dict[str, Any] = dict(item.callspec.params)
            item.user_properties += [("client", of["client_class"].name), ("operation", shown(of["operation"]))]
            _asked.add((shown(of["operation"]), of["client_class"].name))
            item.user_properties.append(("version", of["client_class"].package))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """A cell of the table is good when nothing of its test failed."""
    properties = dict(report.user_properties)
    if "client" not in properties:
        return
    client, operation = str(properties["client"]), str(properties["operation"])
    _versions[client] = _version(properties["version"])
    _cells[operation, client] = _cells.get((operation, client), True) and not report.failed


def _version(package: Any) -> str:
    try:
        return str(package.shown)
    except CannotInstall as missing:
        return str(missing)


def pytest_sessionfinish() -> None:
    if (path := os.environ.get(REPORT)) and _cells:
        operations = [shown(operation) for operation, _ in OPERATIONS]
        day = datetime.datetime.now(datetime.UTC).date().isoformat()
        Path(path).write_text(page(_cells, _asked, operations, _versions, day))
