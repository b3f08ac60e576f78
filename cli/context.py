"""Which SP a command talks to, and the way there: its sp.toml names the internal endpoints and the chain."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from cli.options import DEFAULT_DIR
from cli.testnet import layout
from sp.domain.errors import NoSuchJob, NotForThisSp
from sp.domain.ids import JobId
from sp.runtime.config import ConfigFile, load

if TYPE_CHECKING:
    from chain.client import Chain
    from sp.runtime.parts import Parts
    from tasknode.client import JobDetail, TaskNode

T = TypeVar("T")

CONFIG_VARIABLE: Final = "SP_CONFIG"


@dataclass(frozen=True, slots=True)
class Where:
    """As the options say: the folder of a test network and maybe one SP of it, or the sp.toml of one SP. When they say
    nothing: the sp.toml that SP_CONFIG names, as in a container, which has only one."""

    dir: Path | None = None
    sp: str | None = None
    config: Path | None = None

    @property
    def chosen(self) -> bool:
        """Whether the options say which SP."""
        return self.sp is not None or self._named_config is not None

    def testnet(self) -> layout.Network:
        """NoTestnet."""
        return layout.load(self.dir or DEFAULT_DIR)

    def config_path(self) -> Path:
        """The chosen SP's, or sp0's."""
        if self._named_config is not None:
            return self._named_config
        testnet = self.testnet()
        return testnet.config_path(testnet.sp(self.sp or testnet.sps[0].name).name)

    @property
    def _named_config(self) -> Path | None:
        if self.config is not None or self.dir is not None or self.sp is not None:
            return self.config
        named = os.environ.get(CONFIG_VARIABLE)
        return Path(named) if named else None


def config_file(where: Where) -> ConfigFile:
    return load(where.config_path(), os.environ)


def run(operation: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(operation)


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[Parts]:
    """What a process of this SP would have, but with no service in it: neighbours are called at their endpoints."""
    from sp.runtime.parts import Parts

    async with Parts(load(path, os.environ)) as parts:
        yield parts


@asynccontextmanager
async def opened_for_bucket(where: Where, bucket: str) -> AsyncIterator[Parts]:
    """The chosen SP, or the one whose bucket it is. NoSuchBucket; NotForThisSp when that is not of this network."""
    path = where.config_path()
    if not where.chosen:
        path = await _primary(where.testnet(), path, bucket)
    async with opened(path) as parts:
        yield parts


async def gateway_of_bucket(where: Where, bucket: str) -> layout.NetworkSp:
    """The SP of the test network that serves the bucket, or the one that the options say."""
    testnet = where.testnet()
    if where.sp is not None:
        return testnet.sp(where.sp)
    path = await _primary(testnet, testnet.config_path(testnet.sps[0].name), bucket)
    return testnet.sp(path.parent.name)


async def _primary(testnet: layout.Network, any_config: Path, bucket: str) -> Path:
    async with opened(any_config) as parts:
        chain = await connect_chain(parts)
        primary = (await chain.head_bucket(bucket)).primary_sp
        found = testnet.sp_of_operator(primary)
        if found is None:
            providers = await chain.storage_providers()
            raise NotForThisSp(bucket, providers[primary].endpoint if primary in providers else "")
    return testnet.config_path(found.name)


async def connect_chain(parts: Parts) -> Chain:
    from chain.open import open_chain

    return await open_chain(parts)


@asynccontextmanager
async def job_found(where: Where, text: str) -> AsyncIterator[tuple[Parts, TaskNode, JobDetail]]:
    """A job by its id, or the newest of BUCKET/KEY, at the SP that has it. NoSuchJob, NoSuchObject."""
    from cli.options import bucket_and_name
    from tasknode import client as tasknode

    if not text.isdigit():
        bucket, object_name = bucket_and_name(text)
        async with opened_for_bucket(where, bucket) as parts:
            node = await tasknode.connect(parts)
            yield parts, node, await node.get_job_of(bucket, object_name)
        return
    job_id = JobId(int(text))
    for path in _candidates(where):
        async with opened(path) as parts:
            node = await tasknode.connect(parts)
            try:
                detail = await node.get_job(job_id)
            except NoSuchJob:
                continue
            yield parts, node, detail
            return
    raise NoSuchJob(job_id)


def _candidates(where: Where) -> list[Path]:
    """Where a job whose id is all we know may be: an id says nothing of its SP."""
    if where.chosen:
        return [where.config_path()]
    testnet = where.testnet()
    return [testnet.config_path(sp.name) for sp in testnet.sps]
