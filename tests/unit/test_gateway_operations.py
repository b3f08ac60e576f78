"""S3's lesser operations through boto3 and by hand, against a listening gateway whose neighbours are in memory."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from sp.domain.errors import StoreFull
from sp.domain.ids import ObjectId
from sp.domain.ledger import Action, Visibility
from sp.domain.messages import MsgUpdateBucketInfo, MsgUpdateObjectInfo
from tests.unit.gateway_site import Site, anonymous, signed, site_with, until
from tests.unit.gateway_world import ALICE, BOB, OTHER_ACCESS_KEY, OTHER_SECRET_KEY, World, gateway_world
from tests.unit.test_gateway_boto3 import MIB, S3, client_of

pytestmark = pytest.mark.slow


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with gateway_world(blank_interval_s=0.05) as made:
        made.bucket("photos")
        yield made


@pytest.fixture
async def s3(world: World) -> AsyncIterator[S3]:
    async with world.http() as address:
        client = client_of(address)
        yield S3(client)
        client.close()


@pytest.fixture
async def bobs(world: World) -> AsyncIterator[S3]:
    async with world.http() as address:
        client = client_of(address, OTHER_ACCESS_KEY, OTHER_SECRET_KEY)
        yield S3(client)
        client.close()


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with site_with(max_header_bytes=4096) as made:
        yield made


# --- DeleteObjects


async def test_many_objects_go_in_one_request_and_each_says_how(s3: S3, world: World) -> None:
    names = ["a", "b c", "d&e<f>", "\u00fc//x", "z" * 1024]
    for name in names:
        await s3("put_object", Bucket="photos", Key=name, Body=b"x")
    asked = [{"Key": name} for name in [*names, "absent"]]
    asked += [{"Key": "v", "VersionId": "7"}, {"Key": "a", "VersionId": "null"}, {"Key": "y" * 1025}]
    reply = await s3("delete_objects", Bucket="photos", Delete={"Objects": asked})
    assert sorted({done["Key"] for done in reply["Deleted"]}) == sorted([*names, "absent"])
    assert sorted((e["Key"][:1], e["Code"]) for e in reply["Errors"]) == [
        ("v", "NoSuchVersion"),
        ("y", "KeyTooLongError"),
    ]
    assert world.store.held == {}
    assert "Deleted" not in await s3(
        "delete_objects", Bucket="photos", Delete={"Objects": [{"Key": "a"}], "Quiet": True}
    )


async def test_a_deletion_that_is_denied_does_not_stop_the_others(bobs: S3, world: World) -> None:
    world.chain.allowed |= {(BOB, "photos", None, action) for action in (Action.CREATE_OBJECT, Action.GET_OBJECT)}
    await bobs("put_object", Bucket="photos", Key="mine", Body=b"x")
    mine = world.store.held["photos", "mine"][0]
    world.store.held["photos", "hers"] = (replace(mine, account=ALICE, object_name="hers"), b"x")
    reply = await bobs("delete_objects", Bucket="photos", Delete={"Objects": [{"Key": "hers"}, {"Key": "mine"}]})
    assert [(e["Key"], e["Code"]) for e in reply["Errors"]] == [("hers", "AccessDenied")]
    assert [done["Key"] for done in reply["Deleted"]] == ["mine"]
    assert list(world.store.held) == [("photos", "hers")]


async def test_a_list_of_deletions_must_be_vouched_for_and_small_enough(site: Site) -> None:
    body = b"<Delete><Object><Key>k</Key></Object></Delete>"
    await site.ask("PUT", "/photos/k", b"x")
    wrong = ("Content-MD5", base64.b64encode(hashlib.md5(b"other").digest()).decode())
    assert (await site.ask("POST", "/photos?delete", body, wrong)).code == "BadDigest"
    assert (await site.ask("POST", "/photos?delete", b"<Delete/>")).code == "MalformedXML"
    assert (await site.ask("POST", "/photos?delete", b"x" * (4 * MIB + 1))).code == "MaxMessageLengthExceeded"
    assert (await site.ask("POST", "/nowhere?delete", body)).code == "NoSuchBucket"
    assert (await site.ask("POST", "/photos?delete", body, sign=anonymous)).code == "AccessDenied"
    assert list(site.world.store.held) == [("photos", "k")]
    done = await site.ask("POST", "/photos?delete", body)
    assert (done.status, b"<Deleted><Key>k</Key></Deleted>" in done.body) == (200, True)


async def test_a_deletion_may_name_the_content_that_it_is_about(s3: S3, world: World) -> None:
    old = (await s3("put_object", Bucket="photos", Key="k", Body=b"1"))["ETag"]
    new = (await s3("put_object", Bucket="photos", Key="k", Body=b"2"))["ETag"]
    assert await s3.code("delete_object", Bucket="photos", Key="k", IfMatch=old) == (412, "PreconditionFailed")
    reply = await s3("delete_objects", Bucket="photos", Delete={"Objects": [{"Key": "k", "ETag": old}]})
    assert [e["Code"] for e in reply["Errors"]] == ["PreconditionFailed"]
    await s3("delete_object", Bucket="photos", Key="k", IfMatch=new)
    assert world.store.held == {}
    assert await s3.code("delete_object", Bucket="photos", Key="k", IfMatch=new) == (404, "NoSuchKey")


# --- CopyObject


async def test_a_copy_has_bytes_headers_and_tags_of_its_source(s3: S3, world: World) -> None:
    payload = bytes(range(256)) * (3 * MIB // 256) + b"end"
    source = {"Bucket": "photos", "Key": "a+b \u00fc%20/k"}
    stored = await s3(
        "put_object", **source, Body=payload, ContentType="text/plain", Metadata={"a": "1"}, Tagging="t=1&u=2"
    )
    copied = (await s3("copy_object", Bucket="photos", Key="copy", CopySource=source))["CopyObjectResult"]
    assert (copied["ETag"], copied["ChecksumCRC32"]) == (stored["ETag"], stored["ChecksumCRC32"])
    read = await s3("get_object", Bucket="photos", Key="copy")
    assert (read["Body"], read["ContentType"], read["Metadata"], read["TagCount"]) == (
        payload,
        "text/plain",
        {"a": "1"},
        2,
    )
    given = {"CopySource": source, "MetadataDirective": "REPLACE", "TaggingDirective": "REPLACE"}
    await s3("copy_object", Bucket="photos", Key="other", **given, Metadata={"b": "2"}, ContentType="image/png")
    read = await s3("get_object", Bucket="photos", Key="other")
    assert (read["Body"], read["ContentType"], read["Metadata"]) == (payload, "image/png", {"b": "2"})
    assert "TagCount" not in read


async def test_a_copy_can_have_another_checksum_than_its_source(s3: S3) -> None:
    stored = await s3("put_object", Bucket="photos", Key="k", Body=b"hello")
    target = {"Bucket": "photos", "Key": "copy", "CopySource": "photos/k"}
    same = (await s3("copy_object", **target, ChecksumAlgorithm="CRC32"))["CopyObjectResult"]
    assert same["ChecksumCRC32"] == stored["ChecksumCRC32"]
    other = (await s3("copy_object", **target, ChecksumAlgorithm="SHA256"))["CopyObjectResult"]
    assert other["ChecksumSHA256"] == base64.b64encode(hashlib.sha256(b"hello").digest()).decode()
    assert "ChecksumCRC32" not in other
    read = await s3("get_object", Bucket="photos", Key="copy", ChecksumMode="ENABLED")
    assert read["ChecksumSHA256"] == other["ChecksumSHA256"]
    assert await s3.code("copy_object", **target, ChecksumAlgorithm="MD4") == (400, "InvalidArgument")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    ("size", "asked", "status", "shown"),
    [
        (10, "bytes=2-4", 206, "bytes 2-4/10"),
        (10, "bytes=-99", 206, "bytes 0-9/10"),
        (10, "bytes=9-99", 206, "bytes 9-9/10"),
        (10, "bytes=-0", 416, "bytes */10"),
        (10, "bytes=10-", 416, "bytes */10"),
        (0, "bytes=0-", 416, "bytes */0"),
        (0, "bytes=-1", 416, "bytes */0"),
        (10, "bytes=0-1,3-4", 200, None),
        (10, "bytes=4-2", 200, None),
        (10, "bytes=a-b", 200, None),
        (10, "octets=0-1", 200, None),
    ],
)
async def test_a_range_of_an_object_is_the_same_for_get_and_head(
    site: Site, method: str, size: int, asked: str, status: int, shown: str | None
) -> None:
    await site.ask("PUT", "/photos/k", b"x" * size)
    read = await site.ask(method, "/photos/k", b"", ("Range", asked))
    assert (read.status, read.headers.get("content-range")) == (status, shown)


async def test_an_object_is_copied_onto_itself_only_to_change_it(s3: S3) -> None:
    await s3("put_object", Bucket="photos", Key="k", Body=b"hello", Metadata={"a": "1"})
    onto_itself = {"Bucket": "photos", "Key": "k", "CopySource": "photos/k"}
    assert await s3.code("copy_object", **onto_itself) == (400, "InvalidRequest")
    await s3("copy_object", **onto_itself, MetadataDirective="REPLACE", Metadata={"b": "2"})
    read = await s3("get_object", Bucket="photos", Key="k")
    assert (read["Body"], read["Metadata"]) == (b"hello", {"b": "2"})


async def test_what_cannot_be_copied_is_refused(s3: S3, bobs: S3, world: World) -> None:
    world.bucket("bobs", owner=BOB)
    world.bucket("away", primary_sp=ALICE)
    etag = (await s3("put_object", Bucket="photos", Key="k", Body=b"hello"))["ETag"]
    target = {"Bucket": "photos", "Key": "copy"}
    assert await s3.code("copy_object", **target, CopySource="photos/absent") == (404, "NoSuchKey")
    assert await s3.code("copy_object", **target, CopySource="nowhere/k") == (404, "NoSuchBucket")
    assert await s3.code("copy_object", **target, CopySource="away/k") == (501, "NotImplemented")
    assert await bobs.code("copy_object", Bucket="bobs", Key="k", CopySource="photos/k") == (403, "AccessDenied")
    given = {**target, "CopySource": "photos/k"}
    assert await s3.code("copy_object", **given, CopySourceIfMatch='"x"') == (412, "PreconditionFailed")
    assert await s3.code("copy_object", **given, CopySourceIfNoneMatch=etag) == (412, "PreconditionFailed")
    assert await s3.code("copy_object", **given, IfNoneMatch="*", MetadataDirective="MERGE") == (400, "InvalidArgument")
    assert list(world.store.held) == [("photos", "k")]
    await s3("copy_object", **given, CopySourceIfMatch=etag)
    assert await s3.code("copy_object", **given, IfNoneMatch="*") == (412, "PreconditionFailed")


async def released_late(world: World) -> None:
    """Let the copy's put end some blanks after it began."""
    await until(lambda: world.store.waiting)
    asyncio.get_running_loop().call_later(0.3, world.store.held_back.set)


