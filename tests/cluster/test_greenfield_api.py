"""Greenfield's own API on a running network, for users who keep their own keys."""

from __future__ import annotations

import base64
import json
import secrets
import time
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlsplit
from xml.etree import ElementTree

import aiohttp
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from chain.client import Chain
from gateway.auth import gnfd1_text
from gateway.request import RequestHead
from sp.crypto.hashing import keccak256
from sp.crypto.private import PrivateKey
from sp.domain.addresses import signer_of
from sp.domain.ids import PRIMARY
from sp.domain.ledger import Action, Effect, ObjectStatus, Visibility
from sp.domain.lifecycle import JobState as S
from sp.domain.messages import MsgDeleteObject, MsgPutPolicy, MsgUpdateBucketInfo
from tests.cluster.network import KIB, Network, Sp
from tests.cluster.s3 import S3, Answer, s3_session
from tests.cluster.users import User, checksums_of, pieces_and_checksums
from tests.vectors import payload

pytestmark = pytest.mark.asyncio(loop_scope="module")

PLAN: dict[str, Any] = {"sps": 7}
SEGMENT = 64 * KIB
BODY = payload(5 * SEGMENT + 77)
OWN = "their-own"
DOMAIN = "https://dapp.example"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def user(network: Network) -> User:
    user = User.new(network.chain)
    await user.create_bucket(OWN, network.sps[0].operator)
    return user


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(network: Network, user: User) -> AsyncIterator[S3]:
    async with s3_session(network.sps[0], None, user.key) as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def nobody(network: Network) -> AsyncIterator[S3]:
    async with s3_session(network.sps[0], None) as made:
        yield made


def assert_refused(answer: Answer, status: int, code: int, text: bytes = b"") -> None:
    assert (answer.status, answer.code) == (status, str(code)), answer.body
    assert answer.body.startswith(b"<Error><Code>")
    assert text in answer.body


def texts(answer: Answer, path: str) -> list[str]:
    assert answer.status == 200, answer.body
    return [found.text or "" for found in ElementTree.fromstring(answer.body).findall(path)]


async def put_part(client: S3, name: str, offset: int, part: bytes, *, last: bool = False, more: str = "") -> Answer:
    query = f"offset={offset}&complete={'true' if last else 'false'}{more}"
    return await client.call("POST", f"/{OWN}/{quote(name)}", query, body=part)


async def context(client: S3, name: str) -> Answer:
    return await client.call("GET", f"/{OWN}/{quote(name)}", "upload-context")


async def ready(network: Network, user: User, client: S3, name: str) -> None:
    """On chain, and its payload put and sealed."""
    await user.create_object(OWN, name, BODY)
    assert (await client.put(OWN, name, BODY)).status == 200
    await network.sealed(network.sps[0], OWN, name)


# --- resumable puts -----------------------------------------------------------------------------------------------


async def test_an_object_comes_in_three_parts_across_restarts_of_every_process(
    network: Network, user: User, client: S3
) -> None:
    primary, name = network.sps[0], "in/three parts"
    await user.create_object(OWN, name, BODY)
    assert_refused(await context(client, name), 404, 90003, b"no uploading record")
    assert (await put_part(client, name, 0, BODY[: 2 * SEGMENT])).status == 200
    for sp in network.sps:
        await sp.stop()
        await sp.start()
    assert texts(await context(client, name), "Offset") == [str(2 * SEGMENT)]
    assert (await network.job(primary, OWN, name)).state is S.UPLOAD_OBJECT_DOING
    assert (await put_part(client, name, 2 * SEGMENT, BODY[2 * SEGMENT : 3 * SEGMENT])).status == 200
    await primary.restart()
    assert (await put_part(client, name, 3 * SEGMENT, BODY[3 * SEGMENT :], last=True)).status == 200
    assert (await client.get(OWN, name)).body == BODY
    await network.sealed(primary, OWN, name)
    found = await network.chain.head_object(OWN, name)
    assert (found.status, found.checksums) == (ObjectStatus.SEALED, checksums_of(BODY))
    assert_refused(await context(client, name), 404, 90003)
    assert_refused(await put_part(client, name, 0, BODY[:SEGMENT]), 403, 110002)


