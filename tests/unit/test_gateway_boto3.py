"""The S3 client that most people use, against a listening gateway."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.unit.gateway_world import ACCESS_KEY, BOB, ELSEWHERE, SECRET_KEY, World, gateway_world

pytestmark = pytest.mark.slow

T = TypeVar("T")
MIB = 1 << 20


def client_of(address: str, access_key: str = ACCESS_KEY, secret: str = SECRET_KEY, region: str = "us-east-1") -> Any:
    return boto3.session.Session().client(
        "s3",
        endpoint_url=f"http://{address}",
        region_name=region,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret,
        config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1}, proxies={}),
    )


class S3:
    """boto3 in a thread, so that the gateway's loop goes on."""

    def __init__(self, client: Any) -> None:
        self._client = client

    async def __call__(self, operation: str, **given: Any) -> dict[str, Any]:
        def call() -> dict[str, Any]:
            reply: dict[str, Any] = getattr(self._client, operation)(**given)
            if "Body" in reply:
                reply["Body"] = reply["Body"].read()
            return reply

        return await asyncio.to_thread(call)

    async def run(self, work: Callable[[Any], T]) -> T:
        return await asyncio.to_thread(work, self._client)

    async def code(self, operation: str, **given: Any) -> tuple[int, str]:
        with pytest.raises(ClientError) as refused:
            await self(operation, **given)
        response = refused.value.response
        return response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"]


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with gateway_world() as made:
        yield made


@pytest.fixture
async def s3(world: World) -> AsyncIterator[S3]:
    async with world.http() as address:
        client = client_of(address)
        yield S3(client)
        client.close()


async def test_a_session_from_the_first_bucket_to_the_last(s3: S3) -> None:
    await s3("create_bucket", Bucket="photos")
    await s3("create_bucket", Bucket="photos")
    assert [b["Name"] for b in (await s3("list_buckets"))["Buckets"]] == ["photos"]
    await s3("head_bucket", Bucket="photos")
    assert (await s3("get_bucket_location", Bucket="photos"))["LocationConstraint"] is None
    assert "Status" not in await s3("get_bucket_versioning", Bucket="photos")
    stored = await s3("put_object", Bucket="photos", Key="a/b c+d%20.txt", Body=b"hello", ContentType="text/plain")
    read = await s3("get_object", Bucket="photos", Key="a/b c+d%20.txt")
    assert (read["Body"], read["ETag"], read["ContentType"]) == (b"hello", stored["ETag"], "text/plain")
    assert await s3.code("delete_bucket", Bucket="photos") == (409, "BucketNotEmpty")
    await s3("delete_object", Bucket="photos", Key="a/b c+d%20.txt")
    await s3("delete_object", Bucket="photos", Key="a/b c+d%20.txt")
    assert await s3.code("get_object", Bucket="photos", Key="a/b c+d%20.txt") == (404, "NoSuchKey")
    await s3("delete_bucket", Bucket="photos")
    assert await s3.code("head_bucket", Bucket="photos") == (404, "404")