async def test_a_copy_that_takes_long_keeps_its_client_waiting(s3: S3, world: World) -> None:
    await s3("put_object", Bucket="photos", Key="k", Body=b"hello")
    world.store.hold = True
    releasing = asyncio.create_task(released_late(world))
    reply = await s3("copy_object", Bucket="photos", Key="copy", CopySource="photos/k")
    assert reply["CopyObjectResult"]["ETag"]
    assert reply["ResponseMetadata"]["HTTPHeaders"]["transfer-encoding"] == "chunked"
    await releasing


async def test_a_copy_that_fails_late_says_so_in_its_body() -> None:
    async with site_with(blank_interval_s=0.02) as site, site.connection() as connection:
        await site.ask("PUT", "/photos/k", b"hello")
        site.world.store.hold, site.world.store.refuse_at_end = True, StoreFull("disk")
        more = (("x-amz-copy-source", "photos/k"), ("Content-Length", "0"))
        await connection.send(connection.head("PUT", "/photos/copy", *more, sign=signed()))
        await released_late(site.world)
        raw = await asyncio.wait_for(connection.reader.readuntil(b"\r\n0\r\n\r\n"), 10)
        head, _, body = raw.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ")
        document = b"".join(body.split(b"\r\n")[1::2])
        assert re.match(rb"<\?xml [^>]*\?>\n +<Error><Code>SlowDown</Code>", document)
        assert list(site.world.store.held) == [("photos", "k")]


