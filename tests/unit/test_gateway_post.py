"""PostObject: forms with policies, as browsers and `generate_presigned_post` send them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
import pytest_asyncio

from gateway.errors import InvalidArgument
from gateway.form_errors import FormTooLarge, MalformedForm
from gateway.post_form import MAX_FORM_BYTES, FormReader, boundary_of
from tests.unit.gateway_site import Reply, Site, anonymous, site_with
from tests.unit.gateway_world import ACCESS_KEY, BOB, OTHER_ACCESS_KEY, OTHER_SECRET_KEY, SECRET_KEY

BOUNDARY = "x-boundary"
FORM = ("Content-Type", f"multipart/form-data; boundary={BOUNDARY}")
Fields = list[tuple[str, Any]]


@pytest_asyncio.fixture
async def site() -> AsyncIterator[Site]:
    async with site_with() as made:
        yield made


def body_of(fields: Fields, filename: str = "foo.txt") -> bytes:
    parts = b""
    for name, value in fields:
        more = f'; filename="{filename}"' if name == "file" else ""
        content = value if isinstance(value, bytes) else str(value).encode()
        parts += f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode() + content
        parts += b"\r\n"
    return parts + f"--{BOUNDARY}--\r\n".encode()


def expires(seconds: int = 600) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def conditions(*more: Any) -> list[Any]:
    return [
        {"bucket": "photos"},
        ["starts-with", "$key", "foo"],
        {"acl": "private"},
        ["starts-with", "$Content-Type", "text/plain"],
        *more,
    ]


def form_of(document: Any, *more: tuple[str, Any], without: tuple[str, ...] = (), **changed: Any) -> Fields:
    """A form whose policy is this document, signed with Version 2; its key is foo.txt and its file bar."""
    policy = base64.b64encode(json.dumps(document).encode()).decode()
    signature = base64.b64encode(hmac.new(SECRET_KEY.encode(), policy.encode(), hashlib.sha1).digest()).decode()
    fields = {
        "key": "foo.txt",
        "AWSAccessKeyId": ACCESS_KEY,
        "acl": "private",
        "signature": signature,
        "policy": policy,
        "Content-Type": "text/plain",
        **changed,
    }
    content = fields.pop("file", b"bar")
    return [*((n, v) for n, v in fields.items() if n not in without), *more, ("file", content)]


async def post(site: Site, fields: Fields, target: str = "/photos", filename: str = "foo.txt") -> Reply:
    return await site.ask("POST", target, body_of(fields, filename), FORM, sign=anonymous)


async def content(site: Site, key: str) -> bytes:
    return (await site.ask("GET", f"/photos/{key}")).body


# --- what is taken ------------------------------------------------------------------------------------------------


async def test_a_signed_form_is_stored_with_what_its_fields_say(site: Site) -> None:
    wanted = conditions(
        ["content-length-range", 0, 1024], ["starts-with", "$x-amz-meta-foo", "bar"], ["eq", "$Tagging", TAGS]
    )
    form = form_of(
        {"expiration": expires(), "conditions": wanted},
        ("x-amz-meta-foo", "barclamp"),
        ("tagging", TAGS),
        ("x-ignore-a", "1"),
    )
    stored = await post(site, form)
    assert (stored.status, stored.body) == (204, b"")
    assert stored["location"] == f"http://{site.address}/photos/foo.txt"
    read = await site.ask("GET", "/photos/foo.txt")
    assert (read.body, read["content-type"], read["x-amz-meta-foo"]) == (b"bar", "text/plain", "barclamp")
    assert read["x-amz-tagging-count"] == "1"
    assert read["etag"] == stored["etag"] == f'"{hashlib.md5(b"bar").hexdigest()}"'


TAGS = "<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>"


async def test_a_form_of_boto3_is_taken(site: Site) -> None:
    client = boto3.client(
        "s3",
        endpoint_url=f"http://{site.address}",
        region_name="us-east-1",
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        config=boto3.session.Config(signature_version="s3v4", s3={"addressing_style": "path"}),
    )
    made = client.generate_presigned_post("photos", "up/${filename}", Conditions=[["content-length-range", 3, 3]])
    assert made["url"].endswith("/photos")
    assert (await post(site, [*made["fields"].items(), ("file", b"bar")], filename="C:\\a\\ü.txt")).status == 204
    assert await content(site, "up/%C3%BC.txt") == b"bar"
    made["fields"]["x-amz-signature"] = "0" * 64
    refused = await post(site, [*made["fields"].items(), ("file", b"bar")])
    assert (refused.status, refused.code) == (403, "SignatureDoesNotMatch")


async def test_names_of_fields_and_operators_have_no_case(site: Site) -> None:
    document = {
        "expiration": expires(),
        "conditions": [
            {"bUcKeT": "photos"},
            ["StArTs-WiTh", "$KeY", "foo"],
            {"AcL": "private"},
            ["eq", "$CoNtEnT-TyPe", "text/plain"],
        ],
    }
    form = [
        ({"key": "kEy", "policy": "pOLICy", "acl": "aCl"}.get(name, name), value) for name, value in form_of(document)
    ]
    assert (await post(site, form)).status == 204


async def test_a_dollar_may_be_escaped(site: Site) -> None:
    document = {
        "expiration": expires(),
        "conditions": [*conditions()[::2], ["starts-with", "$key", "\\$foo"], ["starts-with", "$content-type", ""]],
    }
    assert (await post(site, form_of(document, key="\\$foo.txt"))).status == 204
    assert (await post(site, form_of(document, key="$foo.txt"))).status == 204
    assert (await post(site, form_of(document, key="foo.txt"))).status == 403


@pytest.mark.parametrize(("asked", "status"), [("200", 200), ("204", 204), ("404", 204), ("", 204)])
async def test_the_form_says_how_success_is_answered(site: Site, asked: str, status: int) -> None:
    document = {"expiration": expires(), "conditions": conditions(["starts-with", "$success_action_status", ""])}
    stored = await post(site, form_of(document, ("success_action_status", asked)))
    assert (stored.status, stored.body) == (status, b"")


async def test_a_201_brings_a_document(site: Site) -> None:
    document = {"expiration": expires(), "conditions": conditions({"success_action_status": "201"})}
    stored = await post(site, form_of(document, ("success_action_status", "201"), key="foo bar&.txt"))
    assert stored.status == 201
    location = f"http://{site.address}/photos/foo%20bar%26.txt"
    assert stored.body.endswith(
        f"<PostResponse><Location>{location}</Location><Bucket>photos</Bucket><Key>foo bar&amp;.txt</Key>"
        f"<ETag>&quot;{hashlib.md5(b'bar').hexdigest()}&quot;</ETag></PostResponse>".encode()
    )


@pytest.mark.parametrize(
    ("redirect", "mark"), [("http://example.com/done", "?"), ("https://example.com/done?a=b", "&")]
)
async def test_success_redirects_where_the_form_says(site: Site, redirect: str, mark: str) -> None:
    document = {"expiration": expires(), "conditions": conditions(["eq", "$success_action_redirect", redirect])}
    stored = await post(site, form_of(document, ("success_action_redirect", redirect)))
    etag = hashlib.md5(b"bar").hexdigest()
    assert stored.status == 303
    assert stored["location"] == f"{redirect}{mark}bucket=photos&key=foo.txt&etag=%22{etag}%22"


async def test_what_is_no_url_is_no_redirect(site: Site) -> None:
    document = {"expiration": expires(), "conditions": conditions(["starts-with", "$success_action_redirect", ""])}
    for redirect in ("done.html", "http://a\r\nSet-Cookie: b", "javascript:alert(1)"):
        assert (await post(site, form_of(document, ("success_action_redirect", redirect)))).status == 204


async def test_a_large_file_is_streamed(site: Site) -> None:
    payload = bytes(range(256)) * 4096 * 5 + b"\r\n--x-boundar"
    assert (
        await post(site, form_of({"expiration": expires(), "conditions": conditions()}, file=payload))
    ).status == 204
    assert await content(site, "foo.txt") == payload


# --- what is refused ----------------------------------------------------------------------------------------------


def _with(*more: Any, **document: Any) -> dict[str, Any]:
    return {"expiration": expires(), "conditions": conditions(*more), **document}


@pytest.mark.parametrize(
    ("document", "changed", "expected"),
    [
        (_with(), {"signature": "AAAAAAAAAAAAAAAAAAAAAAAAAAA="}, (403, "SignatureDoesNotMatch")),
        (_with(), {"signature": "no base64"}, (403, "SignatureDoesNotMatch")),
        (_with(), {"AWSAccessKeyId": "foo"}, (403, "InvalidAccessKeyId")),
        (_with(), {"without": ("signature",)}, (400, "InvalidArgument")),
        (_with(), {"without": ("policy",)}, (400, "InvalidArgument")),
        (_with(), {"without": ("policy", "signature", "AWSAccessKeyId")}, (403, "AccessDenied")),
        (_with(), {"without": ("key",)}, (400, "InvalidArgument")),
        (_with(), {"without": ("acl",)}, (403, "AccessDenied")),
        (_with(), {"key": "other"}, (403, "AccessDenied")),
        (_with(), {"x-amz-meta-foo": "unforeseen"}, (403, "AccessDenied")),
        (_with(["eq", "$x-amz-meta-foo", ""]), {"x-amz-meta-foo": "barclamp"}, (403, "AccessDenied")),
        (_with(["starts-with", "$x-amz-meta-foo", "bar"]), {}, (403, "AccessDenied")),
        (_with(conditions=conditions()[1:]), {}, (403, "AccessDenied")),
        (_with(expiration=expires(-600)), {}, (403, "AccessDenied")),
        (_with(expiration="2099-01-01 00:00:00"), {}, (400, "InvalidPolicyDocument")),
        (_with(expiration=None), {}, (400, "InvalidPolicyDocument")),
        ({"EXPIRATION": expires(), "conditions": conditions()}, {}, (400, "InvalidPolicyDocument")),
        ({"expiration": expires(), "CONDITIONS": conditions()}, {}, (400, "InvalidPolicyDocument")),
        ({"expiration": expires()}, {}, (400, "InvalidPolicyDocument")),
        (_with(conditions=[{}]), {}, (400, "InvalidPolicyDocument")),
        (_with(["ends-with", "$key", "x"]), {}, (400, "InvalidPolicyDocument")),
        (_with(["content-length-range", 0]), {}, (400, "InvalidPolicyDocument")),
        (_with(["content-length-range", -1, 0]), {}, (400, "InvalidPolicyDocument")),
        (_with(["content-length-range", True, 5]), {}, (400, "InvalidPolicyDocument")),
        (_with(["content-length-range", 0, 0]), {}, (400, "EntityTooLarge")),
        (_with(["content-length-range", 512, 1000]), {}, (400, "EntityTooSmall")),
        (_with({"x-amz-checksum-sha256": hashlib.sha256(b"bar").hexdigest()}), {}, (403, "AccessDenied")),
        (
            _with({"content-md5": "gnzLDuqKcGxMNKFokfhOew=="}),
            {"Content-MD5": "gnzLDuqKcGxMNKFokfhOew=="},
            (400, "BadDigest"),
        ),
        (_with(["starts-with", "$x-amz-meta-a", ""]), {"x-amz-meta-a": "b\r\nSet-Cookie: c"}, (400, "InvalidArgument")),
        (
            _with(["starts-with", "$x-amz-storage-class", ""]),
            {"x-amz-storage-class": "GLACIER"},
            (501, "NotImplemented"),
        ),
        (_with(["starts-with", "$x-amz-copy-source", ""]), {"x-amz-copy-source": "a/b"}, (501, "NotImplemented")),
        (_with(), {"key": "foo" + "x" * 1022}, (400, "KeyTooLongError")),
    ],
)
async def test_a_form_that_is_not_as_its_policy_says_stores_nothing(
    site: Site, document: Any, changed: dict[str, Any], expected: tuple[int, str]
) -> None:
    refused = await post(site, form_of(document, **changed))
    assert (refused.status, refused.code) == expected
    assert not site.world.store.held


async def test_a_policy_that_is_no_json_is_refused(site: Site) -> None:
    policy = base64.b64encode(b"not json").decode()
    signature = base64.b64encode(hmac.new(SECRET_KEY.encode(), policy.encode(), hashlib.sha1).digest()).decode()
    refused = await post(site, form_of({}, policy=policy, signature=signature))
    assert (refused.status, refused.code) == (400, "InvalidPolicyDocument")


async def test_the_signer_of_the_policy_needs_the_permission_of_a_put(site: Site) -> None:
    site.world.bucket("bobs", BOB)
    document = {
        "expiration": expires(),
        "conditions": [["starts-with", f"${name}", ""] for name in ("bucket", "key", "acl", "content-type")],
    }
    assert (await post(site, form_of(document), "/bobs")).code == "AccessDenied"
    policy = dict(form_of(document))["policy"]
    by_bob = hmac.new(OTHER_SECRET_KEY.encode(), policy.encode(), hashlib.sha1).digest()
    form = form_of(document, AWSAccessKeyId=OTHER_ACCESS_KEY, signature=base64.b64encode(by_bob).decode())
    assert (await post(site, form, "/bobs")).status == 204


async def test_a_form_in_a_signed_request_is_refused(site: Site) -> None:
    body = body_of(form_of({"expiration": expires(), "conditions": conditions()}))
    refused = await site.ask("POST", "/photos", body, FORM)
    assert (refused.status, refused.code) == (400, "InvalidArgument")


@pytest.mark.parametrize(
    ("content_type", "body", "expected"),
    [
        ("application/x-www-form-urlencoded", b"key=a", (412, "PreconditionFailed")),
        ("multipart/form-data", b"", (400, "MalformedPOSTRequest")),
        (FORM[1], b"\r\n", (400, "MalformedPOSTRequest")),
        (FORM[1], b"nothing of a form", (400, "MalformedPOSTRequest")),
        (FORM[1], body_of([("key", "foo")]), (400, "InvalidArgument")),
        (FORM[1], body_of([("key", "a"), ("KEY", "b"), ("file", b"")]), (400, "InvalidArgument")),
        (FORM[1], body_of([("key", b"\xff"), ("file", b"")]), (400, "InvalidArgument")),
        (FORM[1], body_of([("a", "x" * MAX_FORM_BYTES), ("file", b"")]), (400, "MaxPostPreDataLengthExceeded")),
    ],
)
async def test_what_is_no_form_is_refused(
    site: Site, content_type: str, body: bytes, expected: tuple[int, str]
) -> None:
    refused = await site.ask("POST", "/photos", body, ("Content-Type", content_type), sign=anonymous)
    assert (refused.status, refused.code) == expected


async def test_a_file_that_is_cut_off_is_not_stored(site: Site) -> None:
    body = body_of(form_of({"expiration": expires(), "conditions": conditions()}))
    refused = await site.ask("POST", "/photos", body[: -len(BOUNDARY) - 6], FORM, sign=anonymous)
    assert (refused.status, refused.code) == (400, "MalformedPOSTRequest")
    assert not site.world.store.held


# --- the reader ---------------------------------------------------------------------------------------------------


async def _cut(body: bytes, step: int) -> AsyncIterator[bytes]:
    for at in range(0, len(body), step):
        yield body[at : at + step]


@pytest.mark.parametrize("step", [1, 2, 3, 7, 64, 1 << 20])
async def test_a_form_is_read_alike_however_it_is_cut(step: int) -> None:
    payload = b"\r\n--x-boundar\r\n--x-boundary".replace(b"x-boundary", b"x-boundarx") * 3 + b"\r"
    body = b"preamble\r\n" + body_of([("a", "1"), ("b", "zwei\r\nZeilen"), ("file", payload), ("ignored", "c")])
    reader = FormReader(_cut(body, step), BOUNDARY.encode())
    form = await reader.form()
    assert form.fields == {"a": "1", "b": "zwei\r\nZeilen"}
    assert form.filename == "foo.txt"
    assert b"".join([chunk async for chunk in reader.file()]) == payload


async def test_a_field_without_an_end_is_given_up() -> None:
    async def endless() -> AsyncIterator[bytes]:
        yield f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="a"\r\n\r\n'.encode()
        while True:
            yield b"x" * 1024

    with pytest.raises(FormTooLarge):
        await FormReader(endless(), BOUNDARY.encode()).form()


@pytest.mark.parametrize(
    ("head", "name", "filename"),
    [
        ('form-data; name="file"; filename="a.txt"', "", "a.txt"),
        ("form-data; name=file; filename=a.txt", "", "a.txt"),
        ('form-data; name="file"; filename="C:\\\\dir\\\\a \\"b\\".txt"', "", 'a "b".txt'),
        ("form-data; name=\"file\"; filename*=utf-8''%C3%BC%2Fa.txt", "", "a.txt"),
        ('form-data; name="file"', "", ""),
    ],
)
async def test_the_name_of_the_file_is_read_as_programs_write_it(head: str, name: str, filename: str) -> None:
    body = f"--{BOUNDARY}\r\ncontent-disposition: {head}\r\nContent-Type: a/b\r\n\r\nx\r\n--{BOUNDARY}--".encode()
    assert (await FormReader(_cut(body, 5), BOUNDARY.encode()).form()).filename == filename


@pytest.mark.parametrize("part", ["\r\n\r\n", "Content-Disposition: form-data\r\n\r\n", "\r\nX: y\r\n\r\n"])
async def test_a_part_without_a_name_is_malformed(part: str) -> None:
    body = f"--{BOUNDARY}\r\n{part}x\r\n--{BOUNDARY}--".encode()
    with pytest.raises(MalformedForm):
        await FormReader(_cut(body, 100), BOUNDARY.encode()).form()


def test_a_boundary_may_be_quoted() -> None:
    assert boundary_of('multipart/form-data; charset=utf-8; boundary="a b"') == b"a b"
    assert boundary_of("Multipart/Form-Data;boundary=ab") == b"ab"
    with pytest.raises(MalformedForm):
        boundary_of(f"multipart/form-data; boundary={'x' * 300}")


async def test_a_form_without_a_file_is_told_so() -> None:
    with pytest.raises(InvalidArgument):
        await FormReader(_cut(body_of([("a", "b")]), 9), BOUNDARY.encode()).form()