async def test_a_part_must_begin_where_the_others_end_and_be_whole_segments(user: User, client: S3, nobody: S3) -> None:
    name = "strict"
    await user.create_object(OWN, name, BODY)
    assert_refused(await put_part(client, name, SEGMENT, BODY[:SEGMENT]), 400, 50028)
    assert_refused(await put_part(client, name, 0, BODY[:100]), 400, 110008)
    assert (await put_part(client, name, 0, BODY[:SEGMENT])).status == 200
    for offset in (0, 2 * SEGMENT, SEGMENT + 1):
        assert_refused(await put_part(client, name, offset, BODY[:SEGMENT]), 400, 50028)
    for query, code in (("offset=x&complete=true", 50028), ("offset=0", 50027), ("offset=0&complete=maybe", 50027)):
        assert_refused(await client.call("POST", f"/{OWN}/{name}", query, body=b"x"), 400, code)
    assert_refused(await put_part(client, name, SEGMENT, BODY[SEGMENT:-1], last=True), 400, 110005)
    assert_refused(await put_part(client, name, SEGMENT, BODY[SEGMENT:] + b"x", last=True), 400, 110008)
    assert_refused(await put_part(nobody, name, SEGMENT, BODY[SEGMENT:], last=True, more="&X-Gnfd-x=1"), 401, 50004)
    assert texts(await context(client, name), "Offset") == [str(SEGMENT)]
    assert (await put_part(client, name, SEGMENT, BODY[SEGMENT:], last=True)).status == 200
    assert (await client.get(OWN, name)).body == BODY


async def test_a_part_that_was_cut_off_leaves_the_upload_where_it_stood(user: User, client: S3) -> None:
    name = "cut-off"
    await user.create_object(OWN, name, BODY)
    await put_part(client, name, 0, BODY[:SEGMENT])

    async def breaking() -> AsyncIterator[bytes]:
        yield bytes(SEGMENT)
        yield bytes(SEGMENT)
        raise ConnectionResetError

    with pytest.raises(aiohttp.ClientError):
        await client.call("POST", f"/{OWN}/{name}", f"offset={SEGMENT}&complete=false", body=breaking())
    while (answer := await put_part(client, name, SEGMENT, BODY[SEGMENT:], last=True)).status != 200:
        assert_refused(answer, 406, 110003)  # until the gateway has seen that the connection is gone
    assert (await client.get(OWN, name)).body == BODY


async def test_parts_with_another_root_than_the_chains_come_to_nothing(
    network: Network, user: User, client: S3
) -> None:
    name = "wrong"
    await user.create_object(OWN, name, BODY)
    await put_part(client, name, 0, bytes(SEGMENT))
    assert_refused(await put_part(client, name, SEGMENT, BODY[SEGMENT:], last=True), 406, 110004)
    assert_refused(await context(client, name), 404, 90003)
    assert (await network.job(network.sps[0], OWN, name)).state is S.UPLOAD_OBJECT_ERROR
    assert (await put_part(client, name, 0, BODY[:SEGMENT])).status == 200
    assert (await put_part(client, name, SEGMENT, BODY[SEGMENT:], last=True)).status == 200


async def test_a_whole_put_takes_the_place_of_a_resumable_one_that_waits(
    network: Network, user: User, client: S3
) -> None:
    name = "changed-its-mind"
    await user.create_object(OWN, name, BODY)
    await put_part(client, name, 0, BODY[:SEGMENT])
    assert (await client.put(OWN, name, BODY)).status == 200
    assert_refused(await context(client, name), 404, 90003)
    await network.sealed(network.sps[0], OWN, name)


# --- delegated puts -----------------------------------------------------------------------------------------------


