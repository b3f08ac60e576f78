"""Every seed, and every input that once broke something, at its target: what a crash was stays none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fuzz.targets import HERE, TARGETS, close_all, inputs, target


@pytest.fixture(scope="module", autouse=True)
def _closed_at_the_end() -> Iterator[None]:
    yield
    close_all()


INPUTS = [(name, path) for name in TARGETS for path in inputs(name)]


@pytest.mark.parametrize(("name", "path"), INPUTS, ids=[str(path.relative_to(HERE)) for _, path in INPUTS])
def test_a_seed_or_an_input_that_broke_it_is_taken_or_refused(name: str, path: Path) -> None:
    target(name)(path.read_bytes())


@pytest.mark.parametrize("name", TARGETS)
def test_every_target_has_seeds(name: str) -> None:
    assert inputs(name)
    target(name)(b"")


def test_no_seed_belongs_to_no_target() -> None:
    folders = {path.name for kind in ("corpus", "cases") for path in (HERE / kind).iterdir()}
    assert folders <= TARGETS.keys()