async def test_a_copy_whose_client_has_gone_is_given_up() -> None:
    async with site_with(blank_interval_s=0.02) as site:
        await site.ask("PUT", "/photos/k", b"hello")
        site.world.store.hold = True
        async with site.connection() as connection:
            more = (("x-amz-copy-source", "photos/k"), ("Content-Length", "0"))
            await connection.send(connection.head("PUT", "/photos/copy", *more, sign=signed()))
            await until(lambda: len(site.world.store.orders) == 2)
        await until(lambda: site.world.store.given_up)
        assert list(site.world.store.held) == [("photos", "k")]


# --- conditional writes


async def test_a_put_that_must_be_the_first_is_the_first(s3: S3) -> None:
    first = (await s3("put_object", Bucket="photos", Key="k", Body=b"1", IfNoneMatch="*"))["ETag"]
    assert await s3.code("put_object", Bucket="photos", Key="k", Body=b"2", IfNoneMatch="*") == (
        412,
        "PreconditionFailed",
    )
    await s3("put_object", Bucket="photos", Key="k", Body=b"2", IfMatch=first)
    assert await s3.code("put_object", Bucket="photos", Key="k", Body=b"3", IfMatch=first) == (
        412,
        "PreconditionFailed",
    )
    assert await s3.code("put_object", Bucket="photos", Key="absent", Body=b"3", IfMatch=first) == (404, "NoSuchKey")
    assert (await s3("get_object", Bucket="photos", Key="k"))["Body"] == b"2"


