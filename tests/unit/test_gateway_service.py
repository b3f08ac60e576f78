"""Who may do what: the gateway's use cases over neighbours in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from gateway.auth.scheme import Identity
from gateway.body import BodyPlan
from gateway.errors import BucketNotInService, EmptyPayload, InvalidBucketName, OnChainOnly, SpNotInService
from gateway.greenfield.errors import NotYetOnChain
from gateway.puts import Put
from gateway.service import PutResult
from sp.domain.errors import (
    AccessDenied,
    BucketExists,
    BucketNotEmpty,
    NoSuchBucket,
    NoSuchObject,
    NotForThisSp,
    ObjectNotCreated,
    ObjectTooLarge,
    PayloadSizeMismatch,
    TxRefused,
)
from sp.domain.ids import Address, Checksum
from sp.domain.ledger import Action, BucketStatus, ContentUpdate, ObjectStatus, SpStatus, Visibility
from sp.domain.lifecycle import JobState
from sp.domain.messages import MsgCreateBucket, MsgDeleteBucket
from sp.runtime.clock import ManualClock
from tests.unit.gateway_world import (
    ALICE,
    BOB,
    ELSEWHERE,
    OPERATOR,
    USER,
    World,
    gateway_world,
)

CUSTODIAL = Identity(ALICE, "sigv4", custodial=True)
BOBS = Identity(BOB, "sigv4", custodial=True)
GNFD1 = Identity(USER, "gnfd1-ecdsa")
NOBODY = Identity(None, "anonymous")


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with gateway_world(ManualClock()) as made:
        made.bucket("photos")
        yield made


class Body:
    """A body that knows whether anyone asked for it."""

    def __init__(self, payload: bytes) -> None:
        self.payload = payload
        self.asked = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self.asked = True
        yield self.payload


async def put(world: World, identity: Identity, payload: bytes = b"hello", **given: Any) -> PutResult:
    body = Body(payload)
    plan = BodyPlan(given.pop("size", len(payload)), given.pop("digests", ()))
    wanted = {"body": plan, "headers": {}, "visibility": Visibility.INHERIT, **given}
    asked = Put(wanted.pop("bucket", "photos"), wanted.pop("name", "k"), request_id="r1", **wanted)
    try:
        return await world.gateway.put_object(identity, asked, aiter(body))
    except Exception:
        assert not body.asked, "refused after the body was asked for"
        raise


# --- puts by delegation


async def test_an_s3_put_is_ordered_for_the_account_without_touching_the_chain(world: World) -> None:
    world.chain.asked.clear()
    result = await put(world, CUSTODIAL, headers={"content-type": "text/plain"}, visibility=Visibility.PUBLIC_READ)
    [order] = world.store.orders
    assert (order.account, order.delegated, order.payload_size, order.expected_root) == (ALICE, True, 5, None)
    assert (order.visibility, order.headers) == (Visibility.PUBLIC_READ, {"content-type": "text/plain"})
    assert order.params == world.chain.params
    assert result.etag == (await world.store.head("photos", "k")).etag
    assert world.signer.submitted == []


async def test_a_hundred_puts_in_one_block_ask_the_chain_once(world: World) -> None:
    world.chain.asked.clear()
    for n in range(100):
        await put(world, CUSTODIAL, name=f"k{n}")
    assert world.chain.asked.count("permission CREATE_OBJECT") == 1
    world.chain.height += 1
    await put(world, CUSTODIAL)
    assert world.chain.asked.count("permission CREATE_OBJECT") == 2


async def test_a_permission_that_was_taken_counts_from_the_next_block(world: World) -> None:
    grant: tuple[Address | None, str, str | None, Action] = (BOB, "photos", None, Action.CREATE_OBJECT)
    world.chain.allowed.add(grant)
    await put(world, BOBS)
    world.chain.allowed.remove(grant)
    world.chain.height += 1
    with pytest.raises(AccessDenied):
        await put(world, BOBS, name="k2")


async def test_without_the_right_to_create_objects_a_put_is_denied(world: World) -> None:
    for identity in (BOBS, NOBODY):
        with pytest.raises(AccessDenied):
            await put(world, identity)


async def test_creating_does_not_imply_replacing(world: World) -> None:
    """Not even what the same account has put: on chain the bucket's owner owns it, and its update would be refused."""
    await put(world, CUSTODIAL)
    world.chain.allowed.add((BOB, "photos", None, Action.CREATE_OBJECT))
    await put(world, BOBS, name="new")
    for name in ("new", "k"):
        with pytest.raises(AccessDenied):
            await put(world, BOBS, name=name, payload=b"again")
    world.chain.allowed.add((BOB, "photos", None, Action.UPDATE_OBJECT_CONTENT))
    world.chain.height += 1
    assert await put(world, BOBS, payload=b"allowed now")


