"""Greenfield users who keep their own keys: create on chain, put with GNFD1-ECDSA; and what they are refused."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from sp.domain.ledger import ObjectStatus
from sp.domain.lifecycle import JobState as S
from sp.domain.messages import MsgCancelCreateObject, MsgDeleteObject, MsgUpdateObjectContent
from tests.cluster.conftest import remains
from tests.cluster.network import KIB, Network
from tests.cluster.s3 import S3, Answer, s3_session
from tests.cluster.users import User, checksums_of
from tests.vectors import payload

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.usefixtures("nothing_left_afterwards")]

PLAN: dict[str, Any] = {"sps": 7, "manual_chores": True}
BODY = payload(3 * 64 * KIB + 11)
OTHER = bytes(reversed(BODY))
OWN = "their-own"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def user(network: Network) -> User:
    user = User.new(network.chain)
    await user.create_bucket(OWN, network.sps[0].operator)
    return user


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(network: Network, user: User) -> AsyncIterator[S3]:
    async with s3_session(network.sps[0], None, user.key) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="module")
async def waiting(network: Network, user: User, nothing_left_afterwards: None) -> AsyncIterator[str]:
    """An object that is on chain and waits for its payload, BODY. It is gone after the test, whatever became of it."""
    await user.create_object(OWN, "waiting", BODY)
    yield "waiting"
    await user.execute(MsgDeleteObject(user.address, OWN, "waiting"))


def assert_refused(answer: Answer, status: int, code: int) -> None:
    assert (answer.status, answer.code) == (status, str(code)), answer.body
    assert answer.headers["Content-Type"] == "application/xml"
    assert answer.headers["X-Gnfd-Request-ID"]


async def assert_nothing_stays(network: Network) -> None:
    await network.settle(network.sps[0])
    assert await remains(network.sps[0]) == ([], {})


async def test_a_user_puts_what_he_created_on_chain_and_reads_it_back(
    network: Network, user: User, client: S3, waiting: str
) -> None:
    answer = await client.put(OWN, waiting, BODY)
    assert answer.status == 200, answer.body
    detail = await network.sealed(network.sps[0], OWN, waiting)
    assert not detail.job.delegated
    found = await network.chain.head_object(OWN, waiting)
    assert (found.status, found.creator, found.checksums) == (ObjectStatus.SEALED, user.address, checksums_of(BODY))
    read = await client.get(OWN, waiting)
    assert (read.body, read.headers["x-sp-object-status"]) == (BODY, "SEALED")
    assert read.headers["Content-Type"] == "text/plain"
    part = await client.get(OWN, waiting, Range="bytes=65000-66000")
    assert (part.status, part.body) == (206, BODY[65000:66001])


async def test_an_update_of_content_is_put_and_sealed_as_the_next_version(
    network: Network, user: User, client: S3, waiting: str
) -> None:
    await client.put(OWN, waiting, BODY)
    await network.sealed(network.sps[0], OWN, waiting)
    await user.execute(MsgUpdateObjectContent(user.address, OWN, waiting, len(OTHER), "image/png", checksums_of(OTHER)))
    assert_refused(await client.put(OWN, waiting, BODY), 406, 110004)  # of the same size, but not what was announced
    assert (await client.get(OWN, waiting)).body == BODY
    assert (await client.put(OWN, waiting, OTHER)).status == 200
    await network.sealed(network.sps[0], OWN, waiting)
    found = await network.chain.head_object(OWN, waiting)
    assert (found.version, found.checksums) == (1, checksums_of(OTHER))
    assert (await client.get(OWN, waiting)).body == OTHER


# --- repeats ------------------------------------------------------------------------------------------------------


async def test_a_put_that_was_acknowledged_is_refused_when_repeated_before_and_after_its_seal(
    network: Network, client: S3, waiting: str
) -> None:
    primary = network.sps[0]
    holder = network.ranked(primary, (await network.chain.head_object(OWN, waiting)).id, 0)[0]
    receiving = holder.pieces.hang("commit")
    assert (await client.put(OWN, waiting, BODY)).status == 200
    await receiving.reached.wait()
    assert_refused(await client.put(OWN, waiting, BODY), 409, 110006)
    receiving.release()
    await network.sealed(primary, OWN, waiting)
    assert_refused(await client.put(OWN, waiting, BODY), 403, 110002)
    assert (await client.get(OWN, waiting)).body == BODY
    assert len(await primary.keys()) == 4


async def test_a_second_put_while_the_first_is_on_its_way_is_refused(
    network: Network, client: S3, waiting: str
) -> None:
    async with client.begun_put(OWN, waiting, len(BODY)) as (reader, writer):
        assert_refused(await client.put(OWN, waiting, BODY), 406, 110003)
        writer.write(BODY)
        await writer.drain()
        assert b" 200 " in await reader.readline()
    await network.sealed(network.sps[0], OWN, waiting)


async def test_a_put_that_failed_can_be_put_again(network: Network, client: S3, waiting: str) -> None:
    async with client.begun_put(OWN, waiting, len(BODY)) as (_, writer):
        writer.write(BODY[:100])
    assert (await network.settled(network.sps[0], OWN, waiting)).job.state is S.UPLOAD_OBJECT_ERROR
    assert_refused(await client.put(OWN, waiting, OTHER), 406, 110004)
    assert (await client.put(OWN, waiting, BODY)).status == 200
    await network.sealed(network.sps[0], OWN, waiting)


# --- payloads that were not announced -----------------------------------------------------------------------------


async def test_bytes_without_the_root_on_chain_are_refused_and_leave_nothing(
    network: Network, client: S3, waiting: str
) -> None:
    assert_refused(await client.put(OWN, waiting, OTHER), 406, 110004)
    assert (await network.chain.head_object(OWN, waiting)).status is ObjectStatus.CREATED
    assert (await client.get(OWN, waiting)).status == 404
    await assert_nothing_stays(network)


@pytest.mark.parametrize(
    ("body", "code"),
    [(BODY[:-1], 110005), (BODY + b"!", 110008), (b"x", 110005)],
    ids=["short", "long", "much too short"],
)
@pytest.mark.parametrize("chunked", [False, True], ids=["declared", "chunked"])
async def test_a_payload_of_another_length_than_on_chain_is_refused_and_leaves_nothing(
    network: Network, client: S3, waiting: str, body: bytes, code: int, chunked: bool
) -> None:
    async def in_chunks() -> AsyncIterator[bytes]:
        for at in range(0, len(body), 10_000):
            yield body[at : at + 10_000]

    answer = await client.call("PUT", f"/{OWN}/{waiting}", body=in_chunks() if chunked else body)
    assert_refused(answer, 400, 110008 if len(body) > len(BODY) else 110005)
    await assert_nothing_stays(network)


async def test_an_object_that_is_not_on_chain_is_refused(network: Network, client: S3) -> None:
    assert_refused(await client.put(OWN, "not there", BODY), 404, 50025)
    assert_refused(await client.put("no-such-bucket", "name", BODY), 404, 20007)
    assert await remains(network.sps[0]) == ([], {})


async def test_columns_that_are_not_the_announced_ones_are_never_sealed(
    network: Network, user: User, client: S3
) -> None:
    """The root is right, so the primary takes the bytes; a column's hash on chain is wrong, so no secondary signs. That
    is the user's mistake and nobody else's: no retry can help, and no provider is blamed."""
    wrong = (*checksums_of(BODY)[:4], *checksums_of(OTHER)[4:])
    await user.create_object(OWN, "wrong columns", BODY, wrong)
    assert (await client.put(OWN, "wrong columns", BODY)).status == 200
    detail = await network.until(network.sps[0], OWN, "wrong columns", lambda d: d.job.given_up)
    assert "integrity hash" in detail.job.error
    assert [row.state for row in detail.history].count(S.REPLICATE_OBJECT_DOING) == 1
    assert network.node.state.find_object(OWN, "wrong columns") is None, "the rejection frees the user's fee"
    assert (await network.chain.account(user.address)).locked == 0
    assert not any(peer.failures for peer in await network.sps[0].services["p2p"].list_peers(ping=False))
    await network.settle()
    for sp in network.sps[1:]:
        assert await sp.keys() == []
    await network.sps[0].tasknode.delete_object(OWN, "wrong columns", user.address, "test")


# --- who asks -----------------------------------------------------------------------------------------------------


TAMPERINGS: dict[str, dict[str, Any]] = {
    "method": {"method": "GET"},
    "path": {"path": f"/{OWN}/another"},
    "query": {"query": "x-id=PutObject"},
    "content type": {"headers": {"content-type": "text/html"}},
    "expiry": {"headers": {"x-gnfd-expiry-timestamp": lambda stamp: stamp[:-2] + ("1Z" if stamp[-2] != "1" else "2Z")}},
    "signature": {
        "headers": {"authorization": lambda text: text[:-60] + ("0" if text[-60] != "0" else "1") + text[-59:]}
    },
}


@pytest.mark.parametrize("what", TAMPERINGS)
async def test_a_tampered_request_is_another_accounts_and_that_has_no_permission(
    network: Network, client: S3, waiting: str, what: str
) -> None:
    """The account is recovered from the signature, so it is a stranger's now; or no one's."""
    before = await remains(network.sps[0])
    answer = await client.call(
        "PUT", f"/{OWN}/{waiting}", headers={"content-type": "text/plain"}, body=BODY, tamper=TAMPERINGS[what]
    )
    if what == "method":
        assert_refused(answer, 404, 50025)  # there is nothing to read yet, for whomever
    elif answer.code == "50015":
        assert what == "signature"
    else:
        assert_refused(answer, 401, 50004)
    assert await remains(network.sps[0]) == before == ([], {})


@pytest.mark.parametrize("what", TAMPERINGS)
async def test_a_tampered_request_that_names_its_account_has_an_invalid_signature(
    network: Network, user: User, client: S3, waiting: str, what: str
) -> None:
    headers = {"content-type": "text/plain", "x-gnfd-user-address": user.address}
    answer = await client.call("PUT", f"/{OWN}/{waiting}", headers=headers, body=BODY, tamper=TAMPERINGS[what])
    assert_refused(answer, 406, 50015)
    assert await remains(network.sps[0]) == ([], {})


@pytest.mark.parametrize(
    ("authorization", "status", "code"),
    [
        ("GNFD1-ECDSA, Signature=" + "00" * 65, 406, 50015),
        ("GNFD1-ECDSA, Signature=" + "00" * 64, 400, 50002),
        ("GNFD1-ECDSA, Signature=not hex", 400, 50002),
        ("GNFD1-ECDSA", 400, 50002),
        ("GNFD9-ECDSA, Signature=" + "00" * 65, 400, 50001),
    ],
)
async def test_an_authorization_that_is_none_is_refused(
    network: Network, client: S3, waiting: str, authorization: str, status: int, code: int
) -> None:
    tamper = {"headers": {"authorization": authorization}}
    assert_refused(await client.call("PUT", f"/{OWN}/{waiting}", body=BODY, tamper=tamper), status, code)
    assert await remains(network.sps[0]) == ([], {})


@pytest.mark.parametrize("stamp", ["2020-01-01T00:00:00Z", "2999-01-01T00:00:00Z", "tomorrow"])
async def test_an_expiry_that_is_past_or_too_far_ahead_is_refused(client: S3, waiting: str, stamp: str) -> None:
    tamper = {"headers": {"x-gnfd-expiry-timestamp": stamp}}
    assert_refused(await client.call("PUT", f"/{OWN}/{waiting}", body=BODY, tamper=tamper), 400, 50023)


@pytest.mark.parametrize("method", ["PUT", "GET"])
async def test_a_stranger_is_refused(network: Network, client: S3, waiting: str, method: str) -> None:
    assert (await client.put(OWN, waiting, BODY)).status == 200
    await network.sealed(network.sps[0], OWN, waiting)
    async with s3_session(network.sps[0], None, User.new(network.chain).key) as stranger:
        answer = await stranger.call(method, f"/{OWN}/{waiting}", body=BODY if method == "PUT" else b"")
    assert_refused(answer, 401, 50004)


async def test_what_only_the_chain_can_do_is_refused(network: Network, client: S3, waiting: str) -> None:
    """Such an account's objects are deleted by its own transaction, and so are its buckets made."""
    assert (await client.put(OWN, waiting, BODY)).status == 200
    await network.sealed(network.sps[0], OWN, waiting)
    assert_refused(await client.call("DELETE", f"/{OWN}/{waiting}"), 400, 50008)
    assert_refused(await client.call("PUT", "/another-of-theirs"), 400, 50008)
    assert (await client.get(OWN, waiting)).body == BODY


async def test_an_object_that_its_user_cancels_while_it_is_replicated_is_discontinued(
    network: Network, user: User, client: S3
) -> None:
    primary = network.sps[0]
    object_id = await user.create_object(OWN, "cancelled", BODY)
    receiving = network.ranked(primary, object_id, 0)[0].pieces.hang("commit")
    assert (await client.put(OWN, "cancelled", BODY)).status == 200
    await receiving.reached.wait()
    await user.execute(MsgCancelCreateObject(user.address, OWN, "cancelled"))
    receiving.release()
    detail = await network.settled(primary, OWN, "cancelled")
    assert detail.job.state is S.OBJECT_DISCONTINUED
    assert (await client.get(OWN, "cancelled")).status == 404