async def test_the_provider_creates_an_object_for_an_account_that_keeps_its_key(
    network: Network, user: User, client: S3
) -> None:
    name, query = "delegated", f"delegate&payload_size={len(BODY)}&visibility=1&is_update=false"
    put = await client.call("PUT", f"/{OWN}/{name}", query, body=BODY, headers={"content-type": "image/png"})
    assert put.status == 200, put.body
    await network.sealed(network.sps[0], OWN, name)
    found = await network.chain.head_object(OWN, name)
    assert (found.creator, found.visibility, found.content_type) == (user.address, Visibility.PUBLIC_READ, "image/png")
    assert found.checksums == checksums_of(BODY)
    assert_refused(await client.call("PUT", f"/{OWN}/{name}", query, body=BODY), 403, 110002)
    update = f"delegate&payload_size={SEGMENT}&is_update=true"
    assert (await client.call("POST", f"/{OWN}/{name}", update, body=BODY[:SEGMENT])).status == 200
    await network.sealed(network.sps[0], OWN, name)
    assert (await network.chain.head_object(OWN, name)).version == 1
    assert (await client.get(OWN, name)).body == BODY[:SEGMENT]


async def test_a_delegated_object_comes_in_parts_too(network: Network, client: S3) -> None:
    name, more = "delegated-parts", f"&delegate&payload_size={len(BODY)}&visibility=3"
    assert (await put_part(client, name, 0, BODY[:SEGMENT], more=more)).status == 200
    assert (await put_part(client, name, SEGMENT, BODY[SEGMENT:], last=True, more=more)).status == 200
    await network.sealed(network.sps[0], OWN, name)
    assert (await client.get(OWN, name)).body == BODY


async def test_a_folder_is_created_for_an_account(network: Network, client: S3) -> None:
    assert (await client.call("POST", f"/{OWN}/folder/", "create-folder&delegate")).status == 200
    await network.sealed(network.sps[0], OWN, "folder/")
    assert (await network.chain.head_object(OWN, "folder/")).payload_size == 0
    assert_refused(await client.call("POST", f"/{OWN}/folder", "create-folder&delegate"), 400, 50009)


async def test_what_a_delegated_put_must_not_be(network: Network, client: S3, nobody: S3) -> None:
    def delegated(size: object, name: str = "refused", more: str = "") -> Any:
        return client.call("PUT", f"/{OWN}/{name}", f"delegate&payload_size={size}{more}", body=BODY)

    assert_refused(await delegated(len(BODY) + 1), 400, 110005)
    assert_refused(await delegated(len(BODY) - 1), 400, 110008)
    assert_refused(await delegated("x"), 400, 50010)
    assert_refused(await delegated(2**62), 400, 110005)
    assert_refused(await client.call("PUT", f"/{OWN}/refused", "delegate&payload_size=0", body=b""), 403, 50016)
    assert_refused(await delegated(len(BODY), "a..b"), 400, 50044)
    assert_refused(await delegated(len(BODY), more="&is_update=true"), 404, 50025)
    query = f"delegate&payload_size={len(BODY)}"
    assert_refused(await nobody.call("PUT", f"/{OWN}/refused", query, body=BODY), 401, 50004)
    async with s3_session(network.sps[0], None, PrivateKey.generate(secrets.token_bytes)) as stranger:
        assert_refused(await stranger.call("PUT", f"/{OWN}/refused", query, body=BODY), 401, 50004)


# --- what is known ------------------------------------------------------------------------------------------------


async def test_progress_from_the_chain_to_the_seal(network: Network, user: User, client: S3) -> None:
    name = "progress"

    async def progress() -> Answer:
        return await client.call("GET", f"/{OWN}/{name}", "upload-progress")

    assert_refused(await progress(), 400, 50042, b"object has not been created")
    await user.create_object(OWN, name, BODY)
    assert texts(await progress(), "ProgressDescription") == ["object meta is created onto the chain"]
    assert (await client.put(OWN, name, BODY[:-1] + b"x")).status == 406
    failed = await progress()
    assert texts(failed, "ProgressDescription") == ["something is wrong in uploading to the primary SP"]
    assert "integrity hash" in texts(failed, "ErrorDescription")[0]
    await client.put(OWN, name, BODY)
    await network.sealed(network.sps[0], OWN, name)
    assert texts(await progress(), "ProgressDescription") == ["object is succeed to upload and seal onto the chain"]