async def test_a_bucket_that_forbids_delegation_refuses_s3_puts(world: World) -> None:
    world.chain.buckets["photos"] = replace(world.chain.buckets["photos"], delegation_disabled=True)
    with pytest.raises(AccessDenied):
        await put(world, CUSTODIAL)


async def test_a_payload_over_the_chains_limit_is_refused_before_its_first_byte(world: World) -> None:
    with pytest.raises(ObjectTooLarge):
        await put(world, CUSTODIAL, size=world.chain.params.max_payload_size + 1)


async def test_an_empty_object_can_be_put_by_delegation(world: World) -> None:
    assert (await put(world, CUSTODIAL, payload=b"", name="folder/")).payload_size == 0


@pytest.mark.parametrize("status", [BucketStatus.DISCONTINUED, BucketStatus.MIGRATING])
async def test_a_bucket_out_of_service_takes_no_puts(world: World, status: BucketStatus) -> None:
    world.bucket("old", status=status)
    with pytest.raises(BucketNotInService):
        await put(world, CUSTODIAL, bucket="old")


async def test_a_provider_out_of_service_takes_no_puts(world: World) -> None:
    me = world.chain.providers[OPERATOR]
    world.chain.providers[OPERATOR] = replace(me, status=SpStatus.IN_MAINTENANCE)
    with pytest.raises(SpNotInService):
        await put(world, CUSTODIAL)


async def test_a_bucket_of_another_provider_is_answered_with_its_endpoint(world: World) -> None:
    world.bucket("theirs", primary_sp=ELSEWHERE)
    with pytest.raises(NotForThisSp) as refused:
        await put(world, CUSTODIAL, bucket="theirs")
    assert refused.value.primary_endpoint == "http://other"
    with pytest.raises(NoSuchBucket):
        await put(world, CUSTODIAL, bucket="nowhere")


# --- puts of objects that their account created on chain


@pytest.fixture
async def created(world: World) -> World:
    world.bucket("mine", owner=USER)
    world.chain_object("mine", "k", b"hello")
    return world


async def test_a_greenfield_put_takes_size_and_root_from_the_chain(created: World) -> None:
    on_chain = created.chain.objects["mine", "k"]
    await put(created, GNFD1, bucket="mine", size=None)
    [order] = created.store.orders
    assert (order.object_id, order.version, order.payload_size) == (7, 0, 5)
    assert order.expected_root == on_chain.checksums[0]
    assert order.headers == {"content-type": "text/plain"}


async def test_a_greenfield_put_without_its_object_on_chain_is_refused(created: World) -> None:
    with pytest.raises(NoSuchObject):
        await put(created, GNFD1, bucket="mine", name="absent")


async def test_a_sealed_object_is_not_put_again(created: World) -> None:
    created.chain_object("mine", "k", b"hello", status=ObjectStatus.SEALED)
    with pytest.raises(ObjectNotCreated):
        await put(created, GNFD1, bucket="mine")


async def test_an_update_is_put_with_the_sizes_of_its_shadow(created: World) -> None:
    root = Checksum(bytes(32))
    update = ContentUpdate(3, "text/html", (root,) * 7, 4, 1_600_000_100, USER)
    created.chain_object("mine", "k", b"hello", status=ObjectStatus.SEALED, update=update, version=3)
    await put(created, GNFD1, b"new", bucket="mine")
    [order] = created.store.orders
    assert (order.version, order.payload_size, order.expected_root) == (4, 3, root)


async def test_a_body_that_is_not_as_long_as_the_object_on_chain_is_refused_at_once(created: World) -> None:
    with pytest.raises(PayloadSizeMismatch):
        await put(created, GNFD1, b"hello!", bucket="mine")


async def test_an_object_of_no_bytes_has_nothing_to_put(created: World) -> None:
    created.chain_object("mine", "empty", b"", checksums=())
    with pytest.raises(EmptyPayload):
        await put(created, GNFD1, b"", bucket="mine", name="empty")


# --- reading


async def read(world: World, identity: Identity, bucket: str = "photos", name: str = "k") -> bytes:
    entry = await world.gateway.head_object(identity, bucket, name)
    return b"".join([bytes(chunk) async for chunk in world.gateway.read(entry, 0, entry.job.payload_size or 0)])


