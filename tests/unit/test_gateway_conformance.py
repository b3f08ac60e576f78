"""What the S3 conformance suites look at, answered by a gateway over neighbours in memory."""

from __future__ import annotations

import base64
import hashlib
import re
import time
import zlib
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio

from gateway.request import RequestHead
from gateway.sign import sign_sigv4
from sp.domain.ledger import Action, Visibility
from tests.unit.gateway_site import Reply, Site, anonymous, signed, site_with, until
from tests.unit.gateway_world import ACCESS_KEY, BOB, OTHER_ACCESS_KEY, OTHER_SECRET_KEY, SECRET_KEY


@pytest_asyncio.fixture
async def site() -> AsyncIterator[Site]:
    async with site_with() as made:
        yield made


def answer(reply: Reply) -> tuple[int, str]:
    return reply.status, reply.code


def md5(payload: bytes) -> str:
    return f'"{hashlib.md5(payload).hexdigest()}"'


# --- ETags --------------------------------------------------------------------------------------------------------


async def test_the_etag_of_a_small_put_is_its_md5_everywhere(site: Site) -> None:
    stored = await site.ask("PUT", "/photos/foo", b"bar")
    assert stored["etag"] == md5(b"bar") == '"37b51d194a7513e45b56f6524f2d51f2"'
    assert (await site.ask("HEAD", "/photos/foo"))["etag"] == stored["etag"]
    assert stored["etag"].encode() in (await site.ask("GET", "/photos")).body.replace(b"&quot;", b'"')
    copied = await site.ask("PUT", "/photos/copy", b"", ("x-amz-copy-source", "/photos/foo"))
    assert stored["etag"].encode() in copied.body.replace(b"&quot;", b'"')
    assert (await site.ask("PUT", "/photos/empty"))["etag"] == md5(b"")


async def test_a_put_above_the_limit_has_its_roots_etag_unless_it_brings_an_md5() -> None:
    async with site_with(etag_md5_max_bytes=4) as site:
        assert re.fullmatch(r'"[0-9a-f]{32}-1"', (await site.ask("PUT", "/photos/a", b"12345"))["etag"])
        assert (await site.ask("PUT", "/photos/a", b"1234"))["etag"] == md5(b"1234")
        brings = ("Content-MD5", "gnzLDuqKcGxMNKFokfhOew==")
        assert (await site.ask("PUT", "/photos/a", b"12345", brings))["etag"] == md5(b"12345")
        assert (await site.ask("HEAD", "/photos/a"))["etag"] == md5(b"12345")


# --- heads that are not as they should be -------------------------------------------------------------------------


@pytest.mark.parametrize("expect", ["200", "", "200-ok"])
async def test_an_expectation_that_nobody_knows_is_ignored(site: Site, expect: str) -> None:
    assert (await site.ask("PUT", "/photos/k", b"x", ("Expect", expect))).status == 200


async def test_an_empty_authorization_is_none(site: Site) -> None:
    asked = await site.ask("PUT", "/photos/k", b"x", ("Authorization", ""), sign=anonymous)
    assert answer(asked) == (403, "AccessDenied")


@pytest.mark.parametrize("date", ["", "Bad Date", "Tue, 07 Jul 2010 21:53:04 GMT"])
async def test_a_request_without_a_signing_time_is_denied(site: Site, date: str) -> None:
    def undated(head: RequestHead) -> list[tuple[str, str]]:
        made = dict(sign_sigv4(head, ACCESS_KEY, SECRET_KEY, int(time.time()), payload=b"x"))
        return [*((name, value) for name, value in made.items() if name.lower() != "x-amz-date"), ("x-amz-date", date)]

    assert answer(await site.ask("PUT", "/photos/k", b"x", sign=undated)) == (403, "AccessDenied")


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("gzip", "gzip"),
        ("deflate, gzip", "deflate, gzip"),
        ("gzip, aws-chunked", "gzip"),
        ("aws-chunked, gzip", "gzip"),
        ("deflate, gzip,aws-chunked", "deflate, gzip"),
        ("aws-chunked", None),
        ("aws-chunked, aws-chunked", None),
    ],
)
async def test_an_encoding_comes_back_as_it_was_sent_but_for_the_framing(
    site: Site, sent: str, kept: str | None
) -> None:
    assert (await site.ask("PUT", "/photos/k", b"x", ("Content-Encoding", sent))).status == 200
    assert (await site.ask("HEAD", "/photos/k")).headers.get("content-encoding") == kept


