"""The benchmark's own parts: a load generator that miscounts would make every figure wrong."""

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path
from xml.etree.ElementTree import fromstring

import pytest
from typer.testing import CliRunner

from cli.bench.answers import Answer, NotHttp
from cli.bench.chart import Bar, Panel, svg
from cli.bench.load import Load, Outcome, Sample
from cli.bench.report import percentile, row_of
from cli.bench.requests import Request, Signer
from cli.bench.usage import Meter, Usage
from cli.main import app

OK = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"


@contextmanager
def server(*answers: bytes) -> Iterator[tuple[tuple[str, int], list[bytes]]]:
    """Answers each request with the next of `answers` (again from the first after the last); what it received. Each
    request must end with "!"."""
    received: list[bytes] = []
    numbers = count()

    def serve(connection: socket.socket) -> None:
        with closing(connection):
            held = b""
            while more := connection.recv(1 << 16):
                held += more
                if held.endswith(b"!"):
                    received.append(held)
                    held = b""
                    connection.sendall(answers[next(numbers) % len(answers)])

    def accept() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield listening.getsockname(), received
        listening.shutdown(socket.SHUT_RDWR)
    thread.join()


def put(body: bytes = b"abc!") -> Request:
    return Request("put", b"PUT /b/k HTTP/1.1\r\ncontent-length: %d\r\n\r\n" % len(body), memoryview(body))


@pytest.mark.parametrize("step", [1, 7, 1000])
def test_an_answer_is_read_whole_however_it_is_cut(step: int) -> None:
    received = b"HTTP/1.1 100 Continue\r\n\r\n" + OK % 5 + b"hello"
    answer = Answer()
    for start in range(0, len(received), step):
        assert not answer.complete
        answer.feed(memoryview(received[start : start + step]))
    assert answer.complete
    assert (answer.status, answer.body_bytes, answer.start) == (200, 5, b"hello")
    assert answer.header("content-length") == "5"


def test_a_chunked_answer_ends_with_its_last_chunk() -> None:
    answer = Answer()
    answer.feed(
        memoryview(b"HTTP/1.1 500 X\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n3\r\nabc\r\n0\r\n")
    )
    before = answer.complete
    answer.feed(memoryview(b"\r\n"))
    assert (before, answer.complete, answer.closes) == (False, True, True)


@pytest.mark.parametrize("received", [b"SSH-2.0-OpenSSH_9\r\n\r\n", OK % 1 + b"two"])
def test_what_is_no_answer_is_refused(received: bytes) -> None:
    with pytest.raises(NotHttp):
        Answer().feed(memoryview(received))


def test_an_answer_to_head_has_no_body_whatever_its_length_says() -> None:
    answer = Answer(has_body=False)
    answer.feed(memoryview(OK % 5))
    assert answer.complete


def test_every_request_is_sent_once_and_every_answer_counts_once() -> None:
    with server(OK % 2 + b"ok") as (address, received), closing(Load(address, 3)) as load:
        outcome = load.run(put() for _ in range(50))
    assert len(outcome.samples) == len(received) == 50
    assert outcome.moved_bytes == 50 * (4 + 2)
    assert not outcome.failures
    assert all(0 < sample.waited_s <= outcome.elapsed_s for sample in outcome.samples)


def test_a_body_larger_than_the_socket_takes_arrives_whole() -> None:
    body = b"\0" * 10_000_000 + b"!"  # the server takes a "!" for the end
    with server(OK % 0) as (address, received), closing(Load(address, 1)) as load:
        outcome = load.one(put(body))
    assert len(outcome.samples) == 1
    assert received[0].endswith(b"\r\n\r\n" + body)


def test_a_body_in_several_parts_arrives_whole_and_counts_whole() -> None:
    parts = (memoryview(b"\0" * 1_000_000), memoryview(b"\1" * 1_000_000), memoryview(b"!"))
    request = Request("put", b"PUT /b/k HTTP/1.1\r\ncontent-length: 2000001\r\n\r\n", parts[0], rest=parts[1:])
    with server(OK % 0) as (address, received), closing(Load(address, 1)) as load:
        outcome = load.one(request)
    assert received[0] == request.head + b"".join(parts)
    assert outcome.moved_bytes == 2_000_001


@pytest.mark.parametrize("size", [3, 8, 1003])
def test_a_block_is_sent_again_and_again_up_to_the_size_that_the_head_says(size: int) -> None:
    request = Signer("http://host", None).put_repeated("bucket", "name", memoryview(b"12345678"), size)
    body = b"".join((request.body, *request.rest))
    assert request.body_bytes == len(body) == size
    assert f"content-length: {size}".encode() in request.head
    assert body == (b"12345678" * size)[:size]


