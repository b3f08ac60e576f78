"""The promises hold whatever goes wrong: some seeds of the simulation (`make soak` runs thousands)."""

from __future__ import annotations

import os

import pytest

from tests.sim.run import simulate, summary

FIRST = int(os.environ.get("SIM_FIRST_SEED", "1000"))
COUNT = int(os.environ.get("SIM_SEEDS", "24"))


@pytest.mark.parametrize("seed", range(FIRST, FIRST + COUNT))
def test_every_promise_holds_after_the_faults_of_a_seed(seed: int) -> None:
    outcome = simulate(seed)
    assert not outcome.violations, f"make sim SEED={seed}\n{summary(outcome)}"