async def test_an_object_is_readable_at_once_by_its_creator_and_the_buckets_owner(world: World) -> None:
    world.chain.allowed.add((BOB, "photos", None, Action.CREATE_OBJECT))
    await put(world, BOBS)
    assert await read(world, BOBS) == await read(world, CUSTODIAL) == b"hello"
    for stranger in (GNFD1, NOBODY):
        with pytest.raises(AccessDenied):
            await read(world, stranger)


@pytest.mark.parametrize(
    ("bucket", "object_visibility", "readable"),
    [
        (Visibility.PRIVATE, Visibility.INHERIT, False),
        (Visibility.PRIVATE, Visibility.PUBLIC_READ, True),
        (Visibility.PUBLIC_READ, Visibility.INHERIT, True),
        (Visibility.PUBLIC_READ, Visibility.PRIVATE, False),
    ],
)
async def test_before_it_is_on_chain_an_object_is_as_public_as_it_will_be(
    world: World, bucket: Visibility, object_visibility: Visibility, readable: bool
) -> None:
    world.bucket("b12", visibility=bucket)
    await put(world, CUSTODIAL, bucket="b12", visibility=object_visibility)
    if readable:
        assert await read(world, NOBODY, "b12") == b"hello"
    else:
        with pytest.raises(AccessDenied):
            await read(world, NOBODY, "b12")


async def test_once_it_is_on_chain_the_chain_decides(world: World) -> None:
    world.chain.allowed.add((BOB, "photos", None, Action.CREATE_OBJECT))
    await put(world, BOBS)
    world.chain_object("photos", "k", b"hello")
    with pytest.raises(AccessDenied):
        await read(world, BOBS)
    world.chain.allowed.add((BOB, "photos", "k", Action.GET_OBJECT))
    world.chain.height += 1
    assert await read(world, BOBS) == b"hello"


async def test_a_name_that_is_not_stored_is_not_there(world: World) -> None:
    world.chain_object("photos", "created-only", b"hello")
    for name in ("created-only", "absent"):
        with pytest.raises(NoSuchObject):
            await read(world, CUSTODIAL, name=name)


async def test_a_listing_needs_its_permission(world: World) -> None:
    await put(world, CUSTODIAL)
    with pytest.raises(AccessDenied):
        await world.gateway.list_objects(BOBS, "photos", "", "", "", 10)
    _, page = await world.gateway.list_objects(CUSTODIAL, "photos", "", "", "", 10)
    assert [entry.job.object_name for entry in page.entries] == ["k"]


async def test_progress_is_the_jobs_or_of_an_object_that_waits_for_its_payload(world: World) -> None:
    await put(world, CUSTODIAL)
    assert (await world.gateway.upload_progress(CUSTODIAL, "photos", "k")).state is JobState.UPLOAD_OBJECT_DONE
    world.chain_object("photos", "created", b"hello")
    assert (await world.gateway.upload_progress(CUSTODIAL, "photos", "created")).state is JobState.INIT_UNSPECIFIED
    with pytest.raises(NotYetOnChain, match="object has not been created"):
        await world.gateway.upload_progress(CUSTODIAL, "photos", "absent")
    with pytest.raises(AccessDenied):
        await world.gateway.upload_progress(BOBS, "photos", "k")


# --- deleting


async def test_a_delete_is_handed_to_the_task_node_and_may_be_repeated(world: World) -> None:
    await put(world, CUSTODIAL)
    for _ in range(2):
        await world.gateway.delete_object(CUSTODIAL, "photos", "k", "r")
    assert world.tasknode.deleted == [("photos", "k", ALICE)] * 2
    with pytest.raises(NoSuchObject):
        await read(world, CUSTODIAL)


async def test_a_delete_needs_its_permission_also_where_nothing_is(world: World) -> None:
    await put(world, CUSTODIAL)
    for name in ("k", "absent"):
        for identity in (BOBS, NOBODY):
            with pytest.raises(AccessDenied):
                await world.gateway.delete_object(identity, "photos", name, "r")
    assert world.tasknode.deleted == []


async def test_who_keeps_its_own_key_deletes_on_chain(created: World) -> None:
    with pytest.raises(OnChainOnly):
        await created.gateway.delete_object(GNFD1, "mine", "k", "r")
    with pytest.raises(OnChainOnly):
        await created.buckets.create(GNFD1, "mine2", Visibility.PRIVATE)
    with pytest.raises(OnChainOnly):
        await created.buckets.delete(GNFD1, "mine")


