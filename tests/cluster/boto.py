"""boto3 against one provider of a network, in a thread, so that the network's loop goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.cluster.network import REGION, Account, Sp

T = TypeVar("T")


class Boto:
    """Requests that fail are not sent again."""

    def __init__(self, sp: Sp, account: Account) -> None:
        self._client = boto3.session.Session().client(
            "s3",
            endpoint_url=sp.endpoint,
            region_name=REGION,
            aws_access_key_id=account.access_key_id,
            aws_secret_access_key=account.secret_access_key,
            config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1}, proxies={}),
        )

    async def __call__(self, operation: str, **given: Any) -> dict[str, Any]:
        def call(client: Any) -> dict[str, Any]:
            reply: dict[str, Any] = getattr(client, operation)(**given)
            if "Body" in reply:
                reply["Body"] = reply["Body"].read()
            return reply

        return await self.run(call)

    async def refusal(self, operation: str, **given: Any) -> str:
        """The code of the error that this must end in."""
        try:
            await self(operation, **given)
        except ClientError as error:
            return str(error.response["Error"]["Code"])
        raise AssertionError(f"{operation} was not refused")

    async def run(self, work: Callable[[Any], T]) -> T:
        return await asyncio.to_thread(work, self._client)

    def close(self) -> None:
        self._client.close()
