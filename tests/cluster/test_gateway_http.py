"""boto3 against a whole network: what S3 users do, with nothing in between replaced."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

import boto3
import pytest
import pytest_asyncio
from botocore.config import Config
from botocore.exceptions import ClientError

from sp.domain.ledger import ObjectStatus
from tests.cluster.network import KIB, REGION, Network, running_network

T = TypeVar("T")

NAMES = ["a", "a b", "a+b", "a/1", "a/2", "b/ü/c", "b/%20", "z"]


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def network(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Network]:
    async with running_network(tmp_path_factory.mktemp("network"), sps=7) as made:
        yield made


class S3:
    """boto3 in a thread, so that the network's loop goes on."""

    _made = itertools.count()

    def __init__(self, network: Network, sp: int = 0) -> None:
        self.bucket = f"photos-{next(self._made)}"
        self._client = boto3.session.Session().client(
            "s3",
            endpoint_url=network.sps[sp].endpoint,
            region_name=REGION,
            aws_access_key_id=network.account.access_key_id,
            aws_secret_access_key=network.account.secret_access_key,
            config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1}, proxies={}),
        )

    async def __call__(self, operation: str, **given: Any) -> dict[str, Any]:
        def call(client: Any) -> dict[str, Any]:
            reply: dict[str, Any] = getattr(client, operation)(**given)
            if "Body" in reply:
                reply["Body"] = reply["Body"].read()
            return reply

        return await self.run(call)

    async def run(self, work: Callable[[Any], T]) -> T:
        return await asyncio.to_thread(work, self._client)

    def close(self) -> None:
        self._client.close()


@pytest_asyncio.fixture(loop_scope="module")
async def s3(network: Network) -> AsyncIterator[S3]:
    """A client, and a bucket of the test's own: `s3.bucket`."""
    made = S3(network)
    await made("create_bucket", Bucket=made.bucket)
    yield made
    made.close()


def payload_of(size: int) -> bytes:
    return (hashlib.sha512(b"seed").digest() * (size // 64 + 1))[:size]


async def test_an_object_is_there_before_and_after_its_seal(network: Network, s3: S3) -> None:
    payload = payload_of(300 * KIB + 7)
    stored = await s3("put_object", Bucket=s3.bucket, Key="k", Body=payload, ContentType="text/plain")
    for _ in ("at once", "sealed"):
        read = await s3("get_object", Bucket=s3.bucket, Key="k")
        assert (read["Body"], read["ETag"], read["ContentType"]) == (payload, stored["ETag"], "text/plain")
        part = await s3("get_object", Bucket=s3.bucket, Key="k", Range="bytes=65530-131080")
        assert (part["Body"], part["ContentRange"]) == (payload[65530:131081], f"bytes 65530-131080/{len(payload)}")
        await network.sealed(network.sps[0], s3.bucket, "k")
    head = await s3("head_object", Bucket=s3.bucket, Key="k")
    assert head["ResponseMetadata"]["HTTPHeaders"]["x-sp-object-status"] == "SEALED"


async def test_an_overwrite_is_seen_at_once(network: Network, s3: S3) -> None:
    for n in range(3):
        payload = payload_of(70 * KIB + n)
        await s3("put_object", Bucket=s3.bucket, Key="k", Body=payload)
        assert (await s3("get_object", Bucket=s3.bucket, Key="k"))["Body"] == payload
    await network.sealed(network.sps[0], s3.bucket, "k")
    assert (await s3("get_object", Bucket=s3.bucket, Key="k"))["Body"] == payload


async def test_listings_by_pages_and_folders(s3: S3) -> None:
    for name in NAMES:
        await s3("put_object", Bucket=s3.bucket, Key=name, Body=name.encode())

    def listed(client: Any, **given: Any) -> tuple[list[str], list[str]]:
        pages = list(
            client.get_paginator("list_objects_v2").paginate(
                Bucket=s3.bucket, PaginationConfig={"PageSize": 2}, **given
            )
        )
        keys = [found["Key"] for page in pages for found in page.get("Contents", [])]
        return keys, [found["Prefix"] for page in pages for found in page.get("CommonPrefixes", [])]

    assert await s3.run(listed) == (sorted(NAMES, key=str.encode), [])
    assert await s3.run(lambda client: listed(client, Delimiter="/")) == (["a", "a b", "a+b", "z"], ["a/", "b/"])
    for name in NAMES:
        assert (await s3("get_object", Bucket=s3.bucket, Key=name))["Body"] == name.encode()


async def test_a_bucket_goes_with_its_last_object(network: Network, s3: S3) -> None:
    await s3("put_object", Bucket=s3.bucket, Key="k", Body=b"hello")
    await network.sealed(network.sps[0], s3.bucket, "k")
    with pytest.raises(ClientError, match="BucketNotEmpty"):
        await s3("delete_bucket", Bucket=s3.bucket)
    await s3("delete_object", Bucket=s3.bucket, Key="k")
    with pytest.raises(ClientError, match="NoSuchKey"):
        await s3("get_object", Bucket=s3.bucket, Key="k")
    await s3("delete_bucket", Bucket=s3.bucket)
    assert s3.bucket not in [bucket["Name"] for bucket in (await s3("list_buckets"))["Buckets"]]


async def test_an_empty_object_is_an_object(network: Network, s3: S3) -> None:
    await s3("put_object", Bucket=s3.bucket, Key="folder/", Body=b"")
    assert (await s3("get_object", Bucket=s3.bucket, Key="folder/"))["Body"] == b""
    detail = await network.sealed(network.sps[0], s3.bucket, "folder/")
    assert detail.job.object_id is not None
    chain = network.sps[0].services["gateway"].gateway.access.view.chain
    assert (await chain.head_object(s3.bucket, "folder/")).status is ObjectStatus.SEALED


async def test_another_provider_says_where_the_bucket_is(network: Network, s3: S3) -> None:
    elsewhere = S3(network, sp=1)
    try:
        with pytest.raises(ClientError) as moved:
            await elsewhere("head_object", Bucket=s3.bucket, Key="k")
        assert moved.value.response["ResponseMetadata"]["HTTPStatusCode"] == 307
    finally:
        elsewhere.close()