async def test_a_condition_that_fails_is_told_before_the_body(site: Site) -> None:
    await site.ask("PUT", "/photos/k", b"x")
    async with site.connection() as connection:
        more = (("If-None-Match", "*"), ("Content-Length", "5"), ("Expect", "100-continue"))
        await connection.send(connection.head("PUT", "/photos/k", *more, sign=signed(b"hello")))
        refused = await connection.reply()
        assert (refused.status, refused.code) == (412, "PreconditionFailed")


async def test_a_name_that_comes_to_mean_something_meanwhile_is_not_overwritten(s3: S3, world: World) -> None:
    world.store.hold = True
    losing = asyncio.create_task(s3.code("put_object", Bucket="photos", Key="k", Body=b"loser", IfNoneMatch="*"))
    await until(lambda: world.store.waiting)
    world.store.hold = False
    await s3("put_object", Bucket="photos", Key="k", Body=b"winner", IfNoneMatch="*")
    world.store.held_back.set()
    assert await losing == (412, "PreconditionFailed")
    assert (await s3("get_object", Bucket="photos", Key="k"))["Body"] == b"winner"


# --- tags, metadata


async def test_tags_are_put_read_and_removed(s3: S3) -> None:
    await s3("put_object", Bucket="photos", Key="k", Body=b"x", Tagging="a=1&b%20c=%C3%BC")
    tags = (await s3("get_object_tagging", Bucket="photos", Key="k"))["TagSet"]
    assert tags == [{"Key": "a", "Value": "1"}, {"Key": "b c", "Value": "\u00fc"}]
    assert (await s3("head_object", Bucket="photos", Key="k"))["TagCount"] == 2
    await s3("put_object_tagging", Bucket="photos", Key="k", Tagging={"TagSet": [{"Key": "d", "Value": ""}]})
    assert (await s3("get_object_tagging", Bucket="photos", Key="k"))["TagSet"] == [{"Key": "d", "Value": ""}]
    await s3("delete_object_tagging", Bucket="photos", Key="k")
    assert (await s3("get_object_tagging", Bucket="photos", Key="k"))["TagSet"] == []
    assert await s3.code("get_object_tagging", Bucket="photos", Key="absent") == (404, "NoSuchKey")
    too_many = {"TagSet": [{"Key": f"k{n}", "Value": "v"} for n in range(11)]}
    assert await s3.code("put_object_tagging", Bucket="photos", Key="k", Tagging=too_many) == (400, "InvalidTag")
    assert await s3.code("put_object", Bucket="photos", Key="k", Body=b"", Tagging="aws:a=1") == (400, "InvalidTag")


async def test_tags_are_not_everyones(site: Site, world: World) -> None:
    site.world.bucket("public", visibility=Visibility.PUBLIC_READ)
    await site.ask("PUT", "/public/k", b"x", ("x-amz-acl", "public-read"))
    assert (await site.ask("GET", "/public/k", sign=anonymous)).status == 200
    body = b"<Tagging><TagSet/></Tagging>"
    for method, given in (("GET", b""), ("PUT", body), ("DELETE", b"")):
        assert (await site.ask(method, "/public/k?tagging", given, sign=anonymous)).code == "AccessDenied"
    assert (await site.ask("GET", "/public/k?acl", sign=anonymous)).code == "AccessDenied"


