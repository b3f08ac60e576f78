"""What the heads and documents of S3's lesser operations say, and what is answered: pure."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import errors as gw
from gateway.acls import ALL_USERS, BUCKET_ACLS, OBJECT_ACLS, acl_document
from gateway.acls import requested as requested_acl
from gateway.attributes import attributes, attributes_of
from gateway.copying import Source, check_source_conditions, completed, copy_of, source_of
from gateway.deletions import Outcome, Wanted, requested_deletions, result
from gateway.preconditions import precondition_of
from gateway.puts import put_without_body
from gateway.request import RequestHead, percent_encoded
from gateway.s3_xml import buckets, buckets_query, location_constraint
from gateway.subresources import EMPTY_CONFIGURATIONS
from gateway.tags import tagging, tags_of_header, tags_of_xml
from gateway.versions import versions, versions_query
from sp.domain.errors import (
    AccessDenied,
    InvalidRequest,
    PreconditionFailed,
    SpError,
)
from sp.domain.jobs import ETAG_HEADER, Listing, ObjectEntry, Precondition, PutOrder
from sp.domain.ledger import Bucket, BucketStatus, Visibility
from sp.domain.params import StorageParams
from sp.runtime.clock import ManualClock
from tests.unit.gateway_world import ALICE, BOB, OPERATOR, Store

NS = "{http://s3.amazonaws.com/doc/2006-03-01/}"
BUCKET = Bucket(1, "photos", ALICE, Visibility.PRIVATE, OPERATOR, 1700, BucketStatus.CREATED)


def head(method: str = "PUT", query: str = "", **headers: str) -> RequestHead:
    return RequestHead(method, "/photos/k", query, tuple((n.replace("_", "-"), v) for n, v in headers.items()))


def entry(name: str = "k", **headers: str) -> ObjectEntry:
    store = Store(ManualClock())
    kept = {n.replace("_", "-"): v for n, v in headers.items()}
    job = store._job(PutOrder("photos", name, ALICE, 5, StorageParams(), headers=kept), b"hello")
    return ObjectEntry(job, 1_700_000_000_123)


# --- copies


@pytest.mark.parametrize(
    ("value", "source"),
    [
        ("photos/k", Source("photos", "k")),
        ("/photos/a/b", Source("photos", "a/b")),
        ("photos//a", Source("photos", "/a")),
        ("photos/a%20b%2Bc", Source("photos", "a b+c")),
        ("photos/a+b", Source("photos", "a b")),
        ("photos%2Fa%2Fb", Source("photos", "a/b")),
        ("photos/a%2520b", Source("photos", "a%20b")),
        ("photos/%E4%BD%A0", Source("photos", "\u4f60")),
        ("photos/k?versionId=null", Source("photos", "k")),
        ("photos/a%3FversionId%3D3", Source("photos", "a?versionId=3")),
    ],
)
def test_a_copy_source_is_decoded_once(value: str, source: Source) -> None:
    assert source_of(head(x_amz_copy_source=value)) == source


@given(st.text(min_size=1, max_size=40).filter(lambda name: "\0" not in name))
def test_every_name_survives_as_a_percent_encoded_source(name: str) -> None:
    value = "/photos/" + percent_encoded(name.encode(), keep="/")
    assert source_of(head(x_amz_copy_source=value)) == Source("photos", name)


@pytest.mark.parametrize(
    ("value", "refusal"),
    [
        ("photos", gw.InvalidArgument),
        ("photos/", gw.InvalidArgument),
        ("/", gw.InvalidArgument),
        ("//k", gw.InvalidArgument),
        ("%FF/k", gw.InvalidArgument),
        ("photos/%FF", gw.InvalidObjectName),
        ("photos/k?versionId=3sL4", gw.NoSuchVersion),
        ("arn:aws:s3:us-east-1:1:accesspoint/a/object/k", gw.NotSupported),
        ("photos/" + "x" * 1025, gw.NameTooLong),
    ],
)
def test_a_source_that_names_nothing_is_refused(value: str, refusal: type[SpError]) -> None:
    with pytest.raises(refusal):
        source_of(head(x_amz_copy_source=value))


@pytest.mark.parametrize(
    ("conditions", "holds"),
    [
        ({"x_amz_copy_source_if_match": '"E"'}, True),
        ({"x_amz_copy_source_if_match": "other"}, False),
        ({"x_amz_copy_source_if_none_match": "other"}, True),
        ({"x_amz_copy_source_if_none_match": "E"}, False),
        ({"x_amz_copy_source_if_modified_since": "Tue, 14 Nov 2023 22:13:19 GMT"}, True),
        ({"x_amz_copy_source_if_modified_since": "Tue, 14 Nov 2023 22:13:20 GMT"}, False),
        ({"x_amz_copy_source_if_unmodified_since": "Tue, 14 Nov 2023 22:13:20 GMT"}, True),
        ({"x_amz_copy_source_if_unmodified_since": "Tue, 14 Nov 2023 22:13:19 GMT"}, False),
        (
            {
                "x_amz_copy_source_if_match": "E",
                "x_amz_copy_source_if_unmodified_since": "Tue, 14 Nov 2023 22:13:19 GMT",
            },
            True,
        ),
        (
            {
                "x_amz_copy_source_if_none_match": "E",
                "x_amz_copy_source_if_modified_since": "Tue, 14 Nov 2023 22:13:19 GMT",
            },
            False,
        ),
        ({"if_match": "other"}, True),
    ],
)
def test_the_conditions_on_a_source(conditions: dict[str, str], holds: bool) -> None:
    found = entry()
    asked = head(**{name: value.replace("E", found.etag) for name, value in conditions.items()})
    if holds:
        check_source_conditions(asked, found)
        return
    with pytest.raises(PreconditionFailed, match=r"(?i)x-amz-copy-source-if-"):
        check_source_conditions(asked, found)


def test_a_copy_takes_the_headers_and_tags_of_its_source_unless_it_says_otherwise() -> None:
    found = replace(
        entry(content_type="text/plain", x_amz_meta_a="1", x_amz_checksum_crc32="NhCmhg=="), tags={"colour": "red"}
    )
    given = {"x_amz_copy_source": "photos/k", "content_type": "image/png", "x_amz_tagging": "size=3"}

    def put(**more: str) -> tuple[dict[str, str], dict[str, str], int | None]:
        asked = head(**given, **more)
        made = completed(copy_of(asked, put_without_body(asked, "photos", "other", "req")), found)
        return made.headers, made.tags, made.size

    checksum = {"x-amz-checksum-crc32": "NhCmhg=="}
    assert put() == ({"content-type": "text/plain", "x-amz-meta-a": "1", **checksum}, {"colour": "red"}, 5)
    assert put(x_amz_metadata_directive="REPLACE") == (
        {"content-type": "image/png", **checksum},
        {"colour": "red"},
        5,
    )
    assert put(x_amz_tagging_directive="REPLACE")[1] == {"size": "3"}


def test_a_copy_has_an_etag_and_checksum_of_its_own_where_the_sources_are_of_its_parts() -> None:
    found = entry(x_amz_checksum_crc32="NhCmhg==-2", x_amz_checksum_type="COMPOSITE", x_sp_etag="abc-2")
    assert found.etag == "abc-2"
    asked = head(x_amz_copy_source="photos/k")
    made = completed(copy_of(asked, put_without_body(asked, "photos", "other", "req")), found)
    assert made.headers == {}
    assert ETAG_HEADER == "x-sp-etag"


def test_a_copy_onto_itself_has_to_change_something() -> None:
    asked = head(x_amz_copy_source="/photos/k")
    with pytest.raises(InvalidRequest, match="illegal"):
        copy_of(asked, put_without_body(asked, "photos", "k", "req"))
    changing = head(x_amz_copy_source="/photos/k", x_amz_metadata_directive="REPLACE")
    assert copy_of(changing, put_without_body(changing, "photos", "k", "req")).replaces_headers


@pytest.mark.parametrize("directive", ["x_amz_metadata_directive", "x_amz_tagging_directive"])
def test_a_directive_is_copy_or_replace(directive: str) -> None:
    asked = head(x_amz_copy_source="photos/k", **{directive: "MERGE"})
    with pytest.raises(gw.InvalidArgument):
        copy_of(asked, put_without_body(asked, "photos", "other", "req"))


# --- deletions


def test_a_delete_document_is_read_with_and_without_namespace() -> None:
    for root in ("<Delete>", '<Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'):
        objects = "<Object><Key> a&amp;b&#13;\n</Key></Object><Object><VersionId>null</VersionId><Key>k</Key></Object>"
        wanted, quiet = requested_deletions(f"{root}{objects}<Quiet>true</Quiet></Delete>".encode())
        assert wanted == [Wanted(" a&b\r\n"), Wanted("k", "null")]
        assert quiet
    (conditional,), quiet = requested_deletions(
        b"<Delete><Object><Key>k</Key><ETag>&quot;e-1&quot;</ETag></Object></Delete>"
    )
    assert (conditional, quiet) == (Wanted("k", "", "e-1"), False)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<Delete/>",
        b"<Delete><Object/></Delete>",
        b"<Other><Object><Key>k</Key></Object></Other>",
        b"<Delete><Object><Key>k</Key></Object>",
        b"<Delete><Object><Key>a&#1;</Key></Object></Delete>",
        b"<Delete>" + b"<Object><Key>k</Key></Object>" * 1001 + b"</Delete>",
        b'<!DOCTYPE x [<!ENTITY a "aaaa">]><Delete><Object><Key>&a;</Key></Object></Delete>',
    ],
)
def test_a_document_that_is_no_deletion_is_malformed(body: bytes) -> None:
    with pytest.raises(gw.MalformedXml):
        requested_deletions(body)


def test_conditions_that_are_not_offered_are_refused_by_name() -> None:
    with pytest.raises(gw.NotSupported, match="Size"):
        requested_deletions(b"<Delete><Object><Key>k</Key><Size>3</Size></Object></Delete>")


def test_each_object_has_its_outcome_and_quiet_tells_only_failures() -> None:
    outcomes = [Outcome(Wanted("a<b"), None), Outcome(Wanted("c", "7"), gw.NoSuchVersion("photos", "c", "7"))]
    root = ET.fromstring(result(outcomes, quiet=False))
    assert [key.text for key in root.iterfind(f"{NS}Deleted/{NS}Key")] == ["a<b"]
    (error,) = root.iterfind(f"{NS}Error")
    assert [(part.tag.removeprefix(NS), part.text) for part in error][:3] == [
        ("Key", "c"),
        ("VersionId", "7"),
        ("Code", "NoSuchVersion"),
    ]
    assert not list(ET.fromstring(result(outcomes, quiet=True)).iterfind(f"{NS}Deleted"))


# --- conditions


@pytest.mark.parametrize(
    ("method", "headers", "expected"),
    [
        ("PUT", {}, None),
        ("PUT", {"if_none_match": "*"}, Precondition(absent=True)),
        ("PUT", {"if_match": '"abc-1"'}, Precondition(etag="abc-1")),
        ("PUT", {"if_match": "abc-1"}, Precondition(etag="abc-1")),
        ("PUT", {"if_match": "*"}, Precondition()),
        ("DELETE", {"if_match": '"abc-1"'}, Precondition(etag="abc-1")),
    ],
)
def test_a_condition_of_a_write(method: str, headers: dict[str, str], expected: Precondition | None) -> None:
    assert precondition_of(head(method, **headers)) == expected


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("PUT", {"if_none_match": '"abc-1"'}),
        ("PUT", {"if_none_match": "*", "if_match": "a"}),
        ("PUT", {"if_match": '"a", "b"'}),
        ("PUT", {"if_unmodified_since": "Tue, 14 Nov 2023 22:13:19 GMT"}),
        ("DELETE", {"if_none_match": "*"}),
        ("DELETE", {"x_amz_if_match_size": "3"}),
    ],
)
def test_a_condition_that_s3_does_not_offer_is_refused(method: str, headers: dict[str, str]) -> None:
    with pytest.raises(gw.NotSupported):
        precondition_of(head(method, **headers))


# --- tags


def test_tags_are_the_same_in_header_and_xml() -> None:
    tags = {"a b": "1+2=3", "gr\u00fcn": "", "path": "/x:y@z_.-"}
    text = "&".join(f"{percent_encoded(k.encode())}={percent_encoded(v.encode())}" for k, v in tags.items())
    assert tags_of_header(head(x_amz_tagging=text)) == tags
    assert tags_of_xml(tagging(tags)) == tags
    assert tags_of_header(head()) == tags_of_xml(tagging({})) == {}


@pytest.mark.parametrize(
    "text",
    [
        "&".join(f"k{n}=v" for n in range(11)),
        "k" * 129 + "=v",
        "k=" + "v" * 257,
        "=v",
        "a=1&a=2",
        "aws:x=1",
        "k=%00",
        "k=%3Cb%3E",
    ],
)
def test_a_tag_set_that_s3_does_not_take_is_invalid(text: str) -> None:
    with pytest.raises(gw.InvalidTag):
        tags_of_header(head(x_amz_tagging=text))


@pytest.mark.parametrize("body", [b"", b"<Tagging/>", b"<Tagging><TagSet><Tag><Key>k</Key></Tag></TagSet></Tagging>"])
def test_a_document_that_is_no_tag_set_is_malformed(body: bytes) -> None:
    with pytest.raises(gw.MalformedXml):
        tags_of_xml(body)


# --- ACLs


@pytest.mark.parametrize("public", [True, False])
def test_an_acl_that_was_read_can_be_put_again(public: bool) -> None:
    document = acl_document(ALICE, public=public)
    expected = Visibility.PUBLIC_READ if public else Visibility.PRIVATE
    assert requested_acl(head(), document, BUCKET_ACLS, ALICE) is expected
    root = ET.fromstring(document)
    permissions = [grant.findtext(f"{NS}Permission") for grant in root.iter(f"{NS}Grant")]
    assert permissions == ["FULL_CONTROL", "READ"][: 1 + public]
    assert root.findtext(f"{NS}Owner/{NS}ID") == ALICE
    assert [uri.text for uri in root.iter(f"{NS}URI")] == [ALL_USERS] * public


def grant(who: str, permission: str) -> str:
    return f"<Grant><Grantee>{who}</Grantee><Permission>{permission}</Permission></Grant>"


OWNER = f"<ID>{ALICE}</ID>"
FULL = grant(OWNER, "FULL_CONTROL")


def policy(grants: str, owner: str = ALICE) -> bytes:
    return (
        f"<AccessControlPolicy><Owner><ID>{owner}</ID></Owner>"
        f"<AccessControlList>{grants}</AccessControlList></AccessControlPolicy>"
    ).encode()


@pytest.mark.parametrize(
    ("body", "refusal"),
    [
        (policy(FULL + grant(f"<URI>{ALL_USERS}</URI>", "WRITE")), gw.NotSupported),
        (policy(FULL + grant(f"<ID>{BOB}</ID>", "READ")), gw.NotSupported),
        (policy(FULL + grant("<EmailAddress>a@b.c</EmailAddress>", "READ")), gw.UnknownEmail),
        (policy(grant(OWNER, "READ")), gw.NotSupported),
        (policy(""), gw.NotSupported),
        (policy(FULL + grant(OWNER, "EVERYTHING")), gw.MalformedAcl),
        (policy(FULL + grant("", "READ")), gw.MalformedAcl),
        (policy(FULL + "<Grant/>"), gw.MalformedAcl),
        (b"<AccessControlPolicy/>", gw.MalformedAcl),
        (b"", gw.MalformedXml),
        (policy(FULL, BOB), AccessDenied),
    ],
)
def test_grants_that_visibility_cannot_express_are_refused(body: bytes, refusal: type[SpError]) -> None:
    with pytest.raises(refusal):
        requested_acl(head(), body, OBJECT_ACLS, ALICE)


def test_canned_acls() -> None:
    for name, visibility in BUCKET_ACLS.items():
        assert requested_acl(head(x_amz_acl=name), b"", BUCKET_ACLS, ALICE) is visibility
    for name in ("public-read-write", "authenticated-read", "log-delivery-write"):
        with pytest.raises(gw.NotSupported):
            requested_acl(head(x_amz_acl=name), b"", OBJECT_ACLS, ALICE)
    with pytest.raises(gw.NotSupported):
        requested_acl(head(x_amz_grant_read=f"id={BOB}"), b"", OBJECT_ACLS, ALICE)


# --- versions, attributes, configurations, buckets


def test_every_object_is_one_version() -> None:
    query, marker = versions_query(head("GET", "versions&prefix=a&key-marker=a0&version-id-marker=null&max-keys=2"))
    assert (query.prefix, query.after, query.max_keys, marker) == ("a", "a0", 2, "null")
    root = ET.fromstring(versions(BUCKET, query, marker, Listing((entry("a1"), entry("a2")), ("b/",), "a2")))
    assert root.tag == f"{NS}ListVersionsResult"
    shown = [
        (v.findtext(f"{NS}Key"), v.findtext(f"{NS}VersionId"), v.findtext(f"{NS}IsLatest"))
        for v in root.iter(f"{NS}Version")
    ]
    assert shown == [("a1", "null", "true"), ("a2", "null", "true")]
    assert (root.findtext(f"{NS}NextKeyMarker"), root.findtext(f"{NS}NextVersionIdMarker")) == ("a2", "null")
    assert root.findtext(f"{NS}IsTruncated") == "true"
    assert root.findtext(f"{NS}CommonPrefixes/{NS}Prefix") == "b/"


@pytest.mark.parametrize("query", ["version-id-marker=null", "key-marker=a&version-id-marker=7", "max-keys=-1"])
def test_markers_that_s3_refuses(query: str) -> None:
    with pytest.raises(gw.InvalidArgument):
        versions_query(head("GET", f"versions&{query}"))


def test_attributes_are_those_that_were_asked_for() -> None:
    found = entry(x_amz_checksum_crc32="NhCmhg==")
    asked = attributes_of(head("GET", x_amz_object_attributes="ETag, ObjectSize,Checksum"))
    root = ET.fromstring(attributes(head("GET"), found, asked))
    assert [(part.tag.removeprefix(NS), part.text) for part in root if not len(part)] == [
        ("ETag", found.etag),
        ("ObjectSize", "5"),
    ]
    assert root.findtext(f"{NS}Checksum/{NS}ChecksumCRC32") == "NhCmhg=="
    for wrong in ("", "Owner", "ETag,Owner"):
        with pytest.raises(gw.InvalidArgument):
            attributes_of(head("GET", x_amz_object_attributes=wrong))


def test_what_is_not_enabled_is_an_empty_document() -> None:
    for name, document in EMPTY_CONFIGURATIONS.items():
        root = ET.fromstring(document)
        assert [(part.tag, part.text) for part in root] == (
            [(f"{NS}Payer", "BucketOwner")] if name == "requestPayment" else []
        )


def test_the_buckets_of_an_account_come_in_pages() -> None:
    owned = [replace(BUCKET, name=name) for name in ("a1", "a2", "a3", "b1")]
    token, seen = "", []
    for _ in range(3):
        query = buckets_query(head("GET", f"max-buckets=2&prefix=a&continuation-token={token}"), "us-east-1")
        root = ET.fromstring(buckets(ALICE, owned, query, "us-east-1"))
        seen.append([name.text for name in root.iter(f"{NS}Name")])
        token = root.findtext(f"{NS}ContinuationToken") or ""
        if not token:
            break
    assert seen == [["a1", "a2"], ["a3"]]
    elsewhere = buckets_query(head("GET", "bucket-region=eu-west-1"), "us-east-1")
    assert not list(ET.fromstring(buckets(ALICE, owned, elsewhere, "us-east-1")).iter(f"{NS}Name"))
    for wrong in ("max-buckets=0", "max-buckets=x", "max-buckets=10001", "continuation-token=%20"):
        with pytest.raises(gw.InvalidArgument):
            buckets_query(head("GET", wrong), "us-east-1")


def test_a_new_bucket_takes_a_region_and_nothing_else() -> None:
    xml = b"<CreateBucketConfiguration>%s</CreateBucketConfiguration>"
    assert location_constraint(xml % b"<LocationConstraint> eu-west-1 </LocationConstraint>") == "eu-west-1"
    assert location_constraint(xml % b"") == location_constraint(b"") == ""
    with pytest.raises(gw.NotSupported):
        location_constraint(xml % b"<Tags><Tag><Key>a</Key><Value>b</Value></Tag></Tags>")
    with pytest.raises(gw.MalformedXml):
        location_constraint(b"<Other/>")