async def test_a_put_into_a_bucket_that_is_deleted_meanwhile_is_not_acknowledged(site: Site) -> None:
    async with site.connection() as connection:
        await connection.send(
            connection.head("PUT", "/photos/k", ("Content-Length", "4"), sign=signed(b"slow")) + b"sl"
        )
        await until(lambda: site.world.store.orders)
        del site.world.chain.buckets["photos"]
        site.world.chain.height += 1
        await connection.send(b"ow")
        assert answer(await connection.reply()) == (404, "NoSuchBucket")
    assert not site.world.store.held


# --- lists --------------------------------------------------------------------------------------------------------


async def test_an_empty_continuation_token_begins_at_the_beginning_and_is_shown(site: Site) -> None:
    await site.ask("PUT", "/photos/k", b"x")
    listed = await site.ask("GET", "/photos?list-type=2&continuation-token=")
    assert b"<ContinuationToken></ContinuationToken>" in listed.body
    assert b"<Key>k</Key>" in listed.body
    assert b"ContinuationToken" not in (await site.ask("GET", "/photos?list-type=2")).body


# --- ACLs, classes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "target", "header", "value", "expected"),
    [
        ("PUT", "/photos/k", "x-amz-acl", "public-ready", (400, "InvalidArgument")),
        ("PUT", "/photos/k", "x-amz-acl", "authenticated-read", (501, "NotImplemented")),
        ("PUT", "/photos/k", "x-amz-acl", "bucket-owner-read", (200, "")),
        ("PUT", "/photos?acl", "x-amz-acl", "public-ready", (400, "InvalidArgument")),
        ("PUT", "/photos?acl", "x-amz-acl", "public-read-write", (501, "NotImplemented")),
        ("PUT", "/fresh", "x-amz-acl", "public-ready", (400, "InvalidArgument")),
        ("PUT", "/fresh", "x-amz-object-ownership", "ObjectWriter", (501, "NotImplemented")),
        ("PUT", "/fresh", "x-amz-object-ownership", "Nobody", (400, "InvalidArgument")),
        ("PUT", "/photos/k", "x-amz-storage-class", "GLACIER", (501, "NotImplemented")),
        ("PUT", "/photos/k", "x-amz-storage-class", "FOO", (400, "InvalidStorageClass")),
    ],
)
async def test_what_nobody_knows_is_invalid_and_what_s3_knows_is_not_implemented(
    site: Site, method: str, target: str, header: str, value: str, expected: tuple[int, str]
) -> None:
    assert answer(await site.ask(method, target, b"", (header, value))) == expected


async def test_a_bucket_that_is_created_again_keeps_its_acl_and_says_so(site: Site) -> None:
    public, private = ("x-amz-acl", "public-read"), ("x-amz-acl", "private")
    assert (await site.ask("PUT", "/fresh", b"", public)).status == 200
    for headers in ((), (public,)):
        assert (await site.ask("PUT", "/fresh", b"", *headers)).status == 200
    assert answer(await site.ask("PUT", "/fresh", b"", private)) == (409, "BucketAlreadyOwnedByYou")
    assert (await site.ask("PUT", "/photos", b"", private)).status == 200
    assert answer(await site.ask("PUT", "/photos", b"", public)) == (409, "BucketAlreadyOwnedByYou")


ACL = (
    '<AccessControlPolicy xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><AccessControlList><Grant>'
    "<Grantee>{}</Grantee><Permission>READ</Permission></Grant></AccessControlList></AccessControlPolicy>"
)


@pytest.mark.parametrize(
    ("grantee", "expected"),
    [
        ("<ID>_foo</ID>", (400, "InvalidArgument")),
        ("<EmailAddress>nobody@example.com</EmailAddress>", (400, "UnresolvableGrantByEmailAddress")),
        ("<ID>0x1111111111111111111111111111111111111111</ID>", (501, "NotImplemented")),
    ],
)
async def test_a_grant_to_nobody_is_told_from_one_to_another_account(
    site: Site, grantee: str, expected: tuple[int, str]
) -> None:
    assert answer(await site.ask("PUT", "/photos?acl", ACL.format(grantee).encode())) == expected


