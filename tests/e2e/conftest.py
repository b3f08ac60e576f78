"""Containers for the end-to-end tests. A test that asks for any of these is marked `docker`."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import postgres as pg
from tests.e2e.docker_daemon import BUILD_TIMEOUT_S, Engine, EngineUnavailable, running_engine

collect_ignore = [] if pg.backends() else ["test_database_restarts.py"]

REPOSITORY = Path(__file__).parents[2]
IMAGE = "greenfield-sp:e2e"
SETUP_TIMEOUT_S = 2 * BUILD_TIMEOUT_S  # the first test of a session makes the base system and the image


@pytest.hookimpl(tryfirst=True)  # before -m selects
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if isinstance(item, pytest.Function) and "docker_engine" in item.fixturenames:
            item.add_marker(pytest.mark.docker)
            item.add_marker(pytest.mark.timeout(SETUP_TIMEOUT_S))


@pytest.fixture(scope="session")
def docker_engine() -> Iterator[Engine]:
    """A Docker engine that has the base image."""
    try:
        with running_engine() as engine:
            yield engine
    except EngineUnavailable as unavailable:
        pytest.fail(str(unavailable), pytrace=False)


@pytest.fixture(scope="session")
def docker_host(docker_engine: Engine) -> Iterator[str]:
    """The engine's address, also in this process's DOCKER_HOST, so that any `docker` or `docker-compose` finds it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(os.environ, "DOCKER_HOST", docker_engine.host)
        yield docker_engine.host


@pytest.fixture(scope="session")
def sp_image(docker_engine: Engine) -> str:
    """The name of the image built from this source tree by the ordinary `docker build`."""
    build = ("build", "--build-arg", "VERSION=e2e")
    try:
        # The first stage has a name of its own, so that sweeping the cache keeps the layer with the dependencies.
        docker_engine.docker(
            *build, "--target", "build", "--tag", f"{IMAGE}-build", str(REPOSITORY), timeout_s=BUILD_TIMEOUT_S
        )
        docker_engine.docker(*build, "--tag", IMAGE, str(REPOSITORY), timeout_s=BUILD_TIMEOUT_S)
    except subprocess.CalledProcessError as failed:
        pytest.fail(str(failed.cmd)[-4000:], pytrace=False)
    return IMAGE
