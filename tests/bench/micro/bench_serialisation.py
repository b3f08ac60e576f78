"""What goes over the wire: a chunk of payload, a job with its history, a signed request head."""

from __future__ import annotations

import os

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from cli.bench.requests import Signer
from cli.client_http import Credentials
from proto import tasknode_pb2, uploader_pb2
from sp.domain.ids import JobId
from sp.domain.jobs import HistoryRow
from sp.domain.lifecycle import JobState
from sp.wire import jobs as wire

CHUNK = os.urandom(1 << 20)
ROW = HistoryRow(
    JobId(1), 1, 2, JobState.UPLOAD_OBJECT_DOING, JobState.UPLOAD_OBJECT_DONE, "payload stored", 0, "", "", "uploader"
)


@pytest.mark.benchmark(group="a chunk of 1 MiB")
def test_chunk_to_bytes(benchmark: BenchmarkFixture) -> None:
    message = uploader_pb2.PutFrame(chunk=CHUNK)
    assert len(benchmark(message.SerializeToString)) > len(CHUNK)


@pytest.mark.benchmark(group="a chunk of 1 MiB")
def test_chunk_from_bytes(benchmark: BenchmarkFixture) -> None:
    encoded = uploader_pb2.PutFrame(chunk=CHUNK).SerializeToString()
    assert benchmark(uploader_pb2.PutFrame.FromString, encoded).chunk == CHUNK


@pytest.mark.benchmark(group="a history row")
def test_history_row_there_and_back(benchmark: BenchmarkFixture) -> None:
    def there_and_back() -> HistoryRow:
        encoded = wire.history_row_pb(ROW).SerializeToString()
        return wire.history_row(tasknode_pb2.HistoryRow.FromString(encoded))

    assert benchmark(there_and_back) == ROW


@pytest.mark.benchmark(group="a signed request")
def test_sign_a_request(benchmark: BenchmarkFixture) -> None:
    signer = Signer("http://127.0.0.1:9000", Credentials("key", "secret"))
    request = benchmark(lambda: signer.put("bucket", "photos/a.jpg", memoryview(CHUNK)))
    assert b"UNSIGNED-PAYLOAD" in request.head
