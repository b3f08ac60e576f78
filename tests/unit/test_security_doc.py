"""docs/security.md: every claim has tests, and every test that it names is there."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "security.md").read_text()
CLAIM = re.compile(r"^\| C(\d+) \| (.+) \| (.+) \|$", re.MULTILINE)
DEFINED = re.compile(r"^ *(?:async )?def (test_[a-z0-9_]+)\(", re.MULTILINE)
REFERENCE = re.compile(r"`([a-z_/0-9]+\.py)::(test_[a-z0-9_]+)`")


@cache
def _names_in(path: Path) -> frozenset[str]:
    return frozenset(DEFINED.findall(path.read_text()))


def test_claims_are_numbered_without_a_gap_and_each_is_shown_by_a_test() -> None:
    claims = CLAIM.findall(DOCUMENT)
    assert [int(number) for number, _, _ in claims] == list(range(1, len(claims) + 1))
    assert len(claims) > 30
    assert [number for number, _, shown in claims if not REFERENCE.search(shown)] == []


def test_every_test_that_is_named_exists() -> None:
    named = REFERENCE.findall(DOCUMENT)
    missing = [
        f"{file}::{name}"
        for file, name in named
        if not (ROOT / "tests" / file).is_file() or name not in _names_in(ROOT / "tests" / file)
    ]
    assert missing == []


def test_nothing_that_looks_like_a_reference_is_misspelt() -> None:
    assert DOCUMENT.count("::") == len(REFERENCE.findall(DOCUMENT))
    assert DOCUMENT.count("| C") == len(CLAIM.findall(DOCUMENT))


def test_what_a_claim_refers_to_in_the_text_is_a_claim() -> None:
    known = {int(number) for number, _, _ in CLAIM.findall(DOCUMENT)}
    assert {int(number) for number in re.findall(r"\(C(\d+)", DOCUMENT)} <= known
