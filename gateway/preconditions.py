"""Conditional writes: what the head of a PUT, a completion or a DELETE demands of the present content. Pure."""

from __future__ import annotations

from gateway.errors import InvalidArgument, NotSupported
from gateway.request import RequestHead
from sp.domain.jobs import Precondition

_OTHERS = ("if-modified-since", "if-unmodified-since", "x-amz-if-match-last-modified-time", "x-amz-if-match-size")


def precondition_of(head: RequestHead) -> Precondition | None:
    """From If-None-Match: * or If-Match: ETag. NotSupported for what S3 does not offer either, InvalidArgument."""
    for name in _OTHERS:
        if head.values(name):
            raise NotSupported(f"the header {name} in a {head.method}")
    absent, present = head.header("if-none-match").strip(), head.header("if-match").strip()
    if absent and present:
        raise NotSupported("If-Match together with If-None-Match")
    if absent:
        if absent != "*" or head.method == "DELETE":
            raise NotSupported(f"If-None-Match in a {head.method}, but for * in a write")
        return Precondition(absent=True)
    if not present:
        return None
    if not present.isascii():
        raise InvalidArgument("If-Match", "no ETag holds anything but ASCII")
    etag = present.removeprefix("W/").strip('"')
    if "," in etag:
        raise NotSupported("several ETags in If-Match")
    return Precondition(etag=etag)
