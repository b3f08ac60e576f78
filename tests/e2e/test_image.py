"""The image that `docker build` makes of this tree: complete, unprivileged, ready to keep its volume."""

import json
import tomllib
from pathlib import Path

import pytest

from tests.e2e.conftest import REPOSITORY
from tests.e2e.docker_daemon import Engine, EngineUnavailable, exclusive

NOT_INSTALLED = {".md", ".pyc"}
LIST_FILES = """
import json, pathlib, sysconfig
root = pathlib.Path(sysconfig.get_path("purelib"))
print(json.dumps([str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()]))
"""
TRY_TO_WRITE = """
import json, os, pathlib
def writable(name):
    try:
        pathlib.Path(name, "probe").write_text("x")
    except OSError:
        return False
    return True
print(json.dumps({"uid": os.getuid(), "volume": writable("."), "code": writable("/opt/sp"), "root": writable("/")}))
"""


def packages() -> list[str]:
    """The top-level folders that pyproject.toml installs."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    return [pattern.rstrip("*") for pattern in project["tool"]["setuptools"]["packages"]["find"]["include"]]


def python_in(engine: Engine, image: str, program: str) -> str:
    return engine.docker("run", "--rm", "--network=none", "--entrypoint=python", image, "-c", program)


def test_the_image_holds_every_file_of_every_package(docker_engine: Engine, sp_image: str) -> None:
    source = {
        str(path.relative_to(REPOSITORY))
        for package in packages()
        for path in (REPOSITORY / package).rglob("*")
        if path.is_file() and path.suffix not in NOT_INSTALLED
    }
    installed = set(json.loads(python_in(docker_engine, sp_image, LIST_FILES)))
    assert source
    assert source - installed == set()


def test_every_package_imports_in_the_image(docker_engine: Engine, sp_image: str) -> None:
    program = f"import importlib; [importlib.import_module(name) for name in {packages()!r}]; import grpc; print('ok')"
    assert python_in(docker_engine, sp_image, program) == "ok"


def test_the_image_runs_as_a_user_who_can_write_its_volume_alone(docker_engine: Engine, sp_image: str) -> None:
    found = json.loads(python_in(docker_engine, sp_image, TRY_TO_WRITE))
    assert found == {"uid": 10001, "volume": True, "code": False, "root": False}


def test_what_one_container_writes_to_the_volume_the_next_one_reads(docker_engine: Engine, sp_image: str) -> None:
    run = ("run", "--rm", "--volume=image-test:/var/lib/sp", "--entrypoint=sh", sp_image, "-c")
    docker_engine.docker(*run, "echo kept > note")
    assert docker_engine.docker(*run, "cat note") == "kept"
    docker_engine.docker("volume", "rm", "image-test")


def test_two_sessions_never_run_private_engines_at_once(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with exclusive(lock), pytest.raises(EngineUnavailable, match="another run"), exclusive(lock):
        pytest.fail("two hold the lock")
    with exclusive(lock) as held:
        assert held >= 0
