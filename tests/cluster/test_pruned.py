"""A provider was away for longer than the chain remembers events: it looks at everything once, and is right again."""

from __future__ import annotations

from pathlib import Path

import pytest

from sp.domain.ledger import Visibility
from sp.domain.messages import MsgDeleteObject, MsgUpdateBucketInfo
from tests.cluster.conftest import BUCKET
from tests.cluster.network import KIB, running_network
from tests.cluster.s3 import s3_session
from tests.cluster.users import User
from tests.vectors import payload

pytestmark = pytest.mark.asyncio

BODY = payload(2 * 64 * KIB + 5)


async def test_deletions_whose_events_are_forgotten_are_found_by_the_round(tmp_path: Path) -> None:
    async with running_network(tmp_path, 7, manual_chores=True, chain_changes={"history_txs": 5}) as network:
        primary = network.sps[0]
        async with s3_session(primary, network.account) as s3:
            await s3.make_bucket(BUCKET)
            for name in ("gone", "stays"):
                assert (await s3.put(BUCKET, name, BODY)).status == 200
                await network.sealed(primary, BUCKET, name)
            await network.settle()
            holder = network.sp_of((await network.chain.head_object(BUCKET, "gone")).secondaries[0])
            for sp in (primary, holder):
                await sp.stop()
            owner = User(network.account.key, network.chain)
            await owner.execute(MsgDeleteObject(owner.address, BUCKET, "gone"))
            for number in range(20):
                visibility = (Visibility.PRIVATE, Visibility.PUBLIC_READ)[number % 2]
                await owner.execute(MsgUpdateBucketInfo(owner.address, BUCKET, visibility))
            assert network.node.history.forgotten > 0
            for sp in (primary, holder):
                await sp.start()
        async with s3_session(primary, network.account) as s3:
            await network.settle()
            assert (await s3.get(BUCKET, "gone")).status == 404
            assert (await s3.get(BUCKET, "stays")).body == BODY
            left = {"/".join(key.split("_")[:1]) for sp in network.sps for key in await sp.keys()}
            assert len(left) == 2, "the segments and the pieces of one object"