async def test_metadata_and_heads_have_limits(site: Site) -> None:
    fits = [("x-amz-meta-" + "n" * 24, "v" * 1000), ("x-amz-meta-" + "m" * 24, "v" * 1000)]
    assert (await site.ask("PUT", "/photos/k", b"x", *fits)).status == 200
    assert (await site.ask("HEAD", "/photos/k"))[fits[0][0]] == fits[0][1]
    assert (await site.ask("PUT", "/photos/k", b"x", *fits, ("x-amz-meta-o", "1"))).code == "MetadataTooLarge"
    many = [(f"x-other-{n}", "v" * 400) for n in range(10)]
    assert (await site.ask("GET", "/photos/k", b"", *many)).code == "RequestHeaderSectionTooLarge"
    async with site.connection() as connection:
        await connection.send(connection.head("GET", "/photos/k", ("x-long", "v" * 5000)))
        refused = await connection.reply()
        assert (refused.status, refused.code) == (400, "RequestHeaderSectionTooLarge")


# --- ACLs


async def test_a_buckets_acl_is_its_visibility(s3: S3, world: World) -> None:
    await s3("create_bucket", Bucket="open", ACL="public-read")
    for bucket, grants in (("open", 2), ("photos", 1)):
        acl = await s3("get_bucket_acl", Bucket=bucket)
        assert (acl["Owner"]["ID"], len(acl["Grants"])) == (ALICE, grants)
    await s3("put_bucket_acl", Bucket="photos", ACL="public-read")
    assert world.signer.submitted[-1] == MsgUpdateBucketInfo(ALICE, "photos", Visibility.PUBLIC_READ)
    acl = await s3("get_bucket_acl", Bucket="photos")
    assert acl["Grants"][1]["Grantee"]["URI"].endswith("AllUsers")
    acl["Grants"].pop()
    policy = {"Owner": acl["Owner"], "Grants": acl["Grants"]}
    await s3("put_bucket_acl", Bucket="photos", AccessControlPolicy=policy)
    assert world.chain.buckets["photos"].visibility is Visibility.PRIVATE
    assert await s3.code("put_bucket_acl", Bucket="photos", ACL="public-read-write") == (501, "NotImplemented")
    assert await s3.code("put_bucket_acl", Bucket="photos", GrantRead="id=1") == (501, "NotImplemented")
    assert await s3.code("create_bucket", Bucket="newone", GrantRead="id=1") == (501, "NotImplemented")


async def test_an_objects_acl_changes_where_the_object_is(s3: S3, world: World) -> None:
    await s3("put_object", Bucket="photos", Key="k", Body=b"x")
    assert len((await s3("get_object_acl", Bucket="photos", Key="k"))["Grants"]) == 1
    world.tasknode.creating = 2  # a task node is at work: the next blocks say when it has been
    await s3("put_object_acl", Bucket="photos", Key="k", ACL="public-read")
    assert world.store.held["photos", "k"][0].visibility is Visibility.PUBLIC_READ
    assert world.signer.submitted == []
    assert len((await s3("get_object_acl", Bucket="photos", Key="k"))["Grants"]) == 2
    world.chain_object("photos", "k", b"x")
    job, payload = world.store.held["photos", "k"]
    world.store.held["photos", "k"] = (replace(job, object_id=ObjectId(7)), payload)
    assert len((await s3("get_object_acl", Bucket="photos", Key="k"))["Grants"]) == 1, "the chain's word counts"
    await s3("put_object_acl", Bucket="photos", Key="k", ACL="public-read")
    assert world.signer.submitted == [MsgUpdateObjectInfo(ALICE, "photos", "k", Visibility.PUBLIC_READ)]
    assert len((await s3("get_object_acl", Bucket="photos", Key="k"))["Grants"]) == 2
    assert await s3.code("put_object_acl", Bucket="photos", Key="absent", ACL="private") == (404, "NoSuchKey")


