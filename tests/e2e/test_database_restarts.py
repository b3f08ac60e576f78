"""PostgreSQL stopped at once, killed and started again under a provider at work: requests are refused while it is away
and served when it is back, by the same processes; nothing that was acknowledged is lost."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.e2e.matrix.network import SEGMENT, MatrixNetwork, eventually, running_network
from tests.postgres import PostgresServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

CLIENTS = 4
AWAY_S = 1.5
LONGEST_ANSWER_S = 30.0
"""While the database is away: no request hangs."""


def body_of(name: str) -> bytes:
    return Random(name).randbytes(2 * SEGMENT + 7)


@dataclass
class Load:
    """Clients that put one object after the other, and one that reads what was acknowledged."""

    network: MatrixNetwork
    acknowledged: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    refusals: Counter[tuple[int, str]] = field(default_factory=Counter)
    reads: int = 0
    longest_s: float = 0.0
    stop: threading.Event = field(default_factory=threading.Event)

    def put_for_ever(self, client: int) -> None:
        s3, number = self.network.s3(), 0
        while not self.stop.is_set():
            number += 1
            name = f"c{client}-{number}"
            answered = self._timed(partial(s3.put_object, Bucket="first", Key=name, Body=body_of(name)))
            (self.refused if answered is None else self.acknowledged).append(name)

    def read_for_ever(self) -> None:
        s3, chance = self.network.s3(), Random(1)
        while not self.stop.is_set():
            if not self.acknowledged:
                self.stop.wait(0.01)
                continue
            name = chance.choice(self.acknowledged)
            answer = self._timed(partial(s3.get_object, Bucket="first", Key=name))
            found = None if answer is None else answer["Body"].read()
            assert found in (None, body_of(name)), f"wrong bytes of {name}"
            self.reads += found is not None

    def _timed(self, request: Any) -> Any:
        """Its answer; None when it was refused, which is counted."""
        started = time.monotonic()
        try:
            return request()
        except ClientError as error:
            status = int(error.response["ResponseMetadata"]["HTTPStatusCode"])
            self.refusals[status, str(error.response["Error"]["Code"])] += 1
            self.stop.wait(0.05)  # as any client, not at once again
            return None
        finally:
            self.longest_s = max(self.longest_s, time.monotonic() - started)


@pytest.fixture
def network(postgres: PostgresServer, postgres_url: str, tmp_path: Path) -> Iterator[MatrixNetwork]:
    with running_network(tmp_path, postgres_url.replace("+asyncpg", "")) as network:
        yield network


def test_puts_are_refused_while_postgresql_is_away_and_go_on_when_it_is_back(
    network: MatrixNetwork, postgres: PostgresServer
) -> None:
    before, load = network.pids(), Load(network)
    with ThreadPoolExecutor(CLIENTS + 1) as threads:
        working = [threads.submit(load.put_for_ever, client) for client in range(CLIENTS)]
        working.append(threads.submit(load.read_for_ever))
        try:
            for away in (partial(postgres.stop, "immediate"), postgres.kill, partial(postgres.stop, "immediate")):
                _more(load.acknowledged, 6, "puts are acknowledged")
                away()
                _more(load.refused, 3, "puts are refused")
                threading.Event().wait(AWAY_S)
                postgres.start()
            _more(load.acknowledged, 6, "puts are acknowledged")
        finally:
            load.stop.set()
        for each in working:
            each.result()
    print(f"{len(load.acknowledged)} puts acknowledged, refusals {dict(load.refusals)}, {load.reads} reads,")
    print(f"longest answer {load.longest_s:.1f} s")
    assert {status for status, _ in load.refusals} == {503}
    assert {code for _, code in load.refusals} <= {"ServiceUnavailable", "SlowDown"}
    assert load.longest_s < LONGEST_ANSWER_S
    assert load.reads > 0
    assert network.pids() == before
    assert set(network.running()) == set(before)
    _check_kept(network, load)
    assert network.complaints() == []


def _more(names: list[str], count: int, what: str) -> None:
    so_far = len(names)
    eventually(lambda: len(names) >= so_far + count, what)


def _check_kept(network: MatrixNetwork, load: Load) -> None:
    """Every acknowledged object sealed and whole; every refused one whole or absent, and sealed if it is there."""
    s3 = network.s3()

    def status(name: str) -> str:
        try:
            head = s3.head_object(Bucket="first", Key=name)
        except ClientError as error:
            return str(error.response["Error"]["Code"])
        return str(head["ResponseMetadata"]["HTTPHeaders"]["x-sp-object-status"])

    def is_now(name: str, *wanted: str) -> bool:
        return status(name) in wanted

    for name in load.acknowledged:
        eventually(partial(is_now, name, "SEALED"), f"{name} is sealed", 90)
        assert s3.get_object(Bucket="first", Key=name)["Body"].read() == body_of(name)
    for name in load.refused:
        eventually(partial(is_now, name, "404", "SEALED"), f"{name} is gone or sealed", 90)
        if status(name) == "SEALED":
            assert s3.get_object(Bucket="first", Key=name)["Body"].read() == body_of(name)
