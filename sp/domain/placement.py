"""Which providers keep an object: a pure function of the object, the candidates and chance that all can recompute.

Weighted rendezvous hashing: each candidate draws a score from sha256(object, version, candidate), stretched by its
free space; the highest scores win. So load spreads by capacity, the same question has the same answer, and one
provider leaving moves only its own share (the Go SP takes the first six by endpoint, a known flaw).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from sp.crypto.hashing import sha256
from sp.domain.ids import Address, ObjectId


@dataclass(frozen=True, slots=True)
class Candidate:
    """A provider that agreed to take one column. free_bytes: what it says is free (it may lie: a hint, not a fact)."""

    operator: Address
    free_bytes: int = 0


def rank(candidates: Iterable[Candidate], object_id: ObjectId, version: int) -> list[Address]:
    """Candidates, the best first; each at most once."""
    distinct = {c.operator: c for c in candidates}
    return sorted(distinct, key=lambda a: (-_score(distinct[a], object_id, version), a))


def _score(candidate: Candidate, object_id: ObjectId, version: int) -> float:
    digest = sha256(f"{object_id}/{version}/{candidate.operator}".encode())
    uniform = (int.from_bytes(digest[:8], "big") + 1) / (2**64 + 2)
    weight = math.log2(2 + max(0, candidate.free_bytes) / 2**30)  # a liar gains little
    return -weight / math.log(uniform)
