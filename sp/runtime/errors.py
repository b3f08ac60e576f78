"""SpErrors across processes: into a gRPC status with an ErrorDetail, and back into the class that was raised.

What comes back was written by the far side, which may be a stranger: only registered classes are made again, only when
every fact has the field's name and type, and never from more than 4 KiB. Whatever fails this is a ServiceUnavailable.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import fields
from types import TracebackType
from typing import Final, TypeVar

import grpc
from google.protobuf.message import DecodeError

from proto.common_pb2 import ErrorDetail
from sp.domain import errors as e

T = TypeVar("T")

DETAIL_KEY: Final = "sp-error-bin"
FACTS_MAX_BYTES: Final = 4096
DETAIL_MAX_BYTES: Final = FACTS_MAX_BYTES + 256
MESSAGE_MAX_BYTES: Final = 256
"""Of the status message, which is for people with other tools; percent-encoding may triple it on the wire."""

INTEGERS: Final = range(-(2**63), 2**64)
"""What a fact may be: signed and unsigned 64-bit numbers."""

STATUS_OF_KIND: Final = {
    e.Kind.INVALID: grpc.StatusCode.INVALID_ARGUMENT,
    e.Kind.DENIED: grpc.StatusCode.PERMISSION_DENIED,
    e.Kind.NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    e.Kind.CONFLICT: grpc.StatusCode.FAILED_PRECONDITION,
    e.Kind.BUSY: grpc.StatusCode.RESOURCE_EXHAUSTED,
    e.Kind.UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
    e.Kind.CORRUPT: grpc.StatusCode.DATA_LOSS,
}

STATUS_OF_CLASS: Final[dict[type[e.SpError], grpc.StatusCode]] = {
    # Where gRPC has a word that says more than the kind's does.
    e.DeadlineExceeded: grpc.StatusCode.DEADLINE_EXCEEDED,
    e.InternalError: grpc.StatusCode.INTERNAL,
    e.InvalidRange: grpc.StatusCode.OUT_OF_RANGE,
    e.BucketExists: grpc.StatusCode.ALREADY_EXISTS,
    e.ObjectExists: grpc.StatusCode.ALREADY_EXISTS,
    e.PieceExists: grpc.StatusCode.ALREADY_EXISTS,
    e.JobMoved: grpc.StatusCode.ABORTED,  # read again and repeat the whole step
    e.UploadInProgress: grpc.StatusCode.ABORTED,
}

FACT_TYPES: Final[dict[object, type]] = {"int": int, "str": str, "bool": bool, int: int, str: str, bool: bool}
"""Field types by annotation, which is text where the module postpones annotations."""


def sp_error_in(failure: BaseException) -> e.SpError | None:
    """The failure itself, or the first error of a task group in which only SpErrors were raised; None: a mistake."""
    if isinstance(failure, e.SpError):
        return failure
    if isinstance(failure, BaseExceptionGroup):
        errors = [sp_error_in(part) for part in failure.exceptions]
        return errors[0] if all(errors) else None
    return None


def status_of(error: e.SpError) -> grpc.StatusCode:
    return STATUS_OF_CLASS.get(type(error), STATUS_OF_KIND[error.kind])


def message_of(error: e.SpError) -> str:
    return str(error).encode("utf-8", "replace")[:MESSAGE_MAX_BYTES].decode("utf-8", "ignore")


def detail_of(error: e.SpError) -> bytes:
    """The ErrorDetail to send, at most DETAIL_MAX_BYTES: the longest facts are shortened to fit."""
    facts: dict[str, object] = {name: _sendable(value) for name, value in error.facts.items()}
    while len(encoded := json.dumps(facts, ensure_ascii=False, separators=(",", ":")).encode()) > FACTS_MAX_BYTES:
        longest = max(facts, key=lambda name: len(str(facts[name])))
        text = str(facts[longest])
        facts[longest] = text[: len(text) // 2] + "…"
    detail = ErrorDetail(type=type(error).__name__, kind=error.kind.value, facts_json=encoded.decode())
    return bytes(detail.SerializeToString())


def _sendable(value: object) -> object:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()  # a lone surrogate has no UTF-8
    return value if isinstance(value, int) else str(value)


def error_from_detail(detail_bytes: bytes) -> e.SpError | None:
    """The error that the far side raised, or None when this is no faithful description of a class known here."""
    if len(detail_bytes) > DETAIL_MAX_BYTES:
        return None
    try:
        detail = ErrorDetail.FromString(detail_bytes)
        facts = json.loads(detail.facts_json)
    except (DecodeError, ValueError, RecursionError):
        return None
    kind = e.SpError.registry.get(detail.type)
    if kind is None or not isinstance(facts, dict):
        return None
    wanted = {field.name: FACT_TYPES.get(field.type) for field in fields(kind)}
    if facts.keys() != wanted.keys() or not all(_is_fact(facts[name], of) for name, of in wanted.items()):
        return None
    return kind(**facts)


def _is_fact(value: object, kind: type | None) -> bool:
    if type(value) is not kind:  # exactly: a bool is no int here
        return False
    if isinstance(value, str):
        return value.isascii() or not any("\ud800" <= c <= "\udfff" for c in value)
    return not isinstance(value, int) or value in INTEGERS


def error_of(
    rpc_error: grpc.aio.AioRpcError, service: str = "", target: str = "", timeout_s: float | None = None
) -> e.SpError:
    """What a failed call means: the SpError the far side raised, else DeadlineExceeded or ServiceUnavailable.

    service, target: whom we called and where, for these two. timeout_s: the call's deadline, when known.
    """
    for key, value in rpc_error.trailing_metadata() or ():
        if key == DETAIL_KEY and isinstance(value, bytes) and (error := error_from_detail(value)):
            return error
    if rpc_error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        return e.DeadlineExceeded(waiting_for=_whom(service, target), timeout_ms=round((timeout_s or 0) * 1000))
    details = (rpc_error.details() or "")[:MESSAGE_MAX_BYTES]
    unknown = rpc_error.code() is grpc.StatusCode.UNIMPLEMENTED
    kind = e.MethodUnknown if unknown else e.ServiceUnavailable
    return kind(service=_whom(service, target), reason=f"{rpc_error.code().name}: {details}")


def _whom(service: str, target: str) -> str:
    return f"{service} at {target}" if service and target else service or target or "a neighbour"


class translating:
    """`with translating("receiver", target):` or `async with`: a gRPC failure inside comes out as an SpError.

    Channels of `rpc.dial` translate by themselves; this is for calls on a channel that came from elsewhere.
    """

    def __init__(self, service: str, target: str = "", timeout_s: float | None = None) -> None:
        self._where = (service, target, timeout_s)

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, grpc.aio.AioRpcError):
            raise error_of(error, *self._where) from error

    async def __aenter__(self) -> None:
        return None

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)


async def translated(call: AsyncIterable[T], service: str, target: str = "") -> AsyncIterator[T]:
    """The messages of a call, its gRPC failure as an SpError. Like `translating`, for foreign channels."""
    with translating(service, target):
        async for message in call:
            yield message