async def test_meta_of_objects_and_buckets(network: Network, user: User, client: S3, nobody: S3) -> None:
    await ready(network, user, client, "meta")
    meta = await client.call("GET", f"/{OWN}/meta", "object-meta")
    found = await network.chain.head_object(OWN, "meta")
    assert texts(meta, "Object/ObjectInfo/Id") == [str(found.id)]
    assert texts(meta, "Object/ObjectInfo/ObjectStatus") == ["1"]
    assert len(texts(meta, "Object/ObjectInfo/Checksums")) == 7
    assert texts(meta, "Object/SealTxHash")[0].startswith("0x")
    assert_refused(await nobody.call("GET", f"/{OWN}/meta", "object-meta"), 401, 50004)
    assert_refused(await client.call("GET", f"/{OWN}/absent", "object-meta"), 404, 50025)
    assert texts(await nobody.call("GET", f"/{OWN}", "bucket-meta"), "Bucket/BucketInfo/Owner") == [user.address]
    assert_refused(await nobody.call("GET", "/no-such-bucket", "bucket-meta"), 404, 20007)
    for asked in (await client.call("GET", "/"), await nobody.call("GET", "/", headers=address_of(user))):
        assert texts(asked, "Buckets/BucketInfo/BucketName") == [OWN]


def address_of(user: User) -> dict[str, str]:
    return {"x-gnfd-user-address": user.address}


async def test_a_listing_in_pages(user: User, client: S3, nobody: S3) -> None:
    bucket = "for-lists"
    await user.create_bucket(bucket, client.sp.operator)
    for name in ("a/1", "a/2", "b", "c"):
        assert (await client.call("PUT", f"/{bucket}/{name}", "delegate&payload_size=1", body=b"x")).status == 200
    names: list[str] = []
    token = ""
    while True:
        query = f"max-keys=2&delimiter=%2F&continuation-token={quote(token, safe='')}"
        page = await client.call("GET", f"/{bucket}", query)
        names += texts(page, "CommonPrefixes") + texts(page, "Objects/ObjectInfo/ObjectName")
        token = texts(page, "NextContinuationToken")[0]
        if texts(page, "IsTruncated") == ["false"]:
            break
    assert names == ["a/", "b", "c"]
    assert texts(await client.call("GET", f"/{bucket}", "prefix=a%2F&start-after=a%2F1"), "KeyCount") == ["1"]
    assert_refused(await client.call("GET", f"/{bucket}", "delimiter=-&include-removed=false"), 400, 50010)
    assert_refused(await nobody.call("GET", f"/{bucket}", "include-removed=false"), 401, 50004)


async def seen_by(sp: Sp, user: User) -> None:
    """The provider's gateway, which remembers answers for the present block, knows of the chain's newest one."""
    view: Chain = sp.services["gateway"].gateway.access.view.chain
    wanted = (await user.chain.latest_block()).height
    while (height := (await view.latest_block()).height) < wanted:
        await view.next_block(height)


async def test_permissions_are_the_chains(user: User, nobody: S3) -> None:
    friend = User.new(user.chain)

    async def effect(action: Action, name: str = "") -> list[str]:
        query = f"object={name}" if name else ""
        return texts(await nobody.call("GET", f"/permission/{friend.address}/{OWN}/{action.value}", query), "Effect")

    assert await effect(Action.CREATE_OBJECT) == ["2"]
    await user.execute(MsgPutPolicy(user.address, OWN, "", friend.address, (Action.CREATE_OBJECT,), Effect.ALLOW))
    await seen_by(nobody.sp, user)
    assert await effect(Action.CREATE_OBJECT) == ["1"]
    assert_refused(await nobody.call("GET", f"/permission/me/{OWN}/6"), 400, 50010)
    assert_refused(await nobody.call("GET", f"/permission/{friend.address}/no-such-bucket/6"), 404, 20007)


