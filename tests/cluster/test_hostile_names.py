"""Names of objects that spell paths, devices and commands: to the disk they are nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

import pytest
import pytest_asyncio

from piecestore.disk.layout import key_at
from tests.cluster.network import Network, running_network
from tests.cluster.s3 import S3, s3_session

pytestmark = pytest.mark.asyncio(loop_scope="module")

NAMES = [
    "../../../../../../tmp/escaped",
    "..",
    "../sp.toml",
    "a/../../keystore.json",
    "/etc/passwd",
    "//escaped",
    "a/./b",
    "C:\\escaped",
    "..\\..\\escaped",
    "%2e%2e%2fescaped",
    "escaped\n",
    "a\rb\tc",
    "$(touch escaped)",
    "u1_s0",
    "e1_s0_p0",
    "é" * 512,
]

PATIENT = {"uploader": {"lease_ms": 60_000, "small_object_bytes": 0}}  # every payload is a file


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lonely(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Network]:
    """A provider without others: what it acknowledges stays with it."""
    async with running_network(tmp_path_factory.mktemp("network"), sps=1, changes=PATIENT) as network:
        yield network


async def test_no_name_leaves_the_folder_of_the_pieces(lonely: Network) -> None:
    sp = lonely.sps[0]
    async with s3_session(sp, lonely.account) as client:
        await client.make_bucket("photos")
        before = files(lonely.dir)
        for name in NAMES:
            await put_and_read(client, name)
    pieces = sp.dir / "pieces"
    added = files(lonely.dir) - before
    assert len([path for path in added if path.is_relative_to(pieces)]) == len(NAMES)
    for path in added:
        if path.is_relative_to(pieces):
            assert key_at(path) is not None, path
        else:
            assert path.name.startswith(("spdb.sqlite", "chain")) or "data" in path.parts, path
    assert not escaped()


async def put_and_read(client: S3, name: str) -> None:
    path, body = f"/photos/{quote(name, safe='')}", name.encode()
    put = await client.call("PUT", path, body=body)
    assert put.status == 200, (name, put.body)
    got = await client.call("GET", path)
    assert (got.status, got.body) == (200, body), name


def files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


def escaped() -> bool:
    """Whether there is something where the first of the names would have led."""
    return Path("/tmp/escaped").exists()
