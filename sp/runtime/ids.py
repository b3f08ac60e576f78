"""Ids made here: of requests, and of jobs. They are unique, and no secrets: whoever makes many has a generator of his
own, begun by chance, since the system's gives up the interpreter's lock for every number."""

from __future__ import annotations

import os
import socket
from random import Random
from typing import Final

from sp.domain.ids import JobId
from sp.runtime.clock import Clock

EPOCH_2020_MS: Final = 1_577_836_800_000
"""2020-01-01 UTC in unix milliseconds: 42 bits count from here until 2159."""

RANDOM_BITS: Final = 21


class RequestIds:
    """Of one process. random: the system's"""

    def __init__(self, random: Random) -> None:
        self._bits = own_generator(random).getrandbits

    def next(self) -> str:
        """32 hex digits."""
        return f"{self._bits(128):032x}"


class JobIds:
    """Job ids: 63 bits, 42 of milliseconds since 2020 and 21 of chance, so that ids sort by time.

    Strictly ascending within one process, also when the clock goes back. Two processes collide with a chance of
    2^-21 per pair of jobs begun in the same millisecond; the database's primary key then refuses the second.
    """

    def __init__(self, clock: Clock, random: Random) -> None:
        self._clock = clock
        self._bits = own_generator(random).getrandbits
        self._last = 0

    def next(self) -> JobId:
        since_epoch_ms = self._clock.now_ms() - EPOCH_2020_MS
        assert 0 <= since_epoch_ms < 1 << (63 - RANDOM_BITS), "the clock is outside 2020..2159"
        fresh = since_epoch_ms << RANDOM_BITS | self._bits(RANDOM_BITS)
        self._last = max(fresh, self._last + 1)
        return JobId(self._last)


def own_generator(random: Random) -> Random:
    return Random(random.getrandbits(256))  # noqa: S311 - for ids


def actor_name(service: str, random: Random) -> str:
    """Who this process is, in leases and histories: service, host, process and chance, since a container's process has
    the same host and number after every restart."""
    return f"{service}@{socket.gethostname()[:32]}.{os.getpid()}.{random.getrandbits(32):08x}"
