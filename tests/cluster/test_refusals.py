"""S3 requests that are refused, over HTTP, with S3's codes; and nothing of them stays."""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from sp.domain.lifecycle import JobState as S
from tests.cluster.conftest import BUCKET, remains
from tests.cluster.making import Account
from tests.cluster.network import KIB, Network, import_account
from tests.cluster.s3 import S3, Answer, s3_session
from tests.vectors import payload

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.usefixtures("nothing_left_afterwards")]

PLAN: dict[str, Any] = {"sps": 7, "manual_chores": True}
BODY = payload(2 * 64 * KIB + 3)


def assert_refused(answer: Answer, status: int, code: str) -> None:
    assert (answer.status, answer.code) == (status, code), answer.body


async def assert_nothing_was_stored(network: Network) -> None:
    assert await remains(network.sps[0]) == ([], {})


async def assert_nothing_stays(network: Network) -> None:
    """What was stored until the refusal is collected."""
    await network.settle(network.sps[0])
    await assert_nothing_was_stored(network)


def flipped(text: str) -> str:
    """With another last hex digit."""
    return text[:-1] + ("0" if text[-1] != "0" else "1")


TAMPERINGS: dict[str, dict[str, Any]] = {
    "method": {"method": "DELETE"},
    "path": {"path": f"/{BUCKET}/another"},
    "query": {"query": "x-id=PutObject"},
    "signed header": {"headers": {"x-amz-meta-colour": "blue"}},
    "added header": {"headers": {"x-amz-meta-size": "large"}},
    "time of signing": {"headers": {"x-amz-date": lambda stamp: stamp[:-3] + ("00Z" if stamp[-3:-1] != "00" else "01Z")}},
    "hash of the body": {"headers": {"x-amz-content-sha256": "0" * 64}},
    "signature": {"headers": {"authorization": flipped}},
    "names of signed headers": {"headers": {"authorization": lambda text: text.replace(";x-amz-meta-colour", "")}},
}


@pytest.mark.parametrize("what", TAMPERINGS)
async def test_a_tampered_put_is_refused_before_anything_is_stored(network: Network, s3: S3, what: str) -> None:
    answer = await s3.call(
        "PUT", f"/{BUCKET}/tampered", headers={"x-amz-meta-colour": "red"}, body=BODY, tamper=TAMPERINGS[what]
    )
    assert_refused(answer, 403, "SignatureDoesNotMatch")
    await assert_nothing_was_stored(network)


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
async def test_a_tampered_request_does_not_reach_an_object(network: Network, s3: S3, method: str) -> None:
    await s3.put(BUCKET, "kept", BODY)
    answer = await s3.call(method, f"/{BUCKET}/other", tamper={"path": f"/{BUCKET}/kept"})
    assert answer.status == 403
    assert (await s3.get(BUCKET, "kept")).body == BODY
    await network.sealed(network.sps[0], BUCKET, "kept")


async def test_a_tampered_body_is_refused_and_leaves_nothing(network: Network, s3: S3) -> None:
    answer = await s3.call("PUT", f"/{BUCKET}/tampered", body=BODY, tamper={"body": BODY[:-1] + b"!"})
    assert_refused(answer, 400, "XAmzContentSHA256Mismatch")
    assert (await s3.get(BUCKET, "tampered")).status == 404
    await assert_nothing_stays(network)


async def test_a_request_signed_an_hour_ago_is_refused(network: Network, s3: S3, monkeypatch: Any) -> None:
    import tests.cluster.s3 as client

    now = client.time.time
    monkeypatch.setattr(client.time, "time", lambda: now() - 3600)
    answer = await s3.put(BUCKET, "late", BODY)
    assert_refused(answer, 403, "RequestTimeTooSkewed")
    await assert_nothing_was_stored(network)


async def test_an_unknown_access_key_is_refused(network: Network, s3: S3) -> None:
    async with s3_session(network.sps[0], Account.new(77)) as stranger:
        assert_refused(await stranger.put(BUCKET, "stranger", BODY), 403, "InvalidAccessKeyId")
    await assert_nothing_was_stored(network)


# --- other accounts -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("whose", ["another account", "anonymous"])
async def test_a_private_bucket_is_closed_to_others(network: Network, s3: S3, whose: str) -> None:
    await s3.put(BUCKET, "private", BODY)
    await network.sealed(network.sps[0], BUCKET, "private")
    other = Account.new(2)
    if not any(a.name == "other" for a in await network.sps[0].signer.list_accounts()):
        await import_account(network.sps[0], other, "other")
    unsigned = {"headers": dict.fromkeys(("authorization", "x-amz-date", "x-amz-content-sha256"), "")}
    async with s3_session(network.sps[0], other) as client:
        for method, name in (("GET", "private"), ("DELETE", "private"), ("PUT", "private"), ("PUT", "new")):
            body = BODY if method == "PUT" else b""
            path = f"/{BUCKET}/{name}"
            if whose == "anonymous":
                answer = await anonymous(client, method, path, body)
            else:
                answer = await client.call(method, path, body=body)
            assert_refused(answer, 403, "AccessDenied")
    assert unsigned
    assert (await s3.get(BUCKET, "private")).body == BODY
    assert (await s3.get(BUCKET, "new")).status == 404
