"""boto3 against a whole network: odd names, copies, conditions, tags, ACLs, versions."""

from __future__ import annotations

from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import pytest_asyncio
from botocore.exceptions import ClientError

from signer.service import SignerService
from sp.domain.ids import TxHash
from sp.domain.ledger import Visibility
from sp.domain.messages import MsgCreateBucket, TxMessage
from tests.cluster.bucket_client import BucketClient
from tests.cluster.network import KIB, Network
from tests.vectors import payload

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


@pytest_asyncio.fixture(loop_scope="module")
async def s3(network: Network) -> AsyncIterator[BucketClient]:
    made = BucketClient(network)
    await made("create_bucket")
    yield made
    made.close()


async def test_odd_names_are_put_listed_copied_and_deleted(s3: BucketClient) -> None:
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


async def test_a_copy_is_whole_before_and_after_its_source_is_sealed(s3: BucketClient) -> None:
    content = payload(300 * KIB + 7)
    await s3("put_object", Key="k", Body=content, ContentType="text/plain", Metadata={"a": "1"}, Tagging="t=1")
    for n, state in enumerate(("unsealed", "sealed")):
        copied = await s3("copy_object", Key=f"copy-{n}", CopySource={"Bucket": s3.bucket, "Key": "k"})
        read = await s3("get_object", Key=f"copy-{n}")
        assert (read["Body"], read["ContentType"], read["Metadata"]) == (content, "text/plain", {"a": "1"}), state
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
    assert (read["Body"], read["Metadata"]) == (content, {"b": "2"})


async def test_of_many_writers_that_must_be_first_one_is(s3: BucketClient) -> None:
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


async def test_tags_stay_with_their_object_through_its_seal(s3: BucketClient) -> None:
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


async def test_an_acl_is_the_visibility_on_chain(s3: BucketClient, network: Network) -> None:
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


async def test_a_public_bucket_is_listed_and_read_by_everyone(s3: BucketClient) -> None:
    await s3("put_object", Key="k", Body=b"hello", ACL="public-read")
    await s3("put_object", Key="secret", Body=b"hello")
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
    assert (await s3.anonymous("?list-type=2"))[0] == 403
    assert await s3.anonymous("/k") == (200, b"hello"), "an object's ACL is its own"


async def test_a_public_object_overwritten_as_private_is_private(s3: BucketClient) -> None:
    await s3("put_object", Key="k", Body=b"for all", ACL="public-read")
    await s3.sealed("k")
    assert await s3.anonymous("/k") == (200, b"for all")
    await s3("put_object", Key="k", Body=b"for me", ACL="private")
    assert (await s3.anonymous("/k"))[0] == 403
    await s3.sealed("k")
    assert (await s3.anonymous("/k"))[0] == 403
    await s3("put_object", Key="k", Body=b"for all", ACL="public-read")
    assert await s3.anonymous("/k") == (200, b"for all")


async def test_a_bucket_is_made_again_by_its_owner_without_a_transaction(
    s3: BucketClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[TxMessage] = []
    submit = SignerService.submit

    async def recording(self: SignerService, message: TxMessage) -> TxHash:
        made.append(message)
        return await submit(self, message)

    monkeypatch.setattr(SignerService, "submit", recording)
    for _ in range(5):
        await s3("create_bucket")
    assert not [message for message in made if isinstance(message, MsgCreateBucket)]


async def test_an_overwrite_without_an_acl_has_the_default_one_again(s3: BucketClient, network: Network) -> None:
    await s3("put_object", Key="again", Body=b"for all", ACL="public-read")
    await s3.sealed("again")
    await s3("put_object", Key="again", Body=b"for me")
    assert (await s3.anonymous("/again"))[0] == 403, "at once"
    assert len((await s3("get_object_acl", Key="again"))["Grants"]) == 1
    await s3.sealed("again")
    assert (await s3.anonymous("/again"))[0] == 403
    assert (await network.chain.head_object(s3.bucket, "again")).visibility is Visibility.PRIVATE
    assert len((await s3("get_object_acl", Key="again"))["Grants"]) == 1
