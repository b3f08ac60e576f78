"""Every framing with every checksum, through a whole provider: what is read back is what was put."""

from __future__ import annotations

import io
import time
from typing import Any

import pytest
from yarl import URL

from tests.cluster.conftest import BUCKET, remains
from tests.cluster.network import KIB, REGION, Network
from tests.cluster.s3 import S3, Answer
from tests.framing import (
    CHECKSUMS,
    SIGNED,
    SIGNED_TRAILER,
    UNSIGNED_TRAILER,
    Credential,
    checksum,
    cut,
    streaming_put,
)
from tests.vectors import payload

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.usefixtures("nothing_left_afterwards")]

PLAN: dict[str, Any] = {"sps": 7, "manual_chores": True}
BODY = payload(3 * 64 * KIB + 5)
"""Four segments, the last one short; chunks of another size than segments."""

FRAMED = [(SIGNED, ""), *((name, algorithm) for name in (SIGNED_TRAILER, UNSIGNED_TRAILER) for algorithm in CHECKSUMS)]


async def framed_put(s3: S3, framing: str, algorithm: str, change: bytes = b"") -> Answer:
    """change: bytes that stand in for the payload's first ones after signing"""
    assert s3.account is not None
    host = f"127.0.0.1:{s3.sp.ports['gateway']}"
    credential = Credential(s3.account.access_key_id, s3.account.secret_access_key, REGION)
    pieces = cut(BODY, [8 * KIB] * 7 + [100_000])
    headers, body = streaming_put(
        credential, host, f"/{BUCKET}/k", pieces, framing, int(time.time()), algorithm=algorithm
    )
    if change:
        at = body.index(BODY[:100])
        body = body[:at] + change + body[at + len(change) :]
    url = URL(f"{s3.sp.endpoint}/{BUCKET}/k", encoded=True)
    async with s3.session.put(url, headers=dict(headers), data=io.BytesIO(body)) as answer:
        return Answer(answer.status, dict(answer.headers), await answer.read())


@pytest.mark.parametrize(("framing", "algorithm"), FRAMED)
async def test_a_framed_object_is_read_back_as_it_was(network: Network, s3: S3, framing: str, algorithm: str) -> None:
    stored = await framed_put(s3, framing, algorithm)
    assert stored.status == 200, stored.body
    for _ in ("before its seal", "after it"):
        read = await s3.get(BUCKET, "k", **{"x-amz-checksum-mode": "ENABLED"})
        assert (read.status, read.body) == (200, BODY)
        if algorithm:
            name = f"x-amz-checksum-{algorithm}"
            assert read.headers[name] == stored.headers[name] == checksum(algorithm, BODY)
            assert read.headers["x-amz-checksum-type"] == "FULL_OBJECT"
        await network.sealed(network.sps[0], BUCKET, "k")


@pytest.mark.parametrize(
    ("framing", "algorithm", "status", "code"),
    [
        (SIGNED, "", 403, "SignatureDoesNotMatch"),
        (SIGNED_TRAILER, "sha256", 403, "SignatureDoesNotMatch"),
        (UNSIGNED_TRAILER, "crc64nvme", 400, "BadDigest"),
    ],
)
async def test_a_changed_payload_leaves_nothing(
    network: Network, s3: S3, framing: str, algorithm: str, status: int, code: str
) -> None:
    refused = await framed_put(s3, framing, algorithm, change=b"???")
    assert (refused.status, refused.code) == (status, code)
    assert (await s3.get(BUCKET, "k")).status == 404
    await network.settle(network.sps[0])
    assert await remains(network.sps[0]) == ([], {})


@pytest.mark.parametrize("algorithm", CHECKSUMS)
async def test_a_checksum_in_a_header_is_kept(network: Network, s3: S3, algorithm: str) -> None:
    name = f"x-amz-checksum-{algorithm}"
    stored = await s3.put(BUCKET, "k", BODY, **{name: checksum(algorithm, BODY)})
    assert (stored.status, stored.headers[name]) == (200, checksum(algorithm, BODY))
    read = await s3.get(BUCKET, "k", **{"x-amz-checksum-mode": "ENABLED"})
    assert (read.body, read.headers[name]) == (BODY, checksum(algorithm, BODY))
    await network.sealed(network.sps[0], BUCKET, "k")
