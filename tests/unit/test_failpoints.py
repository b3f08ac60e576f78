"""The crash matrix's failpoints: off unless a test says so twice, unknown to production code, and sure of their aim."""

from __future__ import annotations

import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.e2e.matrix import failpoints
from tests.e2e.matrix.cells import CELLS
from tests.e2e.matrix.failpoints import Failpoints, FailpointsRefused, Order

pytestmark = pytest.mark.slow  # each child imports all services

ROOT = Path(__file__).resolve().parents[2]

PROGRAM = """
import asyncio, sys
from piecestore.disk.temporary import TemporaryPiece
from tests.e2e.matrix import failpoints
from sp.domain.ids import JobId
from spdb.jobs import Jobs

async def fail_upload(self, job_id, reason, actor):
    print("worked", job_id, flush=True)
Jobs.fail_upload = fail_upload
failpoints.install()
jobs = object.__new__(Jobs)
for number in range(3):
    asyncio.run(jobs.fail_upload(number, "because", "a test"))
"""


def run(folder: Path, process: str = "sp0-uploader") -> subprocess.CompletedProcess[str]:
    environ = {
        "PYTHONPATH": str(ROOT),
        failpoints.FOLDER_VARIABLE: str(folder),
        failpoints.PROCESS_VARIABLE: process,
    }
    return subprocess.run([sys.executable, "-c", PROGRAM], env=environ, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("named", ["", "nowhere", "."])
def test_nothing_is_installed_without_a_folder_that_says_it_is_for_tests(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, named: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(failpoints.FOLDER_VARIABLE, named)
    with pytest.raises(FailpointsRefused):
        failpoints.install()


def test_production_code_knows_nothing_of_failpoints_and_tests_are_in_no_build() -> None:
    found = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"]
    assert "tests*" in found["exclude"]
    assert not [pattern for pattern in found["include"] if pattern.startswith("tests")]
    assert "!tests" not in (ROOT / ".dockerignore").read_text()
    for package in (pattern.rstrip("*") for pattern in found["include"]):
        for path in (ROOT / package).rglob("*.py"):
            text = path.read_text().lower()
            assert "failpoint" not in text, path
            assert "import tests" not in text, path
            assert "from tests" not in text, path


def test_every_point_is_a_method_that_exists_and_every_cell_names_one() -> None:
    for point in failpoints.POINTS:
        failpoints._resolved(point)
    known = {point.rpartition(":")[2] for point in failpoints.POINTS}
    assert {cell.point for cell in CELLS} <= known
    assert len({cell.name for cell in CELLS}) == len(CELLS)


def test_a_point_that_is_not_armed_does_nothing(tmp_path: Path) -> None:
    Failpoints(tmp_path)
    done = run(tmp_path)
    assert (done.returncode, done.stdout) == (0, "worked 0\nworked 1\nworked 2\n"), done.stderr


@pytest.mark.parametrize(
    ("order", "when", "printed"),
    [
        (Order("1"), "before", []),
        (Order("1"), "after", [0]),
        (Order("1", count=2), "before", [0]),
        (Order("1", has="[2, 'because'"), "before", [0, 1]),
        (Order("1", processes="*-uploader"), "after", [0]),
    ],
)
def test_an_armed_process_dies_where_and_when_it_was_told(
    tmp_path: Path, order: Order, when: str, printed: list[int]
) -> None:
    points = Failpoints(tmp_path)
    with points.armed("Jobs.fail_upload", when, order):
        done = run(tmp_path)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert done.stdout == "".join(f"worked {number}\n" for number in printed)
    hit = points.hit(order)
    assert hit is not None
    assert hit.process == "sp0-uploader"
    again = run(tmp_path)
    assert again.returncode == 0, "an order is for one process once"


@pytest.mark.parametrize("order", [Order("1", processes="sp0-gateway"), Order("1", has="another"), Order("1", count=4)])
def test_an_order_for_somebody_else_is_passed_over(tmp_path: Path, order: Order) -> None:
    points = Failpoints(tmp_path)
    with points.armed("Jobs.fail_upload", "before", order):
        done = run(tmp_path)
        assert done.returncode == 0, done.stderr
    assert points.hit(order) is None
    assert list((tmp_path / "armed").iterdir()) == []
