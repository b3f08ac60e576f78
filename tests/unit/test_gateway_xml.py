"""S3's XML, read back by a parser that is not ours."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote_plus
from xml.etree import ElementTree as ET

import pytest

from gateway import errors as gw
from gateway.errors_http import GREENFIELD, S3, greenfield_answer, s3_answer
from gateway.request import RequestHead
from gateway.s3_xml import (
    escaped,
    list_query,
    listing,
    location,
    location_constraint,
    s3_error,
    timestamp,
)
from sp.domain import errors as sp
from sp.domain.errors import Kind, SpError
from sp.domain.jobs import Listing, ObjectEntry, PutOrder
from sp.domain.ledger import Bucket, BucketStatus, Visibility
from sp.domain.params import StorageParams
from sp.runtime.clock import ManualClock
from tests.unit.gateway_world import ALICE, OPERATOR, Store

NS = "{http://s3.amazonaws.com/doc/2006-03-01/}"
BUCKET = Bucket(1, "photos", ALICE, Visibility.PRIVATE, OPERATOR, 1700, BucketStatus.CREATED)
ODD_NAMES = ["a&b<c>\"d'", "a b+c%20", "tab\tnewline\ncr\r", "//x/../", "你😀", "\x01\x1f\x7f", "]]>"]


def query(text: str, version: int = 2) -> Any:
    return list_query(RequestHead("GET", "/photos", text, ()), version)


def entry(name: str) -> ObjectEntry:
    store = Store(ManualClock())
    job = store._job(PutOrder("photos", name, ALICE, 5, StorageParams()), b"hello")
    return ObjectEntry(job, 1_700_000_000_123)


def keys(document: bytes) -> list[str | None]:
    return [key.text for key in ET.fromstring(document).iter(f"{NS}Key")]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_every_name_survives_a_listing_in_url_encoding(name: str) -> None:
    page = Listing((entry(name),), (name,), name)
    root = ET.fromstring(listing(BUCKET, query("list-type=2&encoding-type=url"), page))
    assert [unquote_plus(key.text or "") for key in root.iter(f"{NS}Key")] == [name]
    assert [unquote_plus(p.text or "") for p in root.iterfind(f"{NS}CommonPrefixes/{NS}Prefix")] == [name]


@pytest.mark.parametrize("name", [name for name in ODD_NAMES if "\x01" not in name])
def test_every_name_that_xml_can_hold_survives_a_plain_listing(name: str) -> None:
    assert keys(listing(BUCKET, query(""), Listing((entry(name),), (), None))) == [name]


def test_characters_that_xml_forbids_are_references_as_in_s3() -> None:
    assert escaped("\x01\x1f\x7f\ufffe") == "&#x1;&#x1F;&#x7F;&#xFFFE;"


def test_a_page_says_where_the_next_one_starts() -> None:
    page = Listing((entry("a"), entry("b")), ("c/",), "c/")
    first = ET.fromstring(listing(BUCKET, query("prefix=x&delimiter=/&max-keys=3&start-after=0"), page))
    shown = {child.tag.removeprefix(NS): child.text for child in first if len(child) == 0}
    assert shown == {
        "Name": "photos",
        "Prefix": "x",
        "KeyCount": "3",
        "StartAfter": "0",
        "NextContinuationToken": shown["NextContinuationToken"],
        "MaxKeys": "3",
        "Delimiter": "/",
        "IsTruncated": "true",
    }
    following = query(f"continuation-token={shown['NextContinuationToken']}&start-after=0")
    assert following.after == "c/"
    last = ET.fromstring(listing(BUCKET, following, Listing((), (), None)))
    assert last.findtext(f"{NS}IsTruncated") == "false"
    assert last.findtext(f"{NS}ContinuationToken") == shown["NextContinuationToken"]


def test_the_first_version_pages_by_marker_and_shows_owners() -> None:
    root = ET.fromstring(listing(BUCKET, query("marker=a", 1), Listing((entry("b"),), (), "b")))
    assert (root.findtext(f"{NS}Marker"), root.findtext(f"{NS}NextMarker")) == ("a", "b")
    assert root.findtext(f"{NS}Contents/{NS}Owner/{NS}ID") == ALICE
    assert root.find(f"{NS}KeyCount") is None


def test_owners_are_shown_in_the_second_version_only_when_asked() -> None:
    page = Listing((entry("b"),), (), None)
    for text, shown in (("", None), ("fetch-owner=false", None), ("fetch-owner=true", ALICE)):
        root = ET.fromstring(listing(BUCKET, query(text), page))
        assert root.findtext(f"{NS}Contents/{NS}Owner/{NS}ID") == shown


def test_an_entry_shows_what_a_head_would() -> None:
    contents = ET.fromstring(listing(BUCKET, query(""), Listing((entry("b"),), (), None))).find(f"{NS}Contents")
    assert contents is not None
    assert contents.findtext(f"{NS}ETag") == f'"{entry("b").etag}"'
    assert contents.findtext(f"{NS}Size") == "5"
    assert contents.findtext(f"{NS}LastModified") == "2023-11-14T22:13:20.123Z"


@pytest.mark.parametrize(
    "text",
    [
        "max-keys=-1",
        "max-keys=x",
        "max-keys=1.5",
        "encoding-type=base64",
        "continuation-token=%C3%BC",
        "continuation-token=AA%3D%3D",
        "prefix=%00",
        "marker=%00",
        "delimiter=%00",
    ],
)
def test_a_parameter_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(gw.InvalidArgument):
        query(text, 1 if "marker" in text else 2)


@pytest.mark.parametrize(("text", "keys"), [("", 1000), ("max-keys=0", 0), ("max-keys=7", 7), ("max-keys=5000", 1000)])
def test_a_page_has_a_thousand_keys_at_most(text: str, keys: int) -> None:
    assert query(text).max_keys == keys


def test_us_east_1_has_no_name_in_a_location() -> None:
    assert ET.fromstring(location("us-east-1")).text is None
    assert ET.fromstring(location("eu-west-1")).text == "eu-west-1"


def test_timestamps_have_milliseconds() -> None:
    assert timestamp(1_700_000_000_007) == "2023-11-14T22:13:20.007Z"


@pytest.mark.parametrize(
    ("body", "region"),
    [
        (b"", ""),
        (b"<CreateBucketConfiguration/>", ""),
        (
            b'<CreateBucketConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            b"<LocationConstraint>eu-west-1</LocationConstraint></CreateBucketConfiguration>",
            "eu-west-1",
        ),
    ],
)
def test_a_location_constraint_is_read(body: bytes, region: str) -> None:
    assert location_constraint(body) == region


@pytest.mark.parametrize(
    "body",
    [b"<a", b"<Other/>", b'<!DOCTYPE x [<!ENTITY a "b">]><CreateBucketConfiguration>&a;</CreateBucketConfiguration>'],
)
def test_xml_that_is_not_what_it_should_be_is_refused(body: bytes) -> None:
    with pytest.raises(gw.MalformedXml):
        location_constraint(body)


# --- errors


def test_an_error_document_holds_what_clients_look_for() -> None:
    answer = s3_answer(sp.NoSuchBucket("pho<tos"))
    document = s3_error(answer.code, answer.message, "/pho<tos/k", "req1", answer.extra)
    root = ET.fromstring(document)
    assert {child.tag: child.text for child in root} == {
        "Code": "NoSuchBucket",
        "Message": "No such bucket. (bucket=pho<tos)",
        "BucketName": "pho<tos",
        "Resource": "/pho<tos/k",
        "RequestId": "req1",
    }


def test_a_signed_digest_has_a_code_of_its_own() -> None:
    assert s3_answer(sp.PayloadDigestMismatch("x-amz-content-sha256", "a", "b")).code == "XAmzContentSHA256Mismatch"
    assert s3_answer(sp.PayloadDigestMismatch("content-md5", "a", "b")).code == "BadDigest"


EXAMPLES: list[tuple[SpError, tuple[str, int], tuple[str, int]]] = [
    (sp.AccessDenied("a", "b", "c"), ("AccessDenied", 403), ("50004", 401)),
    (sp.SignatureMismatch("x"), ("SignatureDoesNotMatch", 403), ("50015", 406)),
    (sp.NoSuchObject("b", "k"), ("NoSuchKey", 404), ("50025", 404)),
    (sp.NotForThisSp("b", "http://x"), ("TemporaryRedirect", 307), ("50014", 406)),
    (sp.Overloaded("x"), ("SlowDown", 503), ("960001", 429)),
    (sp.PayloadSizeMismatch(1, 2), ("IncompleteBody", 400), ("110008", 400)),
    (sp.InvalidRange(3), ("InvalidRange", 416), ("50012", 400)),
    (gw.ExpiryRefused("x"), ("ExpiredToken", 400), ("50023", 400)),
    (gw.OnChainOnly("x"), ("InvalidRequest", 400), ("50008", 400)),
    (gw.NotSupported("x"), ("NotImplemented", 501), ("50008", 400)),
    (sp.InternalError("r"), ("InternalError", 500), ("999999", 500)),
    (gw.NoSuchConfiguration("NoSuchBucketPolicy", "b"), ("NoSuchBucketPolicy", 404), ("999999", 404)),
]


@pytest.mark.parametrize(("error", "s3", "greenfield"), EXAMPLES, ids=lambda e: type(e).__name__)
def test_an_error_has_a_code_in_both_worlds(error: SpError, s3: tuple[str, int], greenfield: tuple[str, int]) -> None:
    assert (s3_answer(error).code, s3_answer(error).status) == s3
    assert (greenfield_answer(error).code, greenfield_answer(error).status) == greenfield


@pytest.mark.parametrize("kind", list(Kind))
def test_an_error_that_the_table_does_not_know_is_answered_by_its_kind(kind: Kind) -> None:
    error = sp.SpError()
    error.kind = kind  # type: ignore[misc]  # a class attribute, overridden for one instance
    assert 400 <= s3_answer(error).status <= 503
    assert greenfield_answer(error).code == "999999"


def test_busy_and_unavailable_are_told_when_to_come_back() -> None:
    assert s3_answer(sp.Overloaded("x")).headers["Retry-After"] == "1"
    assert "Retry-After" not in s3_answer(sp.AccessDenied("a", "b", "c")).headers


def test_every_error_of_the_gateway_is_in_the_s3_table() -> None:
    ours = {e for e in SpError.registry.values() if e.__module__ == "gateway.errors"} - {gw.NoSuchConfiguration}
    assert ours - S3.keys() == set()
    assert all(status >= 300 for _, status in [*S3.values(), *GREENFIELD.values()])
