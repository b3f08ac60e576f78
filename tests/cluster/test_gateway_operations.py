"""boto3 against a whole network: deletions by the thousand, copies, conditions, tags, ACLs, versions, odd names."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import aiohttp
import boto3
import pytest
import pytest_asyncio
from botocore.config import Config
from botocore.exceptions import ClientError
from yarl import URL

from sp.domain.ledger import Visibility
from tests.cluster.network import KIB, REGION, Network
from tests.cluster.test_gateway_http import payload_of

T = TypeVar("T")

pytestmark = pytest.mark.asyncio(loop_scope="module")

PLAN = {"sps": 7}

ODD_NAMES = [
    "a b",
    "a+b",
    "a%20b",
    "a%b",
    "//x",
    "/leading",
    "x//y/",
    "../up",
    "./here/..",
    "gr\u00fc\u00df/\u4f60\U0001f600",
    "tab\tnewline\n",
    "\x01\x1f",
    "<a>&\"'b",
    "e" * 1024,
]


class S3:
    """boto3 in a thread, so that the network's loop goes on. `bucket`: of the test's own"""

    _made = itertools.count()

    def __init__(self, network: Network) -> None:
        self.network = network
        self.bucket = f"operations-{next(self._made)}"
        self.endpoint = network.sps[0].endpoint
        self._client = boto3.session.Session().client(
            "s3",
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id=network.account.access_key_id,
            aws_secret_access_key=network.account.secret_access_key,
            config=Config(
                s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}, proxies={}, max_pool_connections=32
            ),
        )

    async def __call__(self, operation: str, **given: Any) -> dict[str, Any]:
        def call(client: Any) -> dict[str, Any]:
            reply: dict[str, Any] = getattr(client, operation)(**{"Bucket": self.bucket, **given})
            if "Body" in reply:
                reply["Body"] = reply["Body"].read()
            return reply

        return await self.run(call)

    async def run(self, work: Callable[[Any], T]) -> T:
        return await asyncio.to_thread(work, self._client)

    async def code(self, operation: str, **given: Any) -> tuple[int, str]:
        with pytest.raises(ClientError) as refused:
            await self(operation, **given)
        response = refused.value.response
        return response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"]

    async def put_all(self, names: list[str]) -> None:
        def put(client: Any) -> None:
            with ThreadPoolExecutor(16) as pool:
                list(pool.map(lambda name: client.put_object(Bucket=self.bucket, Key=name, Body=b"x"), names))

        await self.run(put)

    async def names(self, operation: str = "list_objects_v2", **given: Any) -> list[str]:
        def listed(client: Any) -> list[str]:
            pages = client.get_paginator(operation).paginate(Bucket=self.bucket, **given)
            what = "Versions" if operation == "list_object_versions" else "Contents"
            return [found["Key"] for page in pages for found in page.get(what, [])]

        return await self.run(listed)

    async def sealed(self, name: str) -> None:
        await self.network.sealed(self.network.sps[0], self.bucket, name)

    async def anonymous(self, path: str) -> tuple[int, bytes]:
        async with (
            aiohttp.ClientSession() as session,
            session.get(URL(f"{self.endpoint}/{self.bucket}{path}", encoded=True)) as answer,
        ):
            return answer.status, await answer.read()

    def close(self) -> None:
        self._client.close()


@pytest_asyncio.fixture(loop_scope="module")
async def s3(network: Network) -> AsyncIterator[S3]:
    made = S3(network)
    await made("create_bucket")
    yield made
    made.close()


async def test_odd_names_are_put_listed_copied_and_deleted(s3: S3) -> None:
    await s3.put_all(ODD_NAMES)
    ordered = sorted(ODD_NAMES, key=str.encode)
    for operation in ("list_objects", "list_objects_v2", "list_object_versions"):
        assert await s3.names(operation, PaginationConfig={"PageSize": 3}) == ordered
    for name in ODD_NAMES:
        await s3("copy_object", Key="copy", CopySource={"Bucket": s3.bucket, "Key": name})
        assert (await s3("get_object", Key=name))["Body"] == b"x"
    by_document = [name for name in ODD_NAMES if "\x01" not in name]
    reply = await s3("delete_objects", Delete={"Objects": [{"Key": name} for name in by_document]})
    assert sorted(done["Key"] for done in reply["Deleted"]) == sorted(by_document)
    await s3("delete_object", Key="\x01\x1f")
    assert await s3.names() == ["copy"]


async def test_pages_of_2500_names_and_their_deletion_a_thousand_at_a_time(s3: S3) -> None:
    names = [f"{n % 5}/{n:04}" for n in range(2500)]
    await s3.put_all(names)
    assert await s3.names() == await s3.names("list_objects") == sorted(names)
    assert await s3.names("list_object_versions") == sorted(names)
    assert await s3.names(PaginationConfig={"PageSize": 7}, Prefix="3/") == sorted(n for n in names if n[0] == "3")
    folders = await s3("list_objects_v2", Delimiter="/", MaxKeys=3)
    assert [p["Prefix"] for p in folders["CommonPrefixes"]] == ["0/", "1/", "2/"]
    assert folders["IsTruncated"]
    assert folders["KeyCount"] == 3
    for at in range(0, 2500, 1000):
        objects = [{"Key": name} for name in names[at : at + 1000]]
        reply = await s3("delete_objects", Delete={"Objects": objects, "Quiet": True})
        assert "Errors" not in reply
    assert await s3.names() == []


async def test_a_copy_is_whole_before_and_after_its_source_is_sealed(s3: S3) -> None:
    payload = payload_of(300 * KIB + 7)
    await s3("put_object", Key="k", Body=payload, ContentType="text/plain", Metadata={"a": "1"}, Tagging="t=1")
    for n, state in enumerate(("unsealed", "sealed")):
        copied = await s3("copy_object", Key=f"copy-{n}", CopySource={"Bucket": s3.bucket, "Key": "k"})
        read = await s3("get_object", Key=f"copy-{n}")
        assert (read["Body"], read["ContentType"], read["Metadata"]) == (payload, "text/plain", {"a": "1"}), state
        assert (read["ETag"], read["TagCount"]) == (copied["CopyObjectResult"]["ETag"], 1)
        await s3.sealed("k")
    await s3.sealed("copy-1")
    await s3(
        "copy_object",
        Key="k",
        CopySource={"Bucket": s3.bucket, "Key": "k"},
        MetadataDirective="REPLACE",
        Metadata={"b": "2"},
    )
    await s3.sealed("k")
    read = await s3("get_object", Key="k")
    assert (read["Body"], read["Metadata"]) == (payload, {"b": "2"})


async def test_of_many_writers_that_must_be_first_one_is(s3: S3) -> None:
    def race(client: Any) -> list[str]:
        def put(n: int) -> str:
            try:
                client.put_object(Bucket=s3.bucket, Key="k", Body=b"%d" % n, IfNoneMatch="*")
            except ClientError as refused:
                return str(refused.response["Error"]["Code"])
            return "won"

        with ThreadPoolExecutor(8) as pool:
            return list(pool.map(put, range(8)))

    outcomes = await s3.run(race)
    assert sorted(outcomes) == ["PreconditionFailed"] * 7 + ["won"]
    read = await s3("get_object", Key="k")
    assert read["Body"] == b"%d" % outcomes.index("won")
    replaced = await s3("put_object", Key="k", Body=b"next", IfMatch=read["ETag"])
    assert await s3.code("put_object", Key="k", Body=b"late", IfMatch=read["ETag"]) == (412, "PreconditionFailed")
    assert await s3.code("delete_object", Key="k", IfMatch=read["ETag"]) == (412, "PreconditionFailed")
    await s3("delete_object", Key="k", IfMatch=replaced["ETag"])
    assert await s3.code("put_object", Key="k", Body=b"late", IfMatch=replaced["ETag"]) == (404, "NoSuchKey")


async def test_tags_stay_with_their_object_through_its_seal(s3: S3) -> None:
    await s3("put_object", Key="k", Body=b"x", Tagging="a=1&b=2")
    await s3.sealed("k")
    assert (await s3("head_object", Key="k"))["TagCount"] == 2
    await s3("put_object_tagging", Key="k", Tagging={"TagSet": [{"Key": "c", "Value": "gr\u00fcn"}]})
    assert (await s3("get_object_tagging", Key="k"))["TagSet"] == [{"Key": "c", "Value": "gr\u00fcn"}]
    await s3("delete_object_tagging", Key="k")
    assert (await s3("get_object_tagging", Key="k"))["TagSet"] == []
    await s3("put_object_tagging", Key="k", Tagging={"TagSet": [{"Key": "d", "Value": "1"}]})
    await s3("put_object", Key="k", Body=b"y")
    assert (await s3("get_object_tagging", Key="k"))["TagSet"] == []


async def test_an_acl_is_the_visibility_on_chain(s3: S3, network: Network) -> None:
    for name in ("early", "late"):
        await s3("put_object", Key=name, Body=b"hello")
    assert (await s3.anonymous("/early"))[0] == 403
    await s3("put_object_acl", Key="early", ACL="public-read")
    await s3.sealed("late")
    await s3("put_object_acl", Key="late", ACL="public-read")
    for name in ("early", "late"):
        await s3.sealed(name)
        assert await s3.anonymous(f"/{name}") == (200, b"hello")
        assert (await network.chain.head_object(s3.bucket, name)).visibility is Visibility.PUBLIC_READ
        assert len((await s3("get_object_acl", Key=name))["Grants"]) == 2
    assert (await s3.anonymous("?list-type=2"))[0] == 403
    acl = await s3("get_object_acl", Key="late")
    private = {"Owner": acl["Owner"], "Grants": acl["Grants"][:1]}
    await s3("put_object_acl", Key="late", AccessControlPolicy=private)
    assert (await s3.anonymous("/late"))[0] == 403


async def test_a_public_bucket_is_listed_and_read_by_everyone(s3: S3) -> None:
    await s3("put_object", Key="k", Body=b"hello")
    await s3("put_object", Key="secret", Body=b"hello", ACL="private")
    await s3("put_bucket_acl", ACL="public-read")
    assert len((await s3("get_bucket_acl"))["Grants"]) == 2
    await s3.sealed("secret")
    status, listing = await s3.anonymous("?list-type=2")
    assert (status, listing.count(b"<Key>")) == (200, 2)
    assert (await s3.anonymous("?versions"))[0] == 200
    assert await s3.anonymous("/k") == (200, b"hello")
    assert (await s3.anonymous("/secret"))[0] == 403
    assert (await s3.anonymous("/k?response-content-type=text%2Fhtml"))[0] == 400
    await s3("put_bucket_acl", ACL="private")
    assert (await s3.anonymous("/k"))[0] == 403


async def test_a_public_object_overwritten_as_private_is_private(s3: S3) -> None:
    await s3("put_object", Key="k", Body=b"for all", ACL="public-read")
    await s3.sealed("k")
    assert await s3.anonymous("/k") == (200, b"for all")
    await s3("put_object", Key="k", Body=b"for me", ACL="private")
    assert (await s3.anonymous("/k"))[0] == 403
    await s3.sealed("k")
    assert (await s3.anonymous("/k"))[0] == 403
    await s3("put_object", Key="k", Body=b"for all", ACL="public-read")
    assert await s3.anonymous("/k") == (200, b"for all")


async def test_a_bucket_is_made_again_by_its_owner_without_a_transaction(s3: S3, network: Network) -> None:
    nonce = (await network.chain.account(network.account.address)).nonce
    for _ in range(5):
        await s3("create_bucket")
    assert (await network.chain.account(network.account.address)).nonce == nonce