async def test_new_content_is_read_as_its_put_said_before_the_chain_knows(site: Site) -> None:
    world = site.world
    world.bucket("open", visibility=Visibility.PUBLIC_READ)
    world.chain_object("open", "k", b"x")
    for acl, status in (("private", 403), ("public-read", 200), ("", 403)):
        more = [("x-amz-acl", acl)] if acl else []
        assert (await site.ask("PUT", "/open/k", b"x", *more)).status == 200
        assert (await site.ask("GET", "/open/k", sign=anonymous)).status == status
        assert (await site.ask("GET", "/open/k")).status == 200


async def test_an_acl_that_cannot_change_in_time_says_so(s3: S3, world: World) -> None:
    await s3("put_object", Bucket="photos", Key="k", Body=b"x")
    world.tasknode.creating = 100
    assert await s3.code("put_object_acl", Bucket="photos", Key="k", ACL="public-read") == (503, "ServiceUnavailable")


async def test_an_acl_is_its_owners(bobs: S3, world: World) -> None:
    world.bucket("open", visibility=Visibility.PUBLIC_READ)
    assert len((await bobs("get_bucket_acl", Bucket="open"))["Grants"]) == 2
    assert await bobs.code("put_bucket_acl", Bucket="open", ACL="private") == (403, "AccessDenied")
    assert await bobs.code("get_bucket_acl", Bucket="photos") == (403, "AccessDenied")
    assert world.signer.submitted == []


# --- versions, probes and the rest


async def test_every_object_is_one_version_over_all_pages(s3: S3) -> None:
    names = ["a", "b/1", "b/2", "c d", "\u00fc"]
    for name in names:
        await s3("put_object", Bucket="photos", Key=name, Body=b"x")

    def listed(client: Any) -> list[tuple[str, str, bool]]:
        pages = client.get_paginator("list_object_versions").paginate(Bucket="photos", PaginationConfig={"PageSize": 2})
        return [(v["Key"], v["VersionId"], v["IsLatest"]) for page in pages for v in page.get("Versions", [])]

    assert await s3.run(listed) == [(name, "null", True) for name in names]
    rolled = await s3("list_object_versions", Bucket="photos", Delimiter="/")
    assert [p["Prefix"] for p in rolled["CommonPrefixes"]] == ["b/"]
    assert (await s3("get_object", Bucket="photos", Key="a", VersionId="null"))["Body"] == b"x"
    assert await s3.code("get_object", Bucket="photos", Key="a", VersionId="7") == (404, "NoSuchVersion")
    await s3("delete_object", Bucket="photos", Key="a", VersionId="null")
    assert await s3.code("head_object", Bucket="photos", Key="a") == (404, "404")


PROBES = {
    "get_bucket_policy": (404, "NoSuchBucketPolicy"),
    "get_bucket_policy_status": (404, "NoSuchBucketPolicy"),
    "get_bucket_cors": (404, "NoSuchCORSConfiguration"),
    "get_bucket_tagging": (404, "NoSuchTagSet"),
    "get_bucket_website": (404, "NoSuchWebsiteConfiguration"),
    "get_bucket_lifecycle_configuration": (404, "NoSuchLifecycleConfiguration"),
    "get_bucket_encryption": (404, "ServerSideEncryptionConfigurationNotFoundError"),
    "get_object_lock_configuration": (404, "ObjectLockConfigurationNotFoundError"),
    "get_public_access_block": (404, "NoSuchPublicAccessBlockConfiguration"),
    "get_bucket_ownership_controls": (404, "OwnershipControlsNotFoundError"),
    "get_bucket_replication": (404, "ReplicationConfigurationNotFoundError"),
}


@pytest.mark.parametrize(("operation", "expected"), PROBES.items())
async def test_a_configuration_that_is_not_there_is_said_not_to_be(
    s3: S3, operation: str, expected: tuple[int, str]
) -> None:
    assert await s3.code(operation, Bucket="photos") == expected


async def test_what_is_never_enabled_is_said_to_be_off(s3: S3) -> None:
    assert "Status" not in await s3("get_bucket_versioning", Bucket="photos")
    assert "LoggingEnabled" not in await s3("get_bucket_logging", Bucket="photos")
    assert "Status" not in await s3("get_bucket_accelerate_configuration", Bucket="photos")
    assert (await s3("get_bucket_request_payment", Bucket="photos"))["Payer"] == "BucketOwner"
    assert not {"TopicConfigurations", "QueueConfigurations"} & set(
        await s3("get_bucket_notification_configuration", Bucket="photos")
    )
    await s3("put_object", Bucket="photos", Key="k", Body=b"x")
    assert await s3.code("get_object_retention", Bucket="photos", Key="k") == (400, "InvalidRequest")