async def test_the_provider_says_who_it_is(network: Network, nobody: S3) -> None:
    status = json.loads((await nobody.call("GET", "/status")).body)
    assert (status["operator"], status["status"]) == (network.sps[0].operator, "IN_SERVICE")


# --- links --------------------------------------------------------------------------------------------------------


def personal_signature(key: PrivateKey, message: str) -> str:
    raw = message.encode()
    return "0x" + key.sign(keccak256(b"\x19Ethereum Signed Message:\n" + str(len(raw)).encode() + raw)).hex()


def stamp(in_s: float) -> str:
    return datetime.fromtimestamp(time.time() + in_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def link_query(key: PrivateKey, name: str, expiry: str) -> str:
    text = (
        f"Sign this message to access the file:\ngnfd://{OWN}/{name}\n"
        f"This signature will not cost you any fees.\nExpiration Time: {expiry}"
    )
    return f"X-Gnfd-Expiry-Timestamp={quote(expiry, safe='')}&signature={personal_signature(key, text)}"


async def test_the_universal_endpoint(network: Network, user: User, client: S3, nobody: S3) -> None:
    name = "folder/a b.txt"
    await ready(network, user, client, name)
    path = f"/view/{OWN}/{quote(name)}"
    assert_refused(await nobody.call("GET", path), 403, 50026)
    seen = await nobody.call("GET", path, link_query(user.key, name, stamp(60)))
    assert (seen.status, seen.body, seen.headers["Content-Disposition"]) == (200, BODY, "inline")
    saved = await nobody.call("GET", path.replace("view", "download"), link_query(user.key, name, stamp(60)))
    assert saved.headers["Content-Disposition"] == 'attachment; filename="a%20b.txt"'
    by_query = f"objectPath={quote(f'{OWN}/{name}', safe='')}&{link_query(user.key, name, stamp(60))}"
    assert (await nobody.call("GET", "/view", by_query)).body == BODY
    assert_refused(await nobody.call("GET", path, link_query(user.key, name, stamp(-1))), 400, 50024)
    assert_refused(await nobody.call("GET", path, link_query(user.key, name, stamp(8 * 86_400))), 400, 50024)
    assert_refused(await nobody.call("GET", path, link_query(user.key, "other", stamp(60))), 403, 50026)
    assert_refused(await nobody.call("GET", path, "signature=zz&" + f"X-Gnfd-Expiry-Timestamp={stamp(9)}"), 400, 50002)
    assert_refused(await nobody.call("GET", f"/view/{OWN}/absent"), 404, 50025)
    async with s3_session(network.sps[1], None) as elsewhere:
        moved = await elsewhere.call("GET", path, "a=b")
        assert (moved.status, moved.headers["Location"]) == (302, f"{network.sps[0].endpoint}{path}?a=b")


async def test_a_public_object_is_seen_by_everybody(network: Network, user: User, client: S3, nobody: S3) -> None:
    await user.create_bucket("open-bucket", network.sps[0].operator)
    await user.execute(MsgUpdateBucketInfo(user.address, "open-bucket", Visibility.PUBLIC_READ))
    await seen_by(nobody.sp, user)
    put = await client.call("PUT", "/open-bucket/o", f"delegate&payload_size={len(BODY)}", body=BODY)
    assert put.status == 200, put.body
    assert (await nobody.call("GET", "/view/open-bucket/o")).body == BODY
    part = await nobody.call("GET", "/download/open-bucket/o", headers={"range": "bytes=5-9"})
    assert (part.status, part.body) == (206, BODY[5:10])
    expired = {"authorization": "GNFD1-ECDSA, Signature=" + "00" * 65, "x-gnfd-expiry-timestamp": stamp(-1)}
    assert (await nobody.call("GET", "/open-bucket/o", headers=expired)).body == BODY
    assert_refused(await nobody.call("GET", f"/{OWN}/o", headers=expired), 400, 50023)


# --- keys of applications -----------------------------------------------------------------------------------------


def registration(user: User, public_key: str, expiry: str, **changed: str) -> dict[str, str]:
    text = (
        f"{DOMAIN} wants you to sign in with your BNB Greenfield account:\n{user.address}\n\n"
        f"Register your identity public key {public_key}\n\nURI: {DOMAIN}\nVersion: 1\nChain ID: 5600\n"
        f"Issued At: {stamp(0)}\nExpiration Time: {expiry}"
    )
    signature = personal_signature(user.key, text)
    text = text.replace("\n", "\\n")
    return {
        "authorization": f"GNFD1-ETH-PERSONAL_SIGN,SignedMsg={text},Signature={signature}",
        "origin": DOMAIN,
        "x-gnfd-app-domain": DOMAIN,
        "x-gnfd-app-reg-public-key": public_key,
        "x-gnfd-expiry-timestamp": expiry,
        **changed,
    }


def eddsa_headers(sp: Sp, user: User, key: Ed25519PrivateKey, path: str, expiry: str) -> dict[str, str]:
    """Of a GET, signed by an application's key."""
    headers = {
        "x-gnfd-user-address": user.address,
        "x-gnfd-app-domain": DOMAIN,
        "x-gnfd-app-reg-public-key": key.public_key().public_bytes_raw().hex(),
        "x-gnfd-expiry-timestamp": expiry,
    }
    host = urlsplit(sp.endpoint).netloc
    head = RequestHead("GET", path, "", (("host", host), *headers.items()))
    signature = key.sign(gnfd1_text.message_hash(head, host)).hex()
    return {**headers, "authorization": f"GNFD2-EDDSA,Signature={signature}"}


def presigned(sp: Sp, user: User, key: Ed25519PrivateKey, path: str, expiry: str) -> str:
    public_key = key.public_key().public_bytes_raw().hex()
    query = (
        f"view=0&X-Gnfd-User-Address={user.address}&X-Gnfd-App-Domain={quote(DOMAIN, safe='')}"
        f"&X-Gnfd-App-Reg-Public-Key={public_key}&X-Gnfd-Expiry-Timestamp={quote(expiry, safe='')}"
    )
    host = urlsplit(sp.endpoint).netloc
    signature = key.sign(gnfd1_text.message_hash(RequestHead("GET", path, query, (("host", host),)), host)).hex()
    return f"{query}&Authorization={quote(f'GNFD2-EDDSA,Signature={signature}', safe='')}"


async def test_an_applications_key_is_registered_used_and_deleted(
    network: Network, user: User, client: S3, nobody: S3
) -> None:
    primary, name = network.sps[0], "for-the-app"
    await ready(network, user, client, name)
    path, key = f"/{OWN}/{name}", Ed25519PrivateKey.generate()
    public_key = key.public_key().public_bytes_raw().hex()
    asked = {"x-gnfd-user-address": user.address, "x-gnfd-app-domain": DOMAIN}
    assert texts(await nobody.call("GET", "/auth/request_nonce", headers=asked), "NextNonce") == ["1"]
    unregistered = await nobody.call("GET", path, headers=eddsa_headers(primary, user, key, path, stamp(60)))
    assert_refused(unregistered, 406, 50015, b"not registered")

    registered = await nobody.call("POST", "/auth/update_key_v2", headers=registration(user, public_key, stamp(3600)))
    assert registered.body == b"<UpdateUserPublicKeyResp><Result>true</Result></UpdateUserPublicKeyResp>"
    await primary.restart()
    assert texts(await nobody.call("GET", "/auth/keys_v2", headers=asked), "Result") == [public_key]

    read = await nobody.call("GET", path, headers=eddsa_headers(primary, user, key, path, stamp(60)))
    assert (read.status, read.body) == (200, BODY)
    link = await nobody.call(
        "GET", path, presigned(primary, user, key, path, stamp(60)), headers={"range": "bytes=0-9"}
    )
    assert (link.status, link.body) == (206, BODY[:10])
    assert link.headers["Content-Disposition"] == f'attachment; filename="{name}"'

    other = Ed25519PrivateKey.generate()
    forged = {**eddsa_headers(primary, user, other, path, stamp(60)), "x-gnfd-app-reg-public-key": public_key}
    assert_refused(await nobody.call("GET", path, headers=forged), 406, 50015)
    assert_refused(
        await nobody.call("GET", path, headers=eddsa_headers(primary, user, key, "/x", stamp(60))), 406, 50015
    )
    assert_refused(
        await nobody.call("GET", path, headers=eddsa_headers(primary, user, key, path, stamp(-5))), 400, 50023
    )
    assert_refused(await nobody.call("GET", path, presigned(primary, user, key, path, stamp(-5))), 400, 50024)

    assert_refused(
        await nobody.call("POST", "/auth/delete_keys_v2", headers=asked, body=public_key.encode()), 401, 50004
    )
    gone = await client.call("POST", "/auth/delete_keys_v2", headers=asked, body=public_key.encode())
    assert texts(gone, "Result") == ["true"]
    after = await nobody.call("GET", path, headers=eddsa_headers(primary, user, key, path, stamp(60)))
    assert_refused(after, 406, 50015)


async def test_registrations_that_are_refused(user: User, nobody: S3) -> None:
    async def register(headers: Mapping[str, str], path: str = "/auth/update_key_v2") -> Answer:
        return await nobody.call("POST", path, headers=headers)

    key = "ab" * 32
    assert_refused(await register(registration(user, key, stamp(-1))), 400, 50009)
    assert_refused(
        await register(registration(user, key, stamp(60), **{"x-gnfd-app-reg-public-key": "cd" * 32})), 400, 50009
    )
    assert_refused(await register(registration(user, key, stamp(60), origin="https://evil.example")), 400, 50009)
    assert_refused(await register(registration(user, key, stamp(60)), "/auth/update_key"), 400, 50001)
    assert_refused(
        await nobody.call("PUT", f"/{OWN}/x", headers=registration(user, key, stamp(60)), body=b"x"), 400, 50001
    )
    bad = registration(user, key, stamp(60), authorization="GNFD1-ETH-PERSONAL_SIGN,Signature=0x00")
    assert_refused(await register(bad), 400, 50002)


# --- the provider's word ------------------------------------------------------------------------------------------


async def test_approvals_are_signed_by_the_approval_key(network: Network, user: User, client: S3, nobody: S3) -> None:
    primary = network.sps[0]

    async def approval(asker: S3, action: str, message: dict[str, object]) -> Answer:
        headers = {"x-gnfd-unsigned-msg": json.dumps(message).encode().hex()}
        return await asker.call("GET", "/greenfield/admin/v1/get-approval", f"action={action}", headers=headers)

    bucket: dict[str, object] = {
        "creator": user.address,
        "bucket_name": "to-be",
        "visibility": "VISIBILITY_TYPE_PRIVATE",
        "payment_address": "",
        "primary_sp_address": primary.operator,
        "charged_read_quota": "0",
    }
    answer = await approval(client, "CreateBucket", bucket)
    assert answer.status == 200, answer.body
    signed = json.loads(bytes.fromhex(answer.headers["X-Gnfd-Signed-Msg"]))
    height = (await network.chain.latest_block()).height
    assert abs(int(signed["primary_sp_approval"]["expired_height"]) - height - 100) < 5
    assert approver_of(signed) == primary.plan.keys.approval

    of_object: dict[str, object] = {
        "creator": user.address,
        "bucket_name": OWN,
        "object_name": "to-be",
        "payload_size": "5",
        "visibility": "VISIBILITY_TYPE_INHERIT",
        "content_type": "text/plain",
        "expect_checksums": [],
        "redundancy_type": "REDUNDANCY_EC_TYPE",
    }
    answer = await approval(client, "CreateObject", of_object)
    assert answer.status == 200, answer.body
    assert approver_of(json.loads(bytes.fromhex(answer.headers["X-Gnfd-Signed-Msg"]))) == primary.plan.keys.approval

    elsewhere = {**bucket, "primary_sp_address": network.sps[1].operator}
    assert_refused(await approval(client, "CreateBucket", elsewhere), 406, 50014)
    assert_refused(await approval(client, "CreateBucket", {**bucket, "bucket_name": OWN}), 400, 20009)
    assert_refused(await approval(client, "CreateBucket", {**bucket, "bucket_name": "A"}), 400, 50006)
    assert_refused(await approval(client, "CreateBucket", {**bucket, "visibility": "x"}), 400, 50005)
    assert_refused(await approval(client, "MigrateBucket", bucket), 400, 50009)
    assert_refused(await approval(nobody, "CreateBucket", bucket), 400, 50001)


def approver_of(message: dict[str, Any]) -> str | None:
    """Whose signature is in it, over itself without it."""
    approval = message["primary_sp_approval"]
    unsigned = {**message, "primary_sp_approval": {**approval, "sig": ""}}
    text = json.dumps(unsigned, sort_keys=True, separators=(",", ":"))
    return signer_of(keccak256(text.encode()), base64.b64decode(approval["sig"]))


async def test_a_challenged_provider_proves_what_it_holds(network: Network, user: User, client: S3) -> None:
    await ready(network, user, client, "challenged")
    found = await network.chain.head_object(OWN, "challenged")
    pieces, checksums = pieces_and_checksums(BODY)

    async def challenge(asker: S3, segment: int, index: int) -> Answer:
        headers = {
            "x-gnfd-object-id": str(found.id),
            "x-gnfd-piece-index": str(segment),
            "x-gnfd-redundancy-index": str(index),
        }
        return await asker.call("GET", "/greenfield/admin/v1/challenge", headers=headers)

    proof = await challenge(client, 1, PRIMARY)
    assert (proof.status, proof.body) == (200, BODY[SEGMENT : 2 * SEGMENT]), proof.body[:300]
    assert proof.headers["X-Gnfd-Integrity-Hash"] == checksums[0].hex()
    assert len(proof.headers["X-Gnfd-Piece-Hash"].split(",")) == 6
    holder = network.sp_of(found.secondaries[4])
    async with s3_session(holder, None, user.key) as at_holder:
        held = await challenge(at_holder, 5, 4)
        assert (held.status, held.body) == (200, pieces[5][4]), held.body[:300]
        assert held.headers["X-Gnfd-Integrity-Hash"] == checksums[5].hex()
        assert_refused(await challenge(at_holder, 5, 3), 404, 50025)
    async with s3_session(network.sps[0], None, PrivateKey.generate(secrets.token_bytes)) as stranger:
        assert_refused(await challenge(stranger, 1, PRIMARY), 401, 50004)
    assert_refused(await challenge(client, 99, PRIMARY), 404, 50025)


# --- signatures ---------------------------------------------------------------------------------------------------


async def test_wrong_and_expired_signatures_are_refused_with_greenfields_codes(user: User, client: S3) -> None:
    path = f"/{OWN}/signatures"
    await user.create_object(OWN, "signatures", BODY)

    async def ask(**tamper: str) -> Answer:
        return await client.call("GET", path, "upload-context", tamper={"headers": tamper})

    assert_refused(await ask(authorization="GNFD1-ECDSA, Signature=" + "00" * 65), 406, 50015)
    assert_refused(await ask(authorization="GNFD1-ECDSA, Signature=00"), 400, 50002)
    assert_refused(await ask(authorization="GNFD1-EDDSA,Signature=00"), 400, 50008)
    assert_refused(await ask(**{"x-gnfd-expiry-timestamp": stamp(-1)}), 400, 50023)
    assert_refused(await client.call("GET", path, "upload-context", tamper={"method": "POST"}), 400, 50008)
    other = await client.call("GET", path, "object-meta", tamper={"query": "upload-context"})
    assert_refused(other, 401, 50004)
    await user.execute(MsgDeleteObject(user.address, OWN, "signatures"))
