"""Answers of VerifyPermission that a client remembers until something they depend on changes: a bucket, an object, or a
policy of either (docs/design.md 7)."""

from __future__ import annotations

from sp.domain.ids import Address
from sp.domain.ledger import Action, Block

Question = tuple[Address | None, str, str | None, Action]
"""Who asks, the bucket, the object (None: the bucket itself), what for."""

_Subject = tuple[str, str | None]


class Permissions:
    """limit: answers remembered; those about what was asked for first go, all about one bucket or object at once"""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._count = 0
        self._answers: dict[_Subject, dict[tuple[Address | None, Action], bool]] = {}

    def __len__(self) -> int:
        return self._count

    def get(self, question: Question) -> bool | None:
        who, bucket, object_name, action = question
        about = self._answers.get((bucket, object_name))
        return None if about is None else about.get((who, action))

    def put(self, question: Question, answer: bool) -> None:
        who, bucket, object_name, action = question
        while self._count >= self._limit:
            self._drop(next(iter(self._answers)))
        about = self._answers.setdefault((bucket, object_name), {})
        self._count += (who, action) not in about
        about[who, action] = answer

    def hear(self, block: Block) -> None:
        """An event of an object concerns the answers about it; one of a bucket those about all in it, too."""
        buckets: set[str] = set()
        for event in block.events:
            if event.object_name:
                self._drop((event.bucket, event.object_name))
            else:
                buckets.add(event.bucket)
        if buckets:
            for subject in [subject for subject in self._answers if subject[0] in buckets]:
                self._drop(subject)

    def clear(self) -> None:
        self._answers.clear()
        self._count = 0

    def _drop(self, subject: _Subject) -> None:
        self._count -= len(self._answers.pop(subject, ()))