def test_bad_answers_are_counted_by_their_code_and_are_no_samples() -> None:
    words = b"<Error><Code>SlowDown</Code></Error>"
    slow = b"HTTP/1.1 503 X\r\ncontent-length: %d\r\n\r\n" % len(words) + words
    with server(OK % 0, slow) as (address, _), closing(Load(address, 1)) as load:
        outcome = load.run(put() for _ in range(10))
    assert len(outcome.samples) == 5
    assert dict(outcome.failures) == {"503 SlowDown": 5}


def test_an_answer_of_another_length_than_expected_is_a_failure() -> None:
    wanted = Request("get", b"GET /b/k HTTP/1.1\r\n\r\n!", answer_bytes=4)
    with server(OK % 3 + b"abc") as (address, _), closing(Load(address, 1)) as load:
        assert dict(load.one(wanted).failures) == {"3 bytes instead of 4": 1}


def test_a_server_that_closes_is_connected_to_again() -> None:
    closing_answer = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
    with server(closing_answer) as (address, received), closing(Load(address, 2)) as load:
        outcome = load.run(put() for _ in range(6))
    assert len(outcome.samples) == len(received) == 6


def test_a_rate_is_kept_and_waiting_for_a_free_connection_counts() -> None:
    with server(OK % 0) as (address, _), closing(Load(address, 2)) as load:
        outcome = load.run(iter([put()] * 20), rate_per_s=100.0)
    assert 0.19 <= outcome.elapsed_s < 20.0
    assert len(outcome.samples) == 20


def test_a_run_begins_nothing_after_its_time() -> None:
    with server(OK % 0) as (address, _), closing(Load(address, 2)) as load:
        started = time.perf_counter()
        outcome = load.run((put() for _ in count()), seconds=0.2)
        assert time.perf_counter() - started < 20.0
    assert outcome.samples


def test_a_request_is_signed_as_it_is_sent() -> None:
    request = Signer("http://127.0.0.1:9000", None).put("bucket", "a b/ü", memoryview(b"abc"))
    assert request.head.startswith(
        b"PUT /bucket/a%20b/%C3%BC HTTP/1.1\r\nhost: 127.0.0.1:9000\r\ncontent-length: 3\r\n"
    )
    assert request.head.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(("percent", "value"), [(50, 2.0), (51, 3.0), (99, 4.0), (100, 4.0), (1, 1.0)])
def test_a_percentile_is_a_value_that_was_measured(percent: int, value: float) -> None:
    assert percentile([1.0, 2.0, 3.0, 4.0], percent) == value


def test_a_row_has_the_median_of_rounds_and_the_cost_of_all() -> None:
    def outcome(seconds: float) -> Outcome:
        return Outcome([Sample("put", seconds, seconds / 2, 500_000_000)] * 2, elapsed_s=seconds)

    usages = [{"sp0": Usage(cpu, peak << 20)} for cpu, peak in ((1.0, 100), (2.0, 300), (3.0, 200))]
    row = row_of("put", 500_000_000, 1, [outcome(1.0), outcome(4.0), outcome(2.0)], usages)
    assert (row.mb_per_s, row.per_s, row.requests) == (500.0, 1.0, 6)
    assert row.cpu_s_per_gb == 2.0
    assert row.peak_mib == {"sp0": 300.0}
    assert row.p50_ms == 1000.0


def test_a_meter_sees_the_cpu_time_of_a_process() -> None:
    meter = Meter({"self": os.getpid()})
    ends = time.process_time() + 0.1
    while time.process_time() < ends:
        pass
    usage = meter.read()["self"]
    assert 0.05 <= usage.cpu_s < 5.0
    assert usage.peak_bytes > 1 << 20


def test_a_chart_is_an_image_that_shows_every_bar() -> None:
    root = fromstring(svg("a & b", [Panel("<MB/s>", [Bar("one", 10.0, "10 MB/s"), Bar("two", 0.0, "0")], mark=5.0)]))
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    widths = [float(bar.attrib["width"]) for bar in root.iter("{http://www.w3.org/2000/svg}rect")][1:]
    assert widths[0] > 100 * widths[1]
    texts = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert texts == ["a & b", "<MB/s>", "one", "10 MB/s", "two", "0"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fly"], "no workload 'fly'"),
        (["--endpoint", "http://127.0.0.1:1", "--clients", "x", "put"], "is no list of numbers"),
        (["put"], "no test network here"),
    ],
)
def test_a_bad_command_line_is_refused_with_a_line(
    arguments: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    result = CliRunner().invoke(app, ["bench", *arguments])
    assert result.exit_code != 0
    assert words in result.output + result.stderr
