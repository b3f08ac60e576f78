"""boto3 and a bucket with more names than fit on a page. Nothing is sealed: no task node is let at it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from sqlalchemy import Connection

from sp.domain.integrity import integrity_hash
from sp.domain.jobs import PutOrder, StoredPayload
from sp.domain.params import StorageParams
from sp.runtime.ids import JobIds
from spdb.open import shared_database
from spdb.statements import uploads
from tests.cluster.bucket_client import BucketClient
from tests.cluster.network import Network

pytestmark = pytest.mark.asyncio(loop_scope="module")

PLAN = {"sps": 7, "manual_chores": True}


@pytest_asyncio.fixture(loop_scope="module")
async def s3(network: Network) -> AsyncIterator[BucketClient]:
    made = BucketClient(network)
    await made("create_bucket")
    yield made
    made.close()


async def recorded(s3: BucketClient, names: list[str]) -> None:
    """Puts that are acknowledged, without bytes: nobody reads them here."""
    (sp, account) = s3.network.sps[0], s3.network.account.address
    assert sp.parts is not None
    database, clock = await shared_database(sp.parts), sp.parts.clock
    ids, now = JobIds(clock, sp.parts.random), clock.now_ms()

    def put_all(connection: Connection) -> None:
        for name in names:
            order = PutOrder(s3.bucket, name, account, 0, StorageParams())
            job = uploads.begin(connection, ids.next(), order, "test", 60_000, now)
            assert job is not None
            uploads.finish(connection, job, StoredPayload(0, integrity_hash(()), ()), "test", now)

    await database.write(put_all)


async def test_pages_of_2500_names_and_their_deletion_a_thousand_at_a_time(s3: BucketClient) -> None:
    names = [f"{n % 5}/{n:04}" for n in range(2500)]
    await recorded(s3, names)
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
