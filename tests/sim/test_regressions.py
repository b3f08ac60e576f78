"""Seeds that once broke a promise. What each found is told in docs/simulation.md, where also the tests are named that
show each fault by itself."""

from __future__ import annotations

import pytest

from tests.sim.run import simulate, summary

SEEDS = {
    2: "one provider's garbage broke the rounds of approvals of others, and their jobs",
    10: "the same, of their pings",
    43: "a deletion overtook the creation of its object on chain, which then waited for its seal for ever; no faults",
    33: "the same, after a crash",
    104: "the same, by a transaction that arrived late",
    61: "a client that left right after a segment's last byte left the segment's temporary file behind",
    1030: "a rebuild that failed after its last reader had gone was told to nobody",
    73: "segments of an aborted upload stayed for ever after an interrupted deletion",
}
"""Each fails again when its mending is undone, as the workload is now."""


@pytest.mark.parametrize("seed", SEEDS)
def test_a_seed_that_once_failed_does_not_fail_again(seed: int) -> None:
    outcome = simulate(seed)
    assert not outcome.violations, summary(outcome)