async def test_removing_what_is_not_there_succeeds_and_leaves_the_bucket(s3: S3, bobs: S3) -> None:
    for operation in ("policy", "cors", "tagging", "lifecycle", "website", "encryption", "replication"):
        await s3(f"delete_bucket_{operation}", Bucket="photos")
    await s3("delete_public_access_block", Bucket="photos")
    await s3("head_bucket", Bucket="photos")
    assert await bobs.code("delete_bucket_policy", Bucket="photos") == (403, "AccessDenied")


async def test_attributes_of_an_object(s3: S3) -> None:
    etag = (await s3("put_object", Bucket="photos", Key="k", Body=b"hello"))["ETag"]
    wanted = ["ETag", "ObjectSize", "Checksum", "StorageClass", "ObjectParts"]
    found = await s3("get_object_attributes", Bucket="photos", Key="k", ObjectAttributes=wanted)
    assert (found["ETag"], found["ObjectSize"]) == (etag.strip('"'), 5)
    assert found["Checksum"]["ChecksumCRC32"] == "NhCmhg=="
    assert await s3.code("get_object_attributes", Bucket="photos", Key="x", ObjectAttributes=["ETag"]) == (
        404,
        "NoSuchKey",
    )


async def test_a_preflight_is_refused_as_without_a_cors_configuration(site: Site) -> None:
    asked = [("Origin", "http://example.com"), ("Access-Control-Request-Method", "GET")]
    for target in ("/photos", "/photos/k"):
        refused = await site.ask("OPTIONS", target, b"", *asked, sign=anonymous)
        assert (refused.status, refused.code) == (403, "AccessForbidden")
        assert (await site.ask("OPTIONS", target, b"", asked[0], sign=anonymous)).code == "BadRequest"


async def test_the_owner_of_a_bucket_can_be_insisted_on(s3: S3, world: World) -> None:
    await s3("put_object", Bucket="photos", Key="k", Body=b"x", ExpectedBucketOwner=ALICE)
    given: dict[str, dict[str, Any]] = {
        "put_object": {"Key": "k", "Body": b"y"},
        "get_object": {"Key": "k"},
        "list_objects_v2": {},
        "delete_object": {"Key": "k"},
        "get_bucket_acl": {},
    }
    for operation, more in given.items():
        code = await s3.code(operation, Bucket="photos", **more, ExpectedBucketOwner=BOB)
        assert code == (403, "AccessDenied"), operation
    copy = {"Bucket": "photos", "Key": "c", "CopySource": "photos/k"}
    await s3("copy_object", **copy, ExpectedSourceBucketOwner=ALICE)
    assert await s3.code("copy_object", **copy, ExpectedSourceBucketOwner=BOB) == (403, "AccessDenied")
    assert world.store.held["photos", "k"][1] == b"x"


async def test_a_bucket_says_its_region_and_buckets_come_in_pages(s3: S3, world: World) -> None:
    head = await s3("head_bucket", Bucket="photos")
    assert head["BucketRegion"] == "us-east-1"
    for name in ("pages-1", "pages-2", "pages-3"):
        world.bucket(name)

    def listed(client: Any) -> list[str]:
        pages = client.get_paginator("list_buckets").paginate(Prefix="pages", PaginationConfig={"PageSize": 2})
        return [bucket["Name"] for page in pages for bucket in page["Buckets"]]

    assert await s3.run(listed) == ["pages-1", "pages-2", "pages-3"]


@pytest.mark.parametrize("name", ["ab", "Upper", "a_b", "a..b", "1.2.3.4", "xn--abc", "sthree-x", "x-s3alias", "a-.b"])
async def test_a_bucket_cannot_have_every_name(site: Site, name: str) -> None:
    refused = await site.ask("PUT", f"/{name}")
    assert (refused.status, refused.code) == (400, "InvalidBucketName")


async def test_another_region_is_no_place_for_a_bucket_here(s3: S3) -> None:
    given = {"CreateBucketConfiguration": {"LocationConstraint": "eu-west-1"}}
    assert await s3.code("create_bucket", Bucket="newone", **given) == (400, "IllegalLocationConstraintException")