async def test_an_overwrite_without_an_acl_has_the_default_one_at_once(site: Site) -> None:
    world = site.world
    world.chain_object("photos", "k", b"x")
    world.chain.objects["photos", "k"] = replace(world.chain.objects["photos", "k"], visibility=Visibility.PUBLIC_READ)
    world.chain.allowed.add((None, "photos", "k", Action.GET_OBJECT))
    assert (await site.ask("PUT", "/photos/k", b"x", ("x-amz-acl", "public-read"))).status == 200
    assert (await site.ask("GET", "/photos/k", sign=anonymous)).status == 200
    assert (await site.ask("PUT", "/photos/k", b"y")).status == 200
    assert (await site.ask("GET", "/photos/k", sign=anonymous)).status == 403
    assert (await site.ask("GET", "/photos/k?acl")).body.count(b"<Grant>") == 1
    assert world.store.orders[-1].visibility is Visibility.PRIVATE


async def test_an_object_in_a_public_bucket_is_private_unless_its_put_says_otherwise(site: Site) -> None:
    assert (await site.ask("PUT", "/open", b"", ("x-amz-acl", "public-read"))).status == 200
    for acl, status in (
        ((), 403),
        ((("x-amz-acl", "public-read"),), 200),
        ((("x-amz-acl", "bucket-owner-read"),), 403),
    ):
        assert (await site.ask("PUT", "/open/k", b"x", *acl)).status == 200
        assert (await site.ask("GET", "/open/k", sign=anonymous)).status == status


async def test_who_may_not_change_an_acl_overwrites_without_one(site: Site) -> None:
    world = site.world
    world.chain_object("photos", "k", b"x")
    world.chain.objects["photos", "k"] = replace(world.chain.objects["photos", "k"], visibility=Visibility.PUBLIC_READ)
    assert (await site.ask("PUT", "/photos/k", b"x")).status == 200
    world.chain.allowed.add((BOB, "photos", None, Action.CREATE_OBJECT))
    world.chain.allowed.add((BOB, "photos", "k", Action.UPDATE_OBJECT_CONTENT))

    async def bobs_put(*acl: tuple[str, str]) -> tuple[int, str]:
        def by_bob(head: RequestHead) -> list[tuple[str, str]]:
            return sign_sigv4(head, OTHER_ACCESS_KEY, OTHER_SECRET_KEY, int(time.time()), payload=b"by bob")

        return answer(await site.ask("PUT", "/photos/k", b"by bob", *acl, sign=by_bob))

    assert await bobs_put(("x-amz-acl", "private")) == (403, "AccessDenied")
    assert world.store.held["photos", "k"][1] == b"x"
    assert await bobs_put(("x-amz-acl", "public-read")) == (200, "")  # as it is: nothing to be changed
    assert await bobs_put() == (200, "")
    world.chain.height += 1
    world.chain.allowed.add((BOB, "photos", "k", Action.UPDATE_OBJECT_INFO))
    assert await bobs_put(("x-amz-acl", "private")) == (200, "")
    seen = [order.visibility for order in world.store.orders[-2:]]
    assert seen == [Visibility.UNSPECIFIED, Visibility.PRIVATE], "unsaid, it stays what it was"


# --- parts --------------------------------------------------------------------------------------------------------

PARTS = (b"first", b"second", b"3")


async def uploaded(site: Site, *more: tuple[str, str], numbers: tuple[int, ...] = (1, 2, 3)) -> str:
    """An object of PARTS; its ETag."""
    begun = await site.ask("POST", "/photos/parts?uploads", b"", *more)
    upload_id = begun.body.split(b"<UploadId>")[1].split(b"<")[0].decode()
    listed = ""
    for number, part in zip(numbers, PARTS, strict=True):
        crc = [("x-amz-checksum-crc32", base64.b64encode(zlib.crc32(part).to_bytes(4, "big")).decode())] if more else []
        stored = await site.ask("PUT", f"/photos/parts?partNumber={number}&uploadId={upload_id}", part, *crc)
        listed += f"<Part><PartNumber>{number}</PartNumber><ETag>{stored['etag']}</ETag></Part>"
    document = f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>".encode()
    done = await site.ask("POST", f"/photos/parts?uploadId={upload_id}", document)
    assert done.status == 200, done.body
    return done.body.split(b"<ETag>")[1].split(b"</ETag>")[0].replace(b"&quot;", b'"').decode()


@pytest.mark.parametrize("numbers", [(1, 2, 3), (2, 5, 9)])
async def test_each_part_is_read_by_the_number_it_came_under(site: Site, numbers: tuple[int, ...]) -> None:
    etag = await uploaded(site, numbers=numbers)
    start = 0
    for number, part in zip(numbers, PARTS, strict=True):
        for method in ("GET", "HEAD"):
            read = await site.ask(method, f"/photos/parts?partNumber={number}")
            assert (read.status, read.body) == (206, part if method == "GET" else b"")
            assert read["content-length"] == str(len(part))
            assert read["content-range"] == f"bytes {start}-{start + len(part) - 1}/{sum(map(len, PARTS))}"
            assert (read["x-amz-mp-parts-count"], read["etag"]) == ("3", etag)
        start += len(part)
    assert "x-amz-mp-parts-count" not in (await site.ask("GET", "/photos/parts")).headers


