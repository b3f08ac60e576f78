"""Request heads: names and operations, everything that an operation reads of one, and all signature schemes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, cast

from chain.client import Chain
from gateway.acls import BUCKET_ACLS, requested
from gateway.attributes import attributes_of
from gateway.auth.anonymous import Anonymous
from gateway.auth.gnfd1 import Gnfd1, KnownAccounts
from gateway.auth.gnfd2 import Gnfd2
from gateway.auth.personal import PersonalSign
from gateway.auth.query import with_query_headers
from gateway.auth.s3 import s3_schemes
from gateway.auth.scheme import UNSIGNED, Authenticator, Identity
from gateway.auth.unsupported import KnownButUnsupported
from gateway.aws_chunked import framing_of
from gateway.body import body_plan
from gateway.conditions import check_conditions, requested_range
from gateway.config import GatewayConfig
from gateway.copying import check_source_conditions, copy_of, source_of
from gateway.greenfield.challenge import challenge_question
from gateway.greenfield.keys import asked_about, registration_of
from gateway.greenfield.metadata import permission_question
from gateway.greenfield.params import delegate_query, listing_query, part_query
from gateway.greenfield.reading import link_disposition, linked_object
from gateway.multipart_requests import (
    completion_of,
    copied_range,
    parts_query,
    upload_order_of,
    uploads_query,
    url_encoding,
)
from gateway.preconditions import precondition_of
from gateway.puts import put_of, put_without_body
from gateway.request import (
    MAX_OBJECT_NAME_BYTES,
    RequestHead,
    Target,
    check_bucket_name,
    check_header_size,
    object_name_of,
    resolve,
)
from gateway.routes import operation_of
from gateway.s3_xml import list_query
from gateway.tags import tags_of_header
from gateway.versions import versions_query
from proto import multipart_pb2
from sp.domain.jobs import ObjectEntry, PutOrder
from sp.domain.params import StorageParams
from sp.runtime.clock import ManualClock
from sp.wire.jobs import put_order, put_order_pb
from sp.wire.multipart import completed_parts_pb, completion, query, query_pb, upload_order, upload_order_pb
from tests.fuzz.guard import attempt, finished, refusing, request_of
from tests.fuzz.loopback import remote
from tests.unit.gateway_world import ALICE, OPERATOR, USER, FakeChain, FakeKeys, FakeSigner, Store

NOW_S: Final = 1_767_225_610
"""2026-01-01T00:00:10Z: ten seconds after the requests of the corpus were signed."""

DOMAIN: Final = "s3.example"
SIZE: Final = 1000
OWNER: Final = Identity(ALICE, "sigv4", custodial=True)

_STORE: Final = Store(ManualClock(NOW_S * 1000))
_JOB: Final = _STORE._job(PutOrder("photos", "k", ALICE, 3, StorageParams()), b"abc")
ENTRY: Final = ObjectEntry(_JOB, NOW_S * 1000)

COMPLETION: Final = (
    b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>e</ETag></Part></CompleteMultipartUpload>"
)

READERS: Final[tuple[Callable[[RequestHead], object], ...]] = (
    lambda head: check_header_size(head, 16_384),
    with_query_headers,
    lambda head: requested(head, b"", BUCKET_ACLS, ALICE),
    attributes_of,
    lambda head: framing_of(head, UNSIGNED),
    lambda head: body_plan(head, UNSIGNED),
    lambda head: check_conditions(head, "etag", NOW_S * 1000),
    lambda head: check_source_conditions(head, ENTRY),
    lambda head: copy_of(head, put_without_body(head, "photos", "k", "id")),
    lambda head: permission_question(head, resolve(head, DOMAIN)),
    lambda head: linked_object(head, resolve(head, DOMAIN)),
    lambda head: link_disposition(head, "folder/k"),
    lambda head: registration_of(head, USER, NOW_S),
    lambda head: list_query(head, 1),
    lambda head: list_query(head, 2),
    versions_query,
    parts_query,
    url_encoding,
    part_query,
    delegate_query,
    listing_query,
    challenge_question,
    asked_about,
    precondition_of,
    tags_of_header,
)


def head(raw: bytes) -> None:
    """Whatever an operation may read of a request's head, whether or not it is the one that is asked for."""
    request = request_of(raw)
    if request is None:
        return
    parsed = request[0]
    target = attempt(lambda: resolve(parsed, DOMAIN))
    if target is not None:
        _check_target(parsed, target)
    for read in READERS:
        with refusing():
            read(parsed)
    _check_ranges(parsed)
    _check_orders(parsed)