# --- buckets


async def test_a_bucket_is_created_by_its_account_on_this_provider(world: World) -> None:
    made = await world.buckets.create(CUSTODIAL, "newone", Visibility.PUBLIC_READ)
    assert (made.owner, made.visibility) == (ALICE, Visibility.PUBLIC_READ)
    assert world.signer.submitted == [MsgCreateBucket(ALICE, "newone", Visibility.PUBLIC_READ, OPERATOR)]


async def test_creating_it_again_needs_no_transaction(world: World) -> None:
    first = await world.buckets.create(CUSTODIAL, "newone", Visibility.PRIVATE)
    assert await world.buckets.create(CUSTODIAL, "newone", Visibility.PRIVATE) == first
    assert len(world.signer.submitted) == 1


async def test_another_accounts_bucket_exists(world: World) -> None:
    with pytest.raises(BucketExists) as refused:
        await world.buckets.create(BOBS, "photos", Visibility.PRIVATE)
    assert refused.value.owner == ALICE
    assert world.signer.submitted == []


async def test_a_bucket_that_another_account_made_in_the_same_block_exists(world: World) -> None:
    world.signer.refusals.append(TxRefused("storage", 1104, "Bucket already exists"))

    async def submit_late(message: Any) -> Any:
        world.bucket("raced", owner=BOB)
        raise world.signer.refusals.pop(0)

    world.signer.submit = submit_late  # type: ignore[method-assign]  # the race, in one place
    with pytest.raises(BucketExists):
        await world.buckets.create(CUSTODIAL, "raced", Visibility.PRIVATE)


async def test_another_refusal_of_the_chain_comes_out(world: World) -> None:
    world.signer.refusals.append(TxRefused("sdk", 5, "insufficient funds"))
    with pytest.raises(TxRefused):
        await world.buckets.create(CUSTODIAL, "newone", Visibility.PRIVATE)


async def test_a_bucket_name_is_checked_before_anything_is_asked(world: World) -> None:
    world.chain.asked.clear()
    with pytest.raises(InvalidBucketName):
        await world.buckets.create(CUSTODIAL, "Photos", Visibility.PRIVATE)
    assert world.chain.asked == []


async def test_an_empty_bucket_is_deleted_and_a_full_one_not(world: World) -> None:
    await put(world, CUSTODIAL)
    with pytest.raises(BucketNotEmpty):
        await world.buckets.delete(CUSTODIAL, "photos")
    await world.gateway.delete_object(CUSTODIAL, "photos", "k", "r")
    await world.buckets.delete(CUSTODIAL, "photos")
    assert world.signer.submitted == [MsgDeleteBucket(ALICE, "photos")]
    with pytest.raises(NoSuchBucket):
        await world.buckets.head(CUSTODIAL, "photos")


async def test_a_bucket_is_deleted_as_soon_as_its_last_object_has_left_the_chain(world: World) -> None:
    not_empty = TxRefused("storage", 1109, "Bucket is not empty")
    world.signer.refusals += [not_empty, not_empty]
    await world.buckets.delete(CUSTODIAL, "photos")
    assert len(world.signer.submitted) == 3


async def test_fast_blocks_do_not_shorten_the_time_in_which_a_bucket_may_become_empty(world: World) -> None:
    world.signer.refusals += [TxRefused("storage", 1109, "Bucket is not empty")] * 8
    await replace(world.buckets, wait_blocks=3, empties_s=10).delete(CUSTODIAL, "photos")
    assert len(world.signer.submitted) == 9


async def test_a_bucket_that_stays_full_on_chain_is_not_waited_for_for_ever(world: World) -> None:
    world.signer.refusals += [TxRefused("storage", 1109, "Bucket is not empty")] * 100
    with pytest.raises(BucketNotEmpty):
        await world.buckets.delete(CUSTODIAL, "photos")
    assert len(world.signer.submitted) == 4


async def test_a_bucket_is_deleted_by_whom_it_belongs_to(world: World) -> None:
    for identity in (BOBS, NOBODY):
        with pytest.raises(AccessDenied):
            await world.buckets.delete(identity, "photos")


async def test_an_account_sees_its_own_buckets(world: World) -> None:
    world.bucket("bobs", owner=BOB)
    assert [bucket.name for bucket in await world.buckets.list(CUSTODIAL)] == ["photos"]
    with pytest.raises(AccessDenied):
        await world.buckets.list(NOBODY)
