from __future__ import annotations

import json
from dataclasses import fields

import grpc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proto.common_pb2 import ErrorDetail
from sp.domain import errors as e
from sp.runtime.errors import (
    DETAIL_KEY,
    DETAIL_MAX_BYTES,
    FACTS_MAX_BYTES,
    detail_of,
    error_from_detail,
    error_of,
    message_of,
    status_of,
)

DOMAIN = sorted(
    (kind for kind in e.SpError.registry.values() if kind.__module__ == e.__name__), key=lambda kind: kind.__name__
)

VALUES = {
    "int": st.integers(-(2**63), 2**64 - 1),
    "str": st.text(max_size=200),
    "bool": st.booleans(),
}

any_error = st.sampled_from(DOMAIN).flatmap(
    lambda kind: st.builds(kind, **{field.name: VALUES[str(field.type)] for field in fields(kind)})
)


def forged(type: str, facts: object, kind: str = "busy") -> bytes:
    text = facts if isinstance(facts, str) else json.dumps(facts)
    return ErrorDetail(type=type, kind=kind, facts_json=text).SerializeToString()


@given(any_error)
def test_every_error_of_the_domain_crosses_as_it_is(error: e.SpError) -> None:
    back = error_from_detail(detail_of(error))
    assert type(back) is type(error)
    assert back is not None
    assert back.facts == error.facts


@settings(max_examples=20)
@given(st.text(max_size=50), st.text(min_size=20, max_size=200).map(lambda text: text * 150))
def test_an_error_with_long_facts_crosses_shortened_and_within_the_limit(short: str, long: str) -> None:
    detail = detail_of(e.AccessDenied(short, long, long))
    assert len(detail) <= DETAIL_MAX_BYTES
    back = error_from_detail(detail)
    assert isinstance(back, e.AccessDenied)
    assert back.account == short
    assert long.startswith(back.action.removesuffix("…"))


@pytest.mark.parametrize(
    "detail",
    [
        b"\xff\xff not protobuf",
        b"",
        forged("NoSuchThing", {}),
        forged("SpError", {"kind": "x"}),
        forged("NoSuchJob", {"job_id": "7"}),
        forged("NoSuchJob", {"job_id": True}),
        forged("NoSuchJob", {"job_id": 7.0}),
        forged("NoSuchJob", {"job_id": None}),
        forged("NoSuchJob", {"job_id": 2**64}),
        forged("NoSuchJob", {"job_id": 7, "more": 1}),
        forged("NoSuchJob", {}),
        forged("NoSuchJob", [7]),
        forged("NoSuchJob", "{"),
        forged("NoSuchJob", "[" * 4000),
        forged("NoSuchJob", '{"job_id": ' + "9" * 4000 + "}"),
        forged("NoSuchJob", '{"job_id": NaN}'),
        forged("Overloaded", '{"limit": "\\ud800"}'),
        forged("Overloaded", {"limit": "x" * FACTS_MAX_BYTES * 2}),
        forged("Exception", {}),
    ],
)
def test_a_detail_that_fits_no_known_class_makes_no_error(detail: bytes) -> None:
    assert error_from_detail(detail) is None


@given(st.binary(max_size=DETAIL_MAX_BYTES + 10))
def test_bytes_from_a_stranger_never_raise(detail: bytes) -> None:
    error_from_detail(detail)


@given(any_error)
def test_every_error_has_a_status_that_is_a_failure(error: e.SpError) -> None:
    assert status_of(error) not in (grpc.StatusCode.OK, grpc.StatusCode.UNKNOWN, grpc.StatusCode.CANCELLED)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (e.InvalidRequest("x"), grpc.StatusCode.INVALID_ARGUMENT),
        (e.SignatureError("x"), grpc.StatusCode.PERMISSION_DENIED),
        (e.NoSuchJob(1), grpc.StatusCode.NOT_FOUND),
        (e.PieceExists("k"), grpc.StatusCode.ALREADY_EXISTS),
        (e.JobMoved(1), grpc.StatusCode.ABORTED),
        (e.BucketNotEmpty("b"), grpc.StatusCode.FAILED_PRECONDITION),
        (e.Overloaded("x"), grpc.StatusCode.RESOURCE_EXHAUSTED),
        (e.TxNotSeen("x"), grpc.StatusCode.UNAVAILABLE),
        (e.DeadlineExceeded("x", 1), grpc.StatusCode.DEADLINE_EXCEEDED),
        (e.InternalError("x"), grpc.StatusCode.INTERNAL),
        (e.ShortPiece("k", 1, 2), grpc.StatusCode.DATA_LOSS),
    ],
)
def test_an_error_has_the_status_that_other_tools_expect(error: e.SpError, status: grpc.StatusCode) -> None:
    assert status_of(error) is status


def test_the_status_message_is_short_whole_characters_of_the_errors_text() -> None:
    message = message_of(e.Overloaded("ü" * 1000))
    assert len(message.encode()) <= 256
    assert str(e.Overloaded("ü" * 1000)).startswith(message)


def test_a_status_without_detail_names_the_neighbour() -> None:
    def failed(code: grpc.StatusCode) -> grpc.aio.AioRpcError:
        return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), "gone")

    late = error_of(failed(grpc.StatusCode.DEADLINE_EXCEEDED), "Signer.SignSeal", "unix:/s", 1.5)
    assert late.facts == {"waiting_for": "Signer.SignSeal at unix:/s", "timeout_ms": 1500}
    down = error_of(failed(grpc.StatusCode.UNAVAILABLE), "Signer.SignSeal")
    assert down.facts == {"service": "Signer.SignSeal", "reason": "UNAVAILABLE: gone"}


def test_a_text_detail_under_the_binary_key_is_ignored() -> None:
    trailing = grpc.aio.Metadata((DETAIL_KEY, "text"))
    status = grpc.aio.AioRpcError(grpc.StatusCode.NOT_FOUND, grpc.aio.Metadata(), trailing, "")
    assert isinstance(error_of(status), e.ServiceUnavailable)