def _check_target(parsed: RequestHead, target: Target) -> None:
    if target.object_name is not None:
        encoded = target.object_name.encode()
        assert 1 <= len(encoded) <= MAX_OBJECT_NAME_BYTES
        assert object_name_of(encoded) == target.object_name
    if target.bucket is not None:
        with refusing():
            check_bucket_name(target.bucket)
            assert target.bucket.isascii()
            assert not {"/", "\0", "%"} & set(target.bucket)
    with refusing():
        operation_of(parsed, target)


def _check_ranges(parsed: RequestHead) -> None:
    for given in (
        attempt(lambda: requested_range(parsed, SIZE, "etag", NOW_S * 1000)),
        attempt(lambda: copied_range(parsed, SIZE)),
    ):
        if given is not None:
            start, stop = given
            assert 0 <= start < stop <= SIZE
    source = attempt(lambda: source_of(parsed))
    if source is not None:
        (source.bucket + source.object_name).encode()


def _check_orders(parsed: RequestHead) -> None:
    """What goes on to other services must survive the wire."""
    put = attempt(lambda: put_of(parsed, "photos", "k", OWNER, "id"))
    if put is not None and (put.size or 0) < 2**63:
        order = PutOrder(
            "photos", "k", ALICE, put.size, StorageParams(), put.visibility, put.headers, tags=put.tags,
            precondition=put.precondition,
        )  # fmt: skip
        assert put_order(put_order_pb(order)) == order
    begun = attempt(lambda: upload_order_of(parsed, "photos", "k", ALICE))
    if begun is not None:
        assert upload_order(upload_order_pb(begun)) == begun
    ended = attempt(lambda: completion_of(parsed, COMPLETION))
    if ended is not None:
        message = multipart_pb2.CompleteRequest(
            parts=completed_parts_pb(ended), checksums=ended.checksums, payload_size=ended.payload_size
        )
        assert completion(message) == ended
    listed = attempt(lambda: uploads_query(parsed, "photos"))
    if listed is not None:
        assert query(query_pb(listed)) == listed


_CHAIN: Final = FakeChain(known={USER})
_KEYS: Final = FakeKeys()


def _authenticator() -> Authenticator:
    signer = remote(FakeSigner(_CHAIN))
    config = GatewayConfig(domain_name=DOMAIN)
    return Authenticator(
        (
            *s3_schemes(signer, config),
            Gnfd1(KnownAccounts(cast("Chain", _CHAIN))),
            Gnfd2(_KEYS),
            PersonalSign(),
            KnownButUnsupported(),
            Anonymous(),
        )
    )


_AUTHENTICATOR: Final = _authenticator()
assert OPERATOR not in _CHAIN.known


def auth(raw: bytes) -> None:
    """Who signed it, by all schemes, with the Signer in another process; then what its body is held to."""
    request = request_of(raw)
    if request is None:
        return
    parsed = request[0]
    identity = attempt(lambda: finished(_AUTHENTICATOR.authenticate(parsed, NOW_S)))
    if identity is None:
        return
    signed = with_query_headers(parsed)
    with refusing():
        body_plan(signed, identity.body_check)
    with refusing():
        framing_of(signed, identity.body_check)