async def test_a_part_is_read_with_its_own_checksum(site: Site) -> None:
    await uploaded(site, ("x-amz-checksum-algorithm", "CRC32"))
    read = await site.ask("HEAD", "/photos/parts?partNumber=2", b"", ("x-amz-checksum-mode", "ENABLED"))
    assert read["x-amz-checksum-crc32"] == base64.b64encode(zlib.crc32(b"second").to_bytes(4, "big")).decode()
    assert read["x-amz-checksum-type"] == "COMPOSITE"


@pytest.mark.parametrize(
    ("number", "headers", "expected"),
    [
        ("4", (), (416, "InvalidPartNumber")),
        ("0", (), (400, "InvalidArgument")),
        ("10001", (), (400, "InvalidArgument")),
        ("x", (), (400, "InvalidArgument")),
        ("1", (("Range", "bytes=0-1"),), (400, "InvalidRequest")),
        ("1", (("If-Match", '"other"'),), (412, "PreconditionFailed")),
    ],
)
async def test_a_part_that_is_not_there_is_refused(
    site: Site, number: str, headers: tuple[tuple[str, str], ...], expected: tuple[int, str]
) -> None:
    await uploaded(site)
    assert answer(await site.ask("GET", f"/photos/parts?partNumber={number}", b"", *headers)) == expected


async def test_an_object_that_came_whole_is_its_only_part(site: Site) -> None:
    await site.ask("PUT", "/photos/k", b"hello")
    read = await site.ask("GET", "/photos/k?partNumber=1")
    assert (read.status, read.body, read["content-range"]) == (206, b"hello", "bytes 0-4/5")
    assert "x-amz-mp-parts-count" not in read.headers
    assert answer(await site.ask("GET", "/photos/k?partNumber=2")) == (416, "InvalidPartNumber")
    await site.ask("PUT", "/photos/empty")
    assert (await site.ask("GET", "/photos/empty?partNumber=1")).status == 200


async def test_a_copy_has_no_parts(site: Site) -> None:
    await uploaded(site)
    await site.ask("PUT", "/photos/copy", b"", ("x-amz-copy-source", "/photos/parts"))
    assert answer(await site.ask("GET", "/photos/copy?partNumber=2")) == (416, "InvalidPartNumber")


async def test_attributes_list_the_parts_page_by_page(site: Site) -> None:
    await uploaded(site, ("x-amz-checksum-algorithm", "CRC32"))

    async def asked(*more: tuple[str, str]) -> bytes:
        return (await site.ask("GET", "/photos/parts?attributes", b"", WANTED, *more)).body

    whole = await asked()
    assert whole.count(b"<Part>") == 3
    assert b"<PartsCount>3</PartsCount>" in whole
    assert b"<PartNumber>2</PartNumber><Size>6</Size><ChecksumCRC32>" in whole
    page = await asked(("x-amz-max-parts", "1"), ("x-amz-part-number-marker", "1"))
    assert page.count(b"<Part>") == 1
    assert (
        b"<PartsCount>3</PartsCount><PartNumberMarker>1</PartNumberMarker><NextPartNumberMarker>2"
        b"</NextPartNumberMarker><MaxParts>1</MaxParts><IsTruncated>true</IsTruncated><Part><PartNumber>2<"
    ) in page
    assert b"<IsTruncated>false</IsTruncated>" in await asked(("x-amz-part-number-marker", "2"))
    assert b"<Code>InvalidArgument</Code>" in await asked(("x-amz-max-parts", "x"))
    await site.ask("PUT", "/photos/k", b"hello")
    assert b"ObjectParts" not in (await site.ask("GET", "/photos/k?attributes", b"", WANTED)).body


WANTED = ("x-amz-object-attributes", "ObjectParts")


async def test_a_key_for_what_is_not_encrypted_is_refused(site: Site) -> None:
    await site.ask("PUT", "/photos/k", b"hello")
    key = ("x-amz-server-side-encryption-customer-algorithm", "AES256")
    assert answer(await site.ask("GET", "/photos/k", b"", key)) == (400, "InvalidRequest")
