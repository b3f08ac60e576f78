"""A running network, a bucket for each client, and the table of what worked."""

from __future__ import annotations

import datetime
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, Final

import pytest

from tests.clients.installs import CannotInstall, Package
from tests.clients.matrix import Report, page
from tests.clients.network import place_on, s3_at, speaking_https
from tests.clients.operations import LARGE_BYTES, MANY, Bench, Operation
from tests.clients.program import Client, Place
from tests.e2e.processes import Network

MANY_BUCKET: Final = "many-keys"
REPORT: Final = "SP_CLIENTS_REPORT"
"""Where to write the table, if anywhere."""

INSTALLATIONS_AT_ONCE: Final = 3
INSTALL_TIMEOUT_S: Final = 900
NOT_EMPTY_EVERY: Final = 100
"""Of the many keys most hold nothing, or the network would be busy for minutes with their replicas."""

_report = Report()


@pytest.fixture(scope="session")
def installing(request: pytest.FixtureRequest) -> Iterator[dict[Package, Future[None]]]:
    """Each client's package, on its way."""
    packages = dict.fromkeys(_cell(item)[0].package for item in _tests(request.session.items))
    with ThreadPoolExecutor(INSTALLATIONS_AT_ONCE) as threads:
        yield {package: threads.submit(package.install) for package in packages}


@pytest.fixture(scope="session")
def network(installing: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    network = Network(tmp_path_factory.mktemp("net"))
    try:
        network.sp("testnet", "up", "--detach", "--block-interval-ms", "250")
        yield network
    finally:
        network.run("testnet", "down")


@pytest.fixture(scope="session")
def place(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Place:
    return place_on(network, tmp_path_factory.mktemp("clients"))


@pytest.fixture(scope="session")
def https_place(network: Network, place: Place, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with speaking_https(network, place, tmp_path_factory.mktemp("https")) as found:
        yield found


@pytest.fixture(scope="session")
def s3(place: Place) -> Any:
    """boto3's client in this process, for what a test needs before its client comes, and to look from outside."""
    return s3_at(place)


@pytest.fixture(scope="session")
def many(request: pytest.FixtureRequest, s3: Any) -> Iterator[Future[str]]:
    """A bucket with the keys of MANY, being filled; empty if no test lists them."""
    listed = any(_cell(item)[1].lists_many for item in _tests(request.session.items))
    ended = threading.Event()

    def put(number: int) -> None:
        if ended.is_set():
            return
        s3.put_object(Bucket=MANY_BUCKET, Key=MANY[number], Body=b"x" if number % NOT_EMPTY_EVERY == 0 else b"")

    def filled() -> str:
        s3.create_bucket(Bucket=MANY_BUCKET)
        with ThreadPoolExecutor(8) as putting:
            list(putting.map(put, range(len(MANY) if listed else 0)))
        return MANY_BUCKET

    with ThreadPoolExecutor(1) as threads:
        yield threads.submit(filled)
        ended.set()


@pytest.fixture(scope="session")
def bucket_of(s3: Any) -> Callable[[str], str]:
    """Of a client: its own bucket."""

    @cache
    def bucket(name: str) -> str:
        made = "of-" + "".join(c for c in name.lower() if c.isalnum())
        s3.create_bucket(Bucket=made)
        return made

    return bucket


@pytest.fixture(scope="session")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("large") / "file"
    path.write_bytes(Random(1).randbytes(LARGE_BYTES))
    return path


@pytest.fixture(scope="session")
def client_at(place: Place) -> Iterator[Callable[[type[Client], Place], Client]]:
    """A client for an endpoint, the same one whenever asked again. Ends them all."""
    running: dict[tuple[type[Client], str], Client] = {}

    def client(of: type[Client], at: Place) -> Client:
        if (of, at.endpoint) not in running:
            folder = place.folder / f"{len(running)}"
            folder.mkdir()
            running[of, at.endpoint] = of(replace(at, folder=folder))
        return running[of, at.endpoint]

    yield client
    for one in running.values():
        one.end()


@pytest.fixture
def installed(client_class: type[Client], installing: dict[Package, Future[None]]) -> type[Client]:
    """The test's parameter, its package in place."""
    try:
        installing[client_class.package].result(INSTALL_TIMEOUT_S)
    except CannotInstall as missing:
        pytest.fail(str(missing), pytrace=False)
    return client_class


@pytest.fixture
def bench(
    installed: type[Client],
    client_at: Callable[[type[Client], Place], Client],
    place: Place,
    s3: Any,
    many: Future[str],
    bucket_of: Callable[[str], str],
    large: Path,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> Bench:
    def https() -> Client:
        return client_at(installed, request.getfixturevalue("https_place"))

    def at(endpoint: str) -> Client:
        return client_at(installed, replace(own.place, endpoint=endpoint))

    own = https() if installed.over_tls else client_at(installed, place)
    return Bench(own, at, https, s3, bucket_of(installed.name), many, large, tmp_path)


@pytest.hookimpl(tryfirst=True)  # before -m selects
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in _tests(items):
        item.add_marker(pytest.mark.clients)


def pytest_collection_finish(session: pytest.Session) -> None:
    for item in _tests(session.items):
        client, operation = _cell(item)
        _report.asked[operation.title, client.name] = client
        item.user_properties.append(("cell", (operation.title, client.name)))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """A cell is good when nothing of its test failed; the test may say another word for it."""
    properties: dict[str, Any] = dict(report.user_properties)
    if (cell := properties.get("cell")) is not None:
        _report.note(cell, failed=report.failed, said=str(properties.get("said") or ""))


def pytest_sessionfinish() -> None:
    if (path := os.environ.get(REPORT)) and _report.asked:
        day = datetime.datetime.now(datetime.UTC).date().isoformat()
        Path(path).write_text(page(_report, day))


def _tests(items: list[pytest.Item]) -> list[pytest.Function]:
    """Every test here has the parameters `client_class` and `operation`, which say its cell of the table."""
    here = Path(__file__).parent
    return [item for item in items if isinstance(item, pytest.Function) and here in item.path.parents]


def _cell(item: pytest.Function) -> tuple[type[Client], Operation]:
    of: dict[str, Any] = dict(item.callspec.params)
    return of["client_class"], of["operation"]
