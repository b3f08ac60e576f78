"""Seeds that once broke a promise. What each found is told in docs/simulation.md, where also the tests are named that
show each fault by itself."""

from __future__ import annotations

import pytest

from tests.sim.run import simulate, summary

SEEDS = {
    2: "a deletion overtook the creation of its object on chain, which then waited for its seal for ever",
    18: "the same, without any fault",
    77: "the same for an empty object, which the chain seals at its creation",
    117: "the same",
    202: "the same",
    100: "a client that left right after a segment's last byte left the segment's temporary file behind",
    207: "the same",
    348: "segments of an aborted upload stayed for ever after an interrupted deletion",
}


@pytest.mark.parametrize("seed", SEEDS)
def test_a_seed_that_once_failed_does_not_fail_again(seed: int) -> None:
    outcome = simulate(seed)
    assert not outcome.violations, summary(outcome)
