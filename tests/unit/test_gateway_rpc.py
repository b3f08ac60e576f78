"""The gateway over gRPC: the same accounts, rules and errors as over HTTP."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from gateway.client import GatewayClient, ObjectFacts, SignHead
from gateway.errors import OnChainOnly
from gateway.rpc import Asker, GatewayRpc, served
from gateway.sign import sign_gnfd1, sign_sigv4
from proto import gateway_pb2 as pb
from proto.gateway_pb2_grpc import GatewayStub
from sp.domain.errors import AccessDenied, InvalidRange, InvalidRequest, NoSuchObject, PayloadSizeMismatch, SpError
from sp.domain.ledger import Visibility
from sp.domain.lifecycle import JobState
from sp.runtime.rpc import dial, serving
from tests.unit.gateway_world import ACCESS_KEY, ALICE, SECRET_KEY, USER, USER_KEY, World, gateway_world

MIB = 1 << 20
HOST = "sp.example.com:9033"


def sigv4(head: Any) -> list[tuple[str, str]]:
    return sign_sigv4(head, ACCESS_KEY, SECRET_KEY, int(time.time()), payload=None)


def gnfd1(head: Any) -> list[tuple[str, str]]:
    return sign_gnfd1(head, USER_KEY.sign, int(time.time()) + 60)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with gateway_world() as made:
        made.bucket("photos")
        yield made


@asynccontextmanager
async def channel_to(world: World) -> AsyncIterator[grpc.aio.Channel]:
    rpc = GatewayRpc(world.gateway, world.buckets, Asker(world.authenticator, world.clock))
    async with (
        serving("127.0.0.1:0", [served(rpc)], tls=None) as address,
        dial(address, tls=None, timeout_s=10.0) as channel,
    ):
        yield channel


@asynccontextmanager
async def client_of(world: World, sign: SignHead = sigv4) -> AsyncIterator[GatewayClient]:
    async with channel_to(world) as channel:
        yield GatewayClient(channel, sign, HOST)


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def read(client: GatewayClient, *request: Any) -> tuple[ObjectFacts, bytes]:
    frames = [frame async for frame in client.get_object(*request)]
    assert isinstance(frames[0], ObjectFacts)
    return frames[0], b"".join(frame for frame in frames[1:] if isinstance(frame, bytes))


async def test_a_session_over_grpc(world: World) -> None:
    async with client_of(world) as client:
        made = await client.create_bucket("newone", Visibility.PUBLIC_READ)
        assert (made.bucket, made.owner, made.visibility) == ("newone", ALICE, Visibility.PUBLIC_READ)
        payload = bytes(range(256)) * 12_000
        kept = {"content-type": "text/plain", "x-amz-meta-a": "ü"}
        etag = await client.put_object("newone", "a b/ü+%20", chunks(payload[:7], payload[7:]), len(payload), kept)
        facts, body = await read(client, "newone", "a b/ü+%20")
        assert body == payload
        assert (facts.payload_size, facts.etag, facts.headers, facts.status) == (len(payload), etag, kept, "CREATED")
        assert (await read(client, "newone", "a b/ü+%20", 10, MIB + 10))[1] == payload[10 : MIB + 11]
        world.store.mark("newone", "a b/ü+%20", JobState.SEAL_OBJECT_DONE)
        assert (await client.head_object("newone", "a b/ü+%20")).status == "SEALED"
        page = await client.list_objects("newone", delimiter="/")
        assert (page.objects, page.common_prefixes, page.next_marker) == ((), ("a b/",), None)
        assert [bucket.bucket for bucket in await client.list_buckets()] == ["newone", "photos"]
        await client.delete_object("newone", "a b/ü+%20")
        await client.delete_bucket("newone")
        with pytest.raises(SpError):
            await client.head_bucket("newone")


async def test_an_error_arrives_as_its_own_class(world: World) -> None:
    async with client_of(world) as client:
        with pytest.raises(NoSuchObject) as missing:
            await client.head_object("photos", "absent")
        assert (missing.value.bucket, missing.value.object_name) == ("photos", "absent")
        await client.put_object("photos", "k", chunks(b"x"), 1)
        with pytest.raises(InvalidRange):
            await read(client, "photos", "k", 1, 2)
    async with client_of(world, gnfd1) as client:
        with pytest.raises(OnChainOnly):
            await client.create_bucket("newone")


async def test_a_call_without_a_signature_is_anonymous(world: World) -> None:
    async with client_of(world, lambda head: ()) as client:
        with pytest.raises(AccessDenied):
            await client.put_object("photos", "k", chunks(b"x"), 1)
        with pytest.raises(AccessDenied):
            await client.list_objects("photos")


async def test_an_account_with_its_own_key_puts_what_it_created(world: World) -> None:
    world.bucket("mine", owner=USER)
    world.chain_object("mine", "k", b"hello")
    async with client_of(world, gnfd1) as client:
        await client.put_object("mine", "k", chunks(b"hello"), 5)
        assert (await read(client, "mine", "k"))[1] == b"hello"
    assert world.store.orders[0].account == USER


async def test_a_body_of_another_length_is_not_stored(world: World) -> None:
    async with client_of(world) as client:
        for parts in ((b"hell",), (b"hello", b"!")):
            with pytest.raises(PayloadSizeMismatch):
                await client.put_object("photos", "k", chunks(*parts), 5)
        assert world.store.held == {}
        await client.put_object("photos", "k", chunks(b"he", b"llo"))
    assert world.store.held["photos", "k"][1] == b"hello"


async def test_a_signature_covers_the_names_and_the_headers_of_the_message(world: World) -> None:
    captured: list[tuple[str, str]] = []

    def sign(head: Any) -> list[tuple[str, str]]:
        captured[:] = sigv4(head)
        return captured

    async with client_of(world, sign) as client, channel_to(world) as channel:
        await client.put_object("photos", "k", chunks(b"x"), 1, {"x-amz-acl": "private"})
        stub = GatewayStub(channel)
        metadata = (("host", HOST), *captured)
        for opened in (
            pb.PutObjectOpen(bucket="photos", object_name="k2", payload_size=1, headers={"x-amz-acl": "private"}),
            pb.PutObjectOpen(bucket="photos", object_name="k", payload_size=1, headers={"x-amz-acl": "public-read"}),
            pb.PutObjectOpen(bucket="photos", object_name="k", payload_size=1, headers={"Host": "other"}),
        ):
            with pytest.raises(SpError):
                await stub.PutObject(iter([pb.PutObjectFrame(open=opened)]), timeout=10, metadata=metadata)
    assert list(world.store.held) == [("photos", "k")]


async def test_a_put_that_stops_without_its_end_is_aborted(world: World) -> None:
    async with channel_to(world) as channel:
        opened = pb.PutObjectOpen(bucket="photos", object_name="k")
        metadata = GatewayClient(channel, sigv4, HOST)._metadata("PUT", "photos", "k")
        frames = [pb.PutObjectFrame(open=opened), pb.PutObjectFrame(chunk=b"half")]
        with pytest.raises(InvalidRequest):
            await GatewayStub(channel).PutObject(iter(frames), timeout=10, metadata=metadata)
    assert world.store.held == {}
