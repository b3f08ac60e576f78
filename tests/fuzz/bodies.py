"""Bodies: the aws-chunked framings in any cut, and the XML documents of S3."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from typing import Final

from gateway.acls import BUCKET_ACLS, requested
from gateway.auth.sigv4_chunks import ChunkSeed, ChunkSignatures
from gateway.aws_chunked import Decoder, Framing
from gateway.checksums import CHECKSUM_HEADERS, decoded_digest
from gateway.deletions import MAX_KEYS, requested_deletions
from gateway.http_post import put_of_form
from gateway.multipart_requests import completion_of
from gateway.post_form import Form, FormReader, boundary_of
from gateway.post_policy import policy_of
from gateway.request import RequestHead
from gateway.s3_xml import location_constraint
from gateway.tags import tagging, tags_of_xml
from sp.domain.errors import SpError
from sp.wire.multipart import completed_parts_pb
from tests.fuzz.guard import attempt, finished, refusing
from tests.unit.gateway_world import ALICE

SEED: Final = ChunkSeed(b"k" * 32, "20260101T000000Z", "20260101/us-east-1/s3/aws4_request", "0" * 64)
CHECKSUMS: Final = sorted(CHECKSUM_HEADERS)


class _Believing(ChunkSignatures):
    """Takes every signature for right, so that what comes behind it is reached."""

    def check_chunk(self, sha256_hex: str, claimed: str) -> None:
        assert len(self.chunk(sha256_hex)) == 64

    def check_trailer(self, lines: str, claimed: str) -> None:
        assert len(self.trailer(lines)) == 64


def chunked(raw: bytes) -> None:
    """Two bytes say which framing and which size, the third in which pieces it comes; the rest is the body."""
    if len(raw) < 3:
        return
    kind, size, step, body = raw[0], raw[1], raw[2] or 256, raw[3:]
    trailers = () if kind & 1 else (CHECKSUMS[kind // 8 % len(CHECKSUMS)],)
    framing = Framing(size, trailers, SEED if kind & 2 else None)
    believing = bool(kind & 4)
    whole = _decoded(framing, body, len(body) or 1, believing)
    parts = _decoded(framing, body, step, believing)
    assert whole[:2] == parts[:2], "the cut changes the outcome"
    if whole[0] is None:
        assert len(whole[1]) == size
        assert whole[2] == parts[2]
        assert whole[2].keys() == set(trailers)
        for name, value in whole[2].items():
            with refusing():
                decoded_digest(name, value)


def _decoded(framing: Framing, body: bytes, step: int, believing: bool) -> tuple[str | None, bytes, dict[str, str]]:
    """The class of its refusal (None: it was taken), the payload, and the trailers."""
    decoder = Decoder(framing)
    if believing and framing.seed is not None:
        decoder._chain = _Believing(framing.seed)
    payload = b""
    try:
        for at in range(0, len(body), step):
            payload += b"".join(bytes(piece) for piece in decoder.feed(body[at : at + step]))
            assert len(payload) <= framing.size, "more payload than was announced"
        decoder.end()
    except SpError as error:
        return type(error).__name__, b"", {}
    return None, payload, decoder.trailers


_HEAD: Final = RequestHead("POST", "/photos/k", "", ())


def xml(raw: bytes) -> None:
    """Every document that a client may send, whatever its root says that it is."""
    with refusing():
        completed_parts_pb(completion_of(_HEAD, raw))
    with refusing():
        wanted, _ = requested_deletions(raw)
        assert 1 <= len(wanted) <= MAX_KEYS
        for each in wanted:
            each.key.encode()
    with refusing():
        tags = tags_of_xml(raw)
        assert tags_of_xml(tagging(tags)) == tags
    with refusing():
        requested(_HEAD, raw, BUCKET_ACLS, ALICE)
    with refusing():
        location_constraint(raw).encode()


def form(raw: bytes) -> None:
    """A POST form: how it is cut up, then its Content-Type, then the form itself; and the policy in it."""
    step, rest = raw[:1], raw[1:]
    kind, _, body = rest.partition(b"\n")
    boundary = attempt(lambda: boundary_of(kind.decode("utf-8", "surrogateescape")))
    if not step or boundary is None:
        return
    whole, parts = _form_in(body, boundary, len(body) or 1), _form_in(body, boundary, step[0] or 1)
    assert whole == parts, "the cut changes the outcome"
    if whole is not None:
        fields, _ = whole
        with refusing():
            policy_of(fields.get("policy", "")).check(fields, 0)
        with refusing():
            put_of_form(Form(fields, ""), "photos", "k", "id")


def _form_in(body: bytes, boundary: bytes, step: int) -> tuple[dict[str, str], bytes] | None:
    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(body), step):
            yield body[at : at + step]

    async def read() -> tuple[dict[str, str], bytes]:
        reader = FormReader(pieces(), boundary)
        found = await reader.form()
        return found.fields, b"".join([chunk async for chunk in reader.file()])

    return attempt(lambda: finished(read()))


def policy(raw: bytes) -> None:
    """The JSON of a form's policy."""
    with refusing():
        policy_of(base64.b64encode(raw).decode()).check({"key": "a", "bucket": "photos", "content-type": "b,c"}, 0)
