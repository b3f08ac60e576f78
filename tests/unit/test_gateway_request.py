"""What a request names, and what it asks for."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.conditions import check_conditions, http_date, requested_range
from gateway.errors import (
    InvalidBucketName,
    InvalidObjectName,
    InvalidUri,
    MethodNotAllowed,
    NameTooLong,
    NoSuchVersion,
    NotModified,
    NotSupported,
)
from gateway.request import RequestHead, Target, check_bucket_name, host_without_port, resolve
from gateway.routes import Operation, operation_of
from sp.domain.errors import InvalidRange, PreconditionFailed

DOMAIN = "sp.example.com"


def head(target: str, method: str = "GET", host: str = "127.0.0.1:9033", **headers: str) -> RequestHead:
    more = [(name.replace("_", "-"), value) for name, value in headers.items()]
    return RequestHead.of_target(method, target, [("Host", host), *more])


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("/b/a+b", "a+b"),
        ("/b/a%2Bb", "a+b"),
        ("/b/a%20b", "a b"),
        ("/b/a%2Fb", "a/b"),
        ("/b/a%252Fb", "a%2Fb"),
        ("/b//a", "/a"),
        ("/b/a//b//", "a//b//"),
        ("/b/../a", "../a"),
        ("/b/./a/..", "./a/.."),
        ("/b/%2e%2e/a", "../a"),
        ("/b/a%3Fb", "a?b"),
        ("/b/a%23b", "a#b"),
        ("/b/%E4%BD%A0%F0%9F%98%80", "你😀"),
        ("/b/你", "你"),
        ("/b/%01%0A", "\x01\n"),
        ("http://other.host/b/a?x", "a"),
    ],
)
def test_a_name_is_decoded_once_and_otherwise_left_alone(target: str, name: str) -> None:
    assert resolve(head(target), DOMAIN) == Target("b", name)


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=200))
def test_every_name_survives_the_way_through_a_url(name: str) -> None:
    for keep in ("", "/", "/+:@!$&'()*,;=~"):
        assert resolve(head(f"/bucket/{quote(name, safe=keep)}"), "").object_name == name


@pytest.mark.parametrize("target", ["/b", "/b/", "/b?x=/a"])
def test_without_a_name_the_bucket_is_meant(target: str) -> None:
    assert resolve(head(target), DOMAIN) == Target("b", None)


def test_without_a_bucket_the_provider_is_meant() -> None:
    assert resolve(head("/?x-id=ListBuckets"), DOMAIN) == Target(None, None)


@pytest.mark.parametrize("host", ["photos.sp.example.com", "photos.SP.example.com:9033"])
def test_the_host_may_name_the_bucket(host: str) -> None:
    assert resolve(head("/b/a", host=host), DOMAIN) == Target("photos", "b/a")
    assert resolve(head("//b", host=host), DOMAIN) == Target("photos", "/b")
    assert resolve(head("/", host=host), DOMAIN) == Target("photos", None)


@pytest.mark.parametrize("host", ["sp.example.com", "sp.example.com:80", "photos.other.com", "xsp.example.com", ""])
def test_another_host_leaves_the_bucket_to_the_path(host: str) -> None:
    assert resolve(head("/b/a", host=host), DOMAIN) == Target("b", "a")


def test_a_dotted_bucket_may_stand_in_the_host() -> None:
    assert resolve(head("/k", host="a.b.c.sp.example.com"), DOMAIN) == Target("a.b.c", "k")


@pytest.mark.parametrize(
    ("host", "bare"),
    [("h:80", "h"), ("h", "h"), ("[::1]:9033", "[::1]"), ("[::1]", "[::1]"), ("1.2.3.4:1", "1.2.3.4")],
)
def test_a_port_is_cut_off_a_host(host: str, bare: str) -> None:
    assert host_without_port(host) == bare


def test_a_name_may_have_1024_bytes_and_no_more() -> None:
    assert resolve(head("/b/" + "%C3%A4" * 512), "").object_name == "ä" * 512
    with pytest.raises(NameTooLong) as refused:
        resolve(head("/b/" + "%C3%A4" * 512 + "x"), "")
    assert refused.value.size_bytes == 1025


@pytest.mark.parametrize("target", ["/b/%FF", "/b/a%00b", "/b/\udcff"])
def test_a_name_that_cannot_be_kept_is_refused(target: str) -> None:
    with pytest.raises(InvalidObjectName):
        resolve(head(target), "")


@pytest.mark.parametrize("target", ["/b/%zz", "/b/a%2", "/%"])
def test_a_broken_escape_is_refused(target: str) -> None:
    with pytest.raises(InvalidUri):
        resolve(head(target), "")


@pytest.mark.parametrize("target", ["b/a", "*", ""])
def test_a_target_that_is_no_path_is_refused(target: str) -> None:
    with pytest.raises(InvalidUri):
        head(target)


@pytest.mark.parametrize("bucket", ["abc", "a-b", "a.b", "0a1", "x" * 63])
def test_valid_bucket_names_pass(bucket: str) -> None:
    check_bucket_name(bucket)


@pytest.mark.parametrize(
    "bucket",
    ["ab", "x" * 64, "Abc", "a_b", "-ab", "ab-", ".ab", "a..b", "a.-b", "a-.b", "1.2.3.4", "a/b", "ä12", "status", ""],
)
def test_invalid_bucket_names_are_refused(bucket: str) -> None:
    with pytest.raises(InvalidBucketName):
        check_bucket_name(bucket)


def test_repeated_headers_are_joined_and_names_have_no_case() -> None:
    sent = RequestHead("GET", "/", "", (("X-A", "1"), ("x-a", "2")))
    assert (sent.header("x-a"), sent.values("x-a"), sent.header("x-b", "none")) == ("1,2", ["1", "2"], "none")


def test_a_head_does_not_show_its_headers() -> None:
    assert "secret" not in repr(head("/b", authorization="secret"))


def test_query_values_are_form_encoded() -> None:
    given = head("/b?prefix=a+b%2Bc&marker&x=1&x=2&=").parameters()
    assert given == {"prefix": "a b+c", "marker": "", "x": "1", "": ""}


# --- operations


OPERATIONS = [
    ("GET", "/", Operation.LIST_BUCKETS),
    ("GET", "/?x-id=ListBuckets", Operation.LIST_BUCKETS),
    ("PUT", "/b", Operation.CREATE_BUCKET),
    ("HEAD", "/b/", Operation.HEAD_BUCKET),
    ("DELETE", "/b", Operation.DELETE_BUCKET),
    ("GET", "/b?location=", Operation.LOCATION),
    ("GET", "/b?versioning", Operation.EMPTY_CONFIGURATION),
    ("GET", "/b?requestPayment=", Operation.EMPTY_CONFIGURATION),
    ("GET", "/b?policyStatus", Operation.CONFIGURATION),
    ("DELETE", "/b?policy", Operation.DROP_CONFIGURATION),
    ("GET", "/b?acl", Operation.BUCKET_ACL),
    ("PUT", "/b?acl=", Operation.PUT_BUCKET_ACL),
    ("POST", "/b?delete", Operation.DELETE_OBJECTS),
    ("POST", "/b/?delete=", Operation.DELETE_OBJECTS),
    ("GET", "/b?versions&prefix=a&max-keys=1&key-marker=&version-id-marker=", Operation.LIST_VERSIONS),
    ("OPTIONS", "/b", Operation.PREFLIGHT),
    ("OPTIONS", "/b/k", Operation.PREFLIGHT),
    ("GET", "/b/k?acl", Operation.OBJECT_ACL),
    ("PUT", "/b/k?acl", Operation.PUT_OBJECT_ACL),
    ("GET", "/b/k?tagging&versionId=null", Operation.TAGGING),
    ("PUT", "/b/k?tagging", Operation.PUT_TAGGING),
    ("DELETE", "/b/k?tagging", Operation.DELETE_TAGGING),
    ("GET", "/b/k?attributes", Operation.ATTRIBUTES),
    ("GET", "/b/k?retention", Operation.OBJECT_LOCK),
    ("GET", "/b/k?versionId=null", Operation.GET_OBJECT),
    ("HEAD", "/b/k?versionId=null", Operation.HEAD_OBJECT),
    ("DELETE", "/b/k?versionId=null", Operation.DELETE_OBJECT),
    ("GET", "/?prefix=a&max-buckets=2", Operation.LIST_BUCKETS),
    ("GET", "/b?policy", Operation.CONFIGURATION),
    ("GET", "/b?cors=", Operation.CONFIGURATION),
    ("GET", "/b", Operation.LIST_OBJECTS),
    ("GET", "/b?prefix=&delimiter=%2F&marker=x&max-keys=3&encoding-type=url", Operation.LIST_OBJECTS),
    ("GET", "/b?list-type=2&start-after=a&fetch-owner=true", Operation.LIST_OBJECTS_V2),
    ("PUT", "/b/k?x-id=PutObject", Operation.PUT_OBJECT),
    ("GET", "/b/k", Operation.GET_OBJECT),
    ("GET", "/b/k?cachebuster=7", Operation.GET_OBJECT),
    ("HEAD", "/b/k", Operation.HEAD_OBJECT),
    ("DELETE", "/b/k", Operation.DELETE_OBJECT),
    ("GET", "/b/k?upload-progress=", Operation.UPLOAD_PROGRESS),
    ("GET", "/b?uploads", Operation.LIST_UPLOADS),
    ("POST", "/b/k?uploads", Operation.CREATE_UPLOAD),
    ("PUT", "/b/k?partNumber=1&uploadId=x", Operation.UPLOAD_PART),
    ("HEAD", "/b/k?partNumber=1", Operation.HEAD_OBJECT),
    ("GET", "/b/k?partNumber=1", Operation.GET_OBJECT),
    ("POST", "/b", Operation.POST_OBJECT),
    ("GET", "/b/k?uploadId=x", Operation.LIST_PARTS),
    ("GET", "/status", Operation.STATUS),
    ("PUT", "/status/k", Operation.PUT_OBJECT),
]


@pytest.mark.parametrize(("method", "target", "operation"), OPERATIONS)
def test_a_request_asks_for_one_operation(method: str, target: str, operation: Operation) -> None:
    asked = head(target, method)
    assert operation_of(asked, resolve(asked, "")) is operation


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("PUT", "/b?versioning"),
        ("GET", "/b?list-type=2&policy"),
        ("PUT", "/b/k?versionId=null"),
        ("PUT", "/b/k?retention"),
        ("PUT", "/b?policy"),
        ("DELETE", "/b?versioning"),
        ("DELETE", "/b?acl"),
        ("DELETE", "/b/k?acl"),
        ("POST", "/b?anything"),
        ("POST", "/b?delete&prefix=a"),
        ("GET", "/b?versions&list-type=2"),
        ("PUT", "/b/k?anything"),
        ("DELETE", "/b/k?partNumber=1"),
        ("GET", "/b/k?object-policies"),
        ("GET", "/b?read-quota&year-month=2024-01"),
        ("GET", "/greenfield/admin/v1/get-recommended-vgf"),
        ("GET", "/?objects-query&ids=1"),
    ],
)
def test_what_s3_has_and_we_do_not_is_refused_as_such(method: str, target: str) -> None:
    asked = head(target, method)
    with pytest.raises(NotSupported):
        operation_of(asked, resolve(asked, ""))


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
def test_an_object_has_no_version_but_null(method: str) -> None:
    asked = head("/b/k?versionId=3sL4kqtJlcpXroDTDmJ", method)
    with pytest.raises(NoSuchVersion):
        operation_of(asked, resolve(asked, ""))


@pytest.mark.parametrize(("method", "target"), [("PATCH", "/b/k"), ("PATCH", "/b"), ("PUT", "/"), ("OPTIONS", "/")])
def test_a_method_that_fits_nothing_is_not_allowed(method: str, target: str) -> None:
    asked = head(target, method)
    with pytest.raises(MethodNotAllowed):
        operation_of(asked, resolve(asked, ""))


# --- ranges and conditions

ETAG = "ab12-1"
AT_MS = 1_700_000_000_999


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ("bytes=0-0", (0, 1)),
        ("bytes=2-5", (2, 6)),
        ("bytes=2-", (2, 10)),
        ("bytes=-3", (7, 10)),
        ("bytes=-30", (0, 10)),
        ("bytes=9-100", (9, 10)),
        ("", None),
        ("bytes=-", None),
        ("bytes=5-2", None),
        ("bytes=0-1,3-4", None),
        ("bits=0-1", None),
        ("bytes=a-b", None),
        (f"bytes=0-{'9' * 5000}", None),
        ("bytes=٣-٥", None),
    ],
)
def test_a_range_is_resolved_or_ignored(sent: str, expected: tuple[int, int] | None) -> None:
    assert requested_range(head("/b/k", range=sent), 10, ETAG, AT_MS) == expected


@pytest.mark.parametrize("sent", ["bytes=10-", "bytes=10-20", "bytes=-0"])
def test_a_range_past_the_end_is_refused(sent: str) -> None:
    with pytest.raises(InvalidRange):
        requested_range(head("/b/k", range=sent), 10, ETAG, AT_MS)


@pytest.mark.parametrize(
    ("if_range", "heeded"), [('"ab12-1"', True), ('"other"', False), (http_date(AT_MS), True), (http_date(0), False)]
)
def test_a_range_of_other_content_is_ignored(if_range: str, heeded: bool) -> None:
    asked = head("/b/k", range="bytes=0-1", if_range=if_range)
    assert (requested_range(asked, 10, ETAG, AT_MS) is not None) == heeded


CONDITIONS: list[tuple[dict[str, str], type[Exception] | None]] = [
    ({"if_match": '"ab12-1"'}, None),
    ({"if_match": "ab12-1"}, None),
    ({"if_match": '"x", "ab12-1"'}, None),
    ({"if_match": "*"}, None),
    ({"if_match": '"x"'}, PreconditionFailed),
    ({"if_none_match": '"x"'}, None),
    ({"if_none_match": 'W/"ab12-1"'}, NotModified),
    ({"if_none_match": "*"}, NotModified),
    ({"if_modified_since": http_date(AT_MS)}, NotModified),
    ({"if_modified_since": http_date(AT_MS - 1000)}, None),
    ({"if_modified_since": "yesterday"}, None),
    ({"if_unmodified_since": http_date(AT_MS)}, None),
    ({"if_unmodified_since": http_date(AT_MS - 1000)}, PreconditionFailed),
    ({"if_match": '"ab12-1"', "if_unmodified_since": http_date(0)}, None),
    ({"if_none_match": '"x"', "if_modified_since": http_date(AT_MS)}, None),
]


@pytest.mark.parametrize(("sent", "refused"), CONDITIONS)
def test_conditions_are_judged_in_their_order(sent: dict[str, str], refused: type[Exception] | None) -> None:
    asked = head("/b/k", **sent)
    if refused is None:
        check_conditions(asked, ETAG, AT_MS)
    else:
        with pytest.raises(refused):
            check_conditions(asked, ETAG, AT_MS)
