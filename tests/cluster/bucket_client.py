"""boto3 with a bucket of its own at the first provider of a network, and short ways to what tests ask of it."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import aiohttp
import pytest
from botocore.exceptions import ClientError
from yarl import URL

from tests.cluster.boto import Boto
from tests.cluster.network import Network

_COUNT = itertools.count()


class BucketClient(Boto):
    """Every call is about `bucket`, unless it says otherwise."""

    def __init__(self, network: Network) -> None:
        super().__init__(network.sps[0], network.account)
        self.network = network
        self.bucket = f"operations-{next(_COUNT)}"

    async def __call__(self, operation: str, **given: Any) -> dict[str, Any]:
        return await super().__call__(operation, **{"Bucket": self.bucket, **given})

    async def code(self, operation: str, **given: Any) -> tuple[int, str]:
        """Status and code of the error that this must end in."""
        with pytest.raises(ClientError) as refused:
            await self(operation, **given)
        response = refused.value.response
        return response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"]

    async def put_all(self, names: list[str]) -> None:
        def put(client: Any) -> None:
            with ThreadPoolExecutor(8) as pool:
                list(pool.map(lambda name: client.put_object(Bucket=self.bucket, Key=name, Body=b"x"), names))

        await self.run(put)

    async def names(self, operation: str = "list_objects_v2", **given: Any) -> list[str]:
        """All that the pages of a listing hold."""

        def listed(client: Any) -> list[str]:
            pages = client.get_paginator(operation).paginate(Bucket=self.bucket, **given)
            what = "Versions" if operation == "list_object_versions" else "Contents"
            return [found["Key"] for page in pages for found in page.get(what, [])]

        return await self.run(listed)

    async def sealed(self, name: str) -> None:
        await self.network.sealed(self.network.sps[0], self.bucket, name)

    async def anonymous(self, path: str) -> tuple[int, bytes]:
        """A GET that nobody has signed. path: below the bucket, percent-encoded"""
        url = URL(f"{self.network.sps[0].endpoint}/{self.bucket}{path}", encoded=True)
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            return answer.status, await answer.read()