@pytest.mark.parametrize("size", [0, 1, 5 * MIB + 3])
async def test_a_body_of_any_size_goes_up_and_down(s3: S3, world: World, size: int) -> None:
    world.bucket("photos")
    payload = hashlib.sha256(b"seed").digest() * (size // 32 + 1)
    payload = payload[:size]
    stored = await s3("put_object", Bucket="photos", Key="k", Body=payload, Metadata={"mtime": "17"})
    assert stored["ChecksumCRC32"]
    read = await s3("get_object", Bucket="photos", Key="k")
    assert (read["Body"], read["Metadata"], read["ContentLength"]) == (payload, {"mtime": "17"}, size)
    assert read["ChecksumCRC32"] == stored["ChecksumCRC32"], "boto3 has compared it with what it read"


async def test_a_range_and_a_head_agree(s3: S3, world: World) -> None:
    world.bucket("photos")
    await s3("put_object", Bucket="photos", Key="k", Body=b"0123456789")
    part = await s3("get_object", Bucket="photos", Key="k", Range="bytes=2-4")
    assert (part["Body"], part["ContentRange"]) == (b"234", "bytes 2-4/10")
    head = await s3("head_object", Bucket="photos", Key="k")
    assert (head["ContentLength"], head["ETag"], head["AcceptRanges"]) == (10, part["ETag"], "bytes")
    assert await s3.code("get_object", Bucket="photos", Key="k", Range="bytes=10-") == (416, "InvalidRange")
    assert await s3.code("get_object", Bucket="photos", Key="k", IfMatch='"x"') == (412, "PreconditionFailed")
    assert await s3.code("head_object", Bucket="photos", Key="absent") == (404, "404")


NAMES = ["a", "a b", "a+b", "a/1", "a/2", "b/ü/c", "b/%20", "c/\x01", "c//", "z"]


@pytest.fixture
async def full(s3: S3, world: World) -> S3:
    world.bucket("photos")
    for name in NAMES:
        await s3("put_object", Bucket="photos", Key=name, Body=name.encode())
    return s3


@pytest.mark.parametrize("operation", ["list_objects_v2", "list_objects"])
async def test_pages_together_are_the_whole_bucket(full: S3, operation: str) -> None:
    def listed(client: Any) -> list[str]:
        pages = client.get_paginator(operation).paginate(Bucket="photos", PaginationConfig={"PageSize": 3})
        return [found["Key"] for page in pages for found in page.get("Contents", [])]

    assert await full.run(listed) == sorted(NAMES, key=str.encode)


@pytest.mark.parametrize("operation", ["list_objects_v2", "list_objects"])
async def test_folders_are_common_prefixes_over_all_pages(full: S3, operation: str) -> None:
    def listed(client: Any) -> tuple[list[str], list[str]]:
        pages = list(
            client.get_paginator(operation).paginate(Bucket="photos", Delimiter="/", PaginationConfig={"PageSize": 2})
        )
        keys = [found["Key"] for page in pages for found in page.get("Contents", [])]
        return keys, [found["Prefix"] for page in pages for found in page.get("CommonPrefixes", [])]

    assert await full.run(listed) == (["a", "a b", "a+b", "z"], ["a/", "b/", "c/"])


async def test_a_prefix_and_a_start_narrow_the_listing(full: S3) -> None:
    found = await full("list_objects_v2", Bucket="photos", Prefix="a/", FetchOwner=True)
    assert [(o["Key"], o["Size"]) for o in found["Contents"]] == [("a/1", 3), ("a/2", 3)]
    assert found["KeyCount"] == 2
    later = await full("list_objects_v2", Bucket="photos", StartAfter="c/\x01")
    assert [o["Key"] for o in later["Contents"]] == ["c//", "z"]
    assert "Contents" not in await full("list_objects_v2", Bucket="photos", MaxKeys=0)


async def test_wrong_keys_and_foreign_buckets_are_refused(s3: S3, world: World) -> None:
    world.bucket("bobs", owner=BOB)
    assert await s3.code("create_bucket", Bucket="bobs") == (409, "BucketAlreadyExists")
    assert await s3.code("put_object", Bucket="bobs", Key="k", Body=b"x") == (403, "AccessDenied")
    assert await s3.code("list_objects_v2", Bucket="bobs") == (403, "AccessDenied")
    assert await s3.code("put_object", Bucket="absent", Key="k", Body=b"x") == (404, "NoSuchBucket")
    async with world.http() as address:
        for access_key, secret, code in (
            (ACCESS_KEY, "wrong", "SignatureDoesNotMatch"),
            ("AKIANOBODY", SECRET_KEY, "InvalidAccessKeyId"),
        ):
            client = client_of(address, access_key, secret)
            assert await S3(client).code("list_buckets") == (403, code)
            client.close()


@pytest.mark.parametrize("operation", ["head_bucket", "head_object", "get_object"])
async def test_a_bucket_of_another_provider_is_refused_after_one_more_try(s3: S3, world: World, operation: str) -> None:
    world.bucket("theirs", primary_sp=ELSEWHERE)
    given = {} if operation == "head_bucket" else {"Key": "k"}
    status, _ = await s3.code(operation, Bucket="theirs", **given)
    assert status == 307


async def test_a_client_of_another_region_is_told_the_right_one(world: World) -> None:
    world.bucket("photos")
    async with world.http() as address:
        client = client_of(address, region="eu-west-1")
        await S3(client)("put_object", Bucket="photos", Key="k", Body=b"hello")
        assert (await S3(client)("get_object", Bucket="photos", Key="k"))["Body"] == b"hello"
        assert (await S3(client)("head_object", Bucket="photos", Key="k"))["ContentLength"] == 5
        client.close()


async def test_what_is_not_offered_is_said_not_to_be(s3: S3, world: World) -> None:
    world.bucket("photos")
    await s3("put_object", Bucket="photos", Key="k", Body=b"x")
    for operation, given in (
        ("put_bucket_versioning", {"VersioningConfiguration": {"Status": "Enabled"}}),
        ("put_bucket_policy", {"Policy": "{}"}),
        ("put_object_retention", {"Key": "k", "Retention": {"Mode": "GOVERNANCE"}}),
        ("get_object_torrent", {"Key": "k"}),
        ("put_object_acl", {"Key": "k", "ACL": "public-read-write"}),
        ("put_object", {"Key": "k", "Body": b"y", "ServerSideEncryption": "AES256"}),
    ):
        assert await s3.code(operation, Bucket="photos", **given) == (501, "NotImplemented"), operation
    assert await s3.code("get_bucket_policy", Bucket="photos") == (404, "NoSuchBucketPolicy")
    assert await s3.code("get_bucket_cors", Bucket="photos") == (404, "NoSuchCORSConfiguration")
    assert (await s3("get_object", Bucket="photos", Key="k"))["Body"] == b"x"


async def test_an_md5_that_does_not_fit_is_a_bad_digest(s3: S3, world: World) -> None:
    world.bucket("photos")
    md5 = base64.b64encode(hashlib.md5(b"other").digest()).decode()
    assert await s3.code("put_object", Bucket="photos", Key="k", Body=b"hello", ContentMD5=md5) == (400, "BadDigest")
    assert await s3.code("get_object", Bucket="photos", Key="k") == (404, "NoSuchKey")


async def test_a_conditional_get_of_the_same_content_is_not_modified(s3: S3, world: World) -> None:
    world.bucket("photos")
    etag = (await s3("put_object", Bucket="photos", Key="k", Body=b"hello"))["ETag"]
    assert await s3.code("get_object", Bucket="photos", Key="k", IfNoneMatch=etag) == (304, "304")
    assert (await s3("get_object", Bucket="photos", Key="k", IfMatch=etag))["Body"] == b"hello"
