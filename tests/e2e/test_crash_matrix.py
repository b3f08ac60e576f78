"""kill -9 of every service at every state of a put, and of what else may be under way: docs/crash-matrix.md."""

from __future__ import annotations

import datetime
import os
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.e2e.matrix.cells import CELLS, Cell
from tests.e2e.matrix.failpoints import Hit, Order
from tests.e2e.matrix.network import MatrixNetwork, NotYet, eventually, running_network
from tests.e2e.matrix.report import Result, page
from tests.e2e.matrix.scenarios import SCENARIOS, SETTLED_S, Scenario

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

REPORT = "SP_CRASH_MATRIX_REPORT"
HIT_S = 40.0
TRIES = 8
"""A secondary is one of seven providers for six columns: it may not be chosen at once."""


@dataclass
class Matrix:
    network: MatrixNetwork
    results: list[Result] = field(default_factory=list)
    done: list[Scenario] = field(default_factory=list)
    turns: int = 0

    def run(self, cell: Cell) -> None:
        started, died, failure = time.monotonic(), "", "it did not come to its end"
        try:
            died = self._run(cell)
            failure = ""
        except BaseException as error:
            failure = f"{type(error).__name__}: {error}".splitlines()[0]
            raise
        finally:
            self.results.append(Result(cell, died, time.monotonic() - started, failure))

    def _run(self, cell: Cell) -> str:
        for _ in range(TRIES):
            self.turns += 1
            scenario = SCENARIOS[cell.scenario](self.network, cell.primary, f"object-{self.turns}")
            scenario.prepare()
            if scenario.applicable and (hit := self._die(cell, scenario)):
                return hit.process
        raise NotYet(f"nothing came to {cell.name}")

    def _die(self, cell: Cell, scenario: Scenario) -> Hit | None:
        """Let the client act until the process has died, start it again, and see what must be. None: all was done, and
        the point was not met."""
        order = Order(f"{self.turns}", cell.process, cell.has, cell.count, cell.freeze)
        with self.network.failpoints.armed(cell.point, cell.when, order), ThreadPoolExecutor(1) as thread:
            client = thread.submit(scenario.act)
            hit = self._hit(cell, order, scenario, client)
            if hit is not None:
                if cell.freeze:
                    scenario.sealed()  # without it
                    self.network.thaw(hit.process)
                else:
                    self.network.await_death(hit.process)
                    self.network.start(hit.process)
            client.result(SETTLED_S)
        scenario.recover()
        self.done.append(scenario)
        eventually(lambda: not self.network.litter(), f"all is tidy: {self.network.litter()}", SETTLED_S, 0.1)
        return hit

    def _hit(self, cell: Cell, order: Order, scenario: Scenario, client: Future[None]) -> Hit | None:
        """Where it is a matter of chance which provider is chosen: only until everything was done without it."""

        def decided() -> bool:
            if self.network.failpoints.hit(order) is not None:
                return True
            return not scenario.certain and client.done() and not self.network.litter()

        eventually(decided, f"a process comes to {cell.name}", HIT_S, 0.005)
        return self.network.failpoints.hit(order)


@pytest.fixture(scope="module")
def matrix(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Matrix]:
    started = time.monotonic()
    with running_network(tmp_path_factory.mktemp("matrix")) as network:
        matrix = Matrix(network)
        yield matrix
        alive = len(network.running())
    if path := os.environ.get(REPORT):
        day = datetime.datetime.now(datetime.UTC).date().isoformat()
        Path(path).write_text(page(matrix.results, day, time.monotonic() - started, alive))


def _parameters() -> list[object]:
    return [pytest.param(cell, id=cell.name, marks=() if cell.quick else pytest.mark.crash_matrix) for cell in CELLS]


@pytest.mark.parametrize("cell", _parameters())
def test_promises_hold_though_a_process_dies(matrix: Matrix, cell: Cell) -> None:
    matrix.run(cell)


def test_nothing_that_was_acknowledged_is_lost_and_nothing_is_left_over(matrix: Matrix) -> None:
    """After all of them, with every process there."""
    for scenario in matrix.done:
        assert scenario.read() == scenario.lasting, scenario.name
    assert set(matrix.network.running()) == set(matrix.network.testnet.processes)
    assert matrix.network.litter() == []
    assert matrix.network.complaints() == []
