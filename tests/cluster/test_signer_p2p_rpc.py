"""Signer and P2P over real gRPC: the clients say what the services do, and two providers talk to each other."""

import asyncio
import hashlib
import hmac
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import grpc
import pytest

from p2p.answering import Answering, Door
from p2p.asking import Asking
from p2p.client import MAX_QUESTIONS, Accepted, GrpcPeers, P2PClient
from p2p.config import P2PConfig
from p2p.policy import Rules
from p2p.replay import SeenNonces
from p2p.rpc import PEER_MESSAGE_BYTES, P2PPeerRpc, served, served_to_peers
from p2p.service import P2PService
from piecestore.memory import MemoryStore
from proto import p2p_pb2 as pb
from proto.p2p_pb2_grpc import P2PPeerStub
from signer.client import SignerClient
from signer.rpc import served as signer_served
from sp.crypto.hashing import keccak256
from sp.domain.addresses import signer_of
from sp.domain.approvals import Approval, ApprovalRequest, ObjectRef, Offer, PieceRequest, ReceiptDoc, SignedApproval
from sp.domain.errors import (
    ApprovalRefused,
    InvalidRequest,
    KeyNotAllowed,
    NoSuchAccount,
    Overloaded,
    SignatureError,
    TooFewApprovals,
    TxRefused,
)
from sp.domain.ids import Address, Checksum, ObjectId, RedundancyIndex, Signature
from sp.domain.ledger import Bucket, SpStatus, Visibility
from sp.domain.messages import MsgCreateBucket, MsgUpdateStorageProviderStatus
from sp.runtime.channels import Channels
from sp.runtime.clock import SystemClock
from sp.runtime.errors import error_from_detail
from sp.runtime.limits import Slots, SlotsBySender
from sp.runtime.pool import CpuPool
from sp.runtime.rpc import dial, serving
from spdb.database import open_database
from spdb.peers import Peers
from tests.turns import turn
from tests.unit.ledger_double import NOW_S, PARAMS, LedgerDouble
from tests.unit.providers import Provider, Providers, clock

REF = ObjectRef(ObjectId(42), 3, "photos", "cat.jpg", 5000, PARAMS)


@dataclass
class Node:
    """One provider's P2P process: both its listeners, and a client of the inner one."""

    provider: Provider
    service: P2PService
    client: P2PClient


@asynccontextmanager
async def running(
    provider: Provider, ledger: LedgerDouble, dir: Path, address: str, channels: Channels
) -> AsyncIterator[Node]:
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(open_database(f"sqlite:///{dir}/{provider.record.moniker}.sqlite"))
        now = provider.signer.clock
        records, peers = Peers(database, now), GrpcPeers(channels, now)
        config = P2PConfig(ask_timeout_s=5.0, round_timeout_s=5.0)
        asking = Asking(ledger, provider.signer, peers, records, now, Random(1), config)
        answering = Answering(
            chain=ledger,
            store=MemoryStore(2**34),
            signer=provider.signer,
            clock=now,
            rules=Rules(0, 0, frozenset(), frozenset()),
            door=Door(),
            seen=SeenNonces(10),
            questions=Slots("questions", 8),
            questions_each=SlotsBySender("questions", 2),
            lifetime_s=3600,
            version="1.0",
        )
        service = P2PService(ledger, provider.signer, peers, records, now, asking, answering)
        outer = serving(address, [served_to_peers(service)], max_message_bytes=PEER_MESSAGE_BYTES, grace_s=0.1)
        inner = serving("127.0.0.1:0", [served(service)], grace_s=0.1)
        await stack.enter_async_context(outer)
        channel = await stack.enter_async_context(dial(await stack.enter_async_context(inner), timeout_s=10.0))
        yield Node(provider, service, P2PClient(channel))


@pytest.fixture
async def ledger() -> LedgerDouble:
    return LedgerDouble()


@pytest.fixture
async def providers(ledger: LedgerDouble, tmp_path: Path) -> AsyncIterator[Providers]:
    async with CpuPool(1) as pool:
        yield Providers(ledger, clock(), pool, tmp_path)


@pytest.fixture
async def nodes(ledger: LedgerDouble, providers: Providers, tmp_path: Path) -> AsyncIterator[list[Node]]:
    """Three providers on sockets below the test's folder."""
    channels = Channels(lambda endpoint: dial(endpoint, timeout_s=5.0), SystemClock(), limit=8)
    async with channels, AsyncExitStack() as stack:
        made = []
        for number in range(3):
            address = f"unix:{tmp_path}/{number}.sock"
            provider = providers.add(f"sp{number}", address)
            made.append(await stack.enter_async_context(running(provider, ledger, tmp_path, address, channels)))
        yield made


async def test_approvals_of_other_providers_come_back_verified(nodes: list[Node]) -> None:
    asker, *others = nodes
    approvals = await asker.client.get_approvals(REF, 2, 0, frozenset())
    approvers = {accepted.approval.approval.approver for accepted in approvals.accepted}
    assert approvers == {other.provider.operator for other in others}
    assert {accepted.approval.approval.object for accepted in approvals.accepted} == {REF}
    assert {accepted.free_bytes for accepted in approvals.accepted} == {2**34}


async def test_a_refusal_crosses_two_processes_with_its_reason(nodes: list[Node]) -> None:
    asker, closed, _ = nodes
    closed.service.answering.door.close("moving")
    with pytest.raises(TooFewApprovals, match="not accepting: moving"):
        await asker.client.get_approvals(REF, 2, 0, frozenset())
    approvals = await asker.client.get_approvals(REF, 1, 1, frozenset())
    assert approvals.refused == ((closed.provider.operator, "not accepting: moving"),)


async def test_peers_are_listed_with_their_pings(nodes: list[Node]) -> None:
    asker, first, second = nodes
    await asker.client.report_peer(second.provider.operator, "lost its piece")
    peers = {peer.operator: peer for peer in await asker.client.list_peers(ping=True)}
    assert peers[first.provider.operator].reachable
    assert peers[first.provider.operator].version == "1.0"
    assert peers[first.provider.operator].ping_us > 0 or peers[first.provider.operator].height == 10
    assert peers[second.provider.operator].last_error == "lost its piece"
    await asker.client.report_peer(second.provider.operator, None)
    peers = {peer.operator: peer for peer in await asker.client.list_peers(ping=False)}
    assert peers[second.provider.operator].failures == 0


async def test_a_hostile_question_is_refused_over_the_wire(nodes: list[Node]) -> None:
    asker, other, third = nodes
    question = ApprovalRequest(REF, asker.provider.operator, NOW_S, "ab" * 16)
    signature = await asker.provider.signer.sign(question)
    peers, endpoint = asker.service.peers, other.provider.record.p2p_endpoint
    await peers.ask(endpoint, question, signature)
    with pytest.raises(SignatureError, match="replayed"):
        await peers.ask(endpoint, question, signature)
    await peers.ask(third.provider.record.p2p_endpoint, question, signature)
    other.service.answering.door.close("full")
    question = ApprovalRequest(REF, asker.provider.operator, NOW_S, "cd" * 16)
    with pytest.raises(ApprovalRefused, match="full"):
        await peers.ask(endpoint, question, await asker.provider.signer.sign(question))


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many questions came in each common call. To be named before `nodes`, which serve what they find."""
    calls: list[int] = []
    true = P2PPeerRpc.AskApprovals

    async def counted(self: P2PPeerRpc, request: pb.AskApprovalsRequest, context: Any) -> pb.AskApprovalsReply:
        calls.append(len(request.questions))
        return await true(self, request, context)

    monkeypatch.setattr(P2PPeerRpc, "AskApprovals", counted)
    return calls


@pytest.fixture
def refused_calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """As `calls`, of providers whose version does not know them."""
    calls: list[int] = []

    async def unknown(self: P2PPeerRpc, request: pb.AskApprovalsRequest, context: Any) -> None:
        calls.append(len(request.questions))
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "Method not found!")

    monkeypatch.setattr(P2PPeerRpc, "AskApprovals", unknown)
    return calls


async def test_questions_that_wait_for_one_provider_share_calls_and_each_has_its_own_answer(
    calls: list[int], nodes: list[Node]
) -> None:
    asker, other, _ = nodes
    questions = [ApprovalRequest(REF, asker.provider.operator, NOW_S, f"{n:032x}") for n in (1, 2, 2)]
    signatures = [await asker.provider.signer.sign(question) for question in questions]
    signatures[1] = Signature(bytes(65))
    peers, endpoint = asker.service.peers, other.provider.record.p2p_endpoint
    asking = zip(questions, signatures, strict=True)
    good, forged, again = await asyncio.gather(
        *(peers.ask(endpoint, question, signature) for question, signature in asking), return_exceptions=True
    )
    assert calls == [3]
    assert isinstance(good, Accepted)
    assert isinstance(forged, SignatureError)
    assert isinstance(again, Accepted), "a forged question does not use up the nonce of the true one"


async def test_every_question_of_a_call_counts_against_its_askers_share(nodes: list[Node]) -> None:
    asker, other, _ = nodes
    hold = asyncio.Event()
    found = other.service.chain.head_bucket

    async def slowly(bucket: str) -> Bucket:
        await hold.wait()
        return await found(bucket)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(other.service.chain, "head_bucket", slowly)
        questions = [ApprovalRequest(REF, asker.provider.operator, NOW_S, f"{n:032x}") for n in range(4)]
        asked = [
            asyncio.create_task(
                asker.service.peers.ask(
                    other.provider.record.p2p_endpoint, question, await asker.provider.signer.sign(question)
                )
            )
            for question in questions
        ]
        while not other.service.answering.questions.taken:
            await turn()
        await turn(5)
        hold.set()
        answers = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(answer) for answer in answers] == [Accepted, Accepted, Overloaded, Overloaded]


async def test_a_provider_that_knows_no_common_calls_is_asked_one_by_one(
    refused_calls: list[int], nodes: list[Node]
) -> None:
    asker, other, _ = nodes
    for n in range(3):
        question = ApprovalRequest(REF, asker.provider.operator, NOW_S, f"{n:032x}")
        signature = await asker.provider.signer.sign(question)
        assert await asker.service.peers.ask(other.provider.record.p2p_endpoint, question, signature)
    assert refused_calls == [1], "it is remembered"


async def test_a_call_with_no_question_or_too_many_is_refused(nodes: list[Node]) -> None:
    _, other, _ = nodes
    async with dial(other.provider.record.p2p_endpoint, timeout_s=5.0) as channel:
        for count in (0, MAX_QUESTIONS + 1):
            with pytest.raises(InvalidRequest, match="questions"):
                await P2PPeerStub(channel).AskApprovals(
                    pb.AskApprovalsRequest(questions=[pb.AskApprovalRequest()] * count)
                )
        reply = await P2PPeerStub(channel).AskApprovals(pb.AskApprovalsRequest(questions=[pb.AskApprovalRequest()] * 3))
    assert [type(error_from_detail(each.error)) for each in reply.answers] == [InvalidRequest] * 3


async def test_the_inner_service_is_not_offered_to_other_providers(nodes: list[Node]) -> None:
    asker, other, _ = nodes
    async with dial(other.provider.record.p2p_endpoint, timeout_s=5.0) as channel:
        with pytest.raises(Exception, match="UNIMPLEMENTED"):
            await P2PClient(channel).report_peer(asker.provider.operator, "a lie")


# --- the Signer


@dataclass
class Remote:
    me: Provider
    client: SignerClient


@pytest.fixture
async def remote(providers: Providers, tmp_path: Path) -> AsyncIterator[Remote]:
    me = providers.add("me")
    async with (
        serving(f"unix:{tmp_path}/run/signer.sock", [signer_served(me.signer)], grace_s=0.1) as address,
        dial(address, timeout_s=5.0) as channel,
    ):
        yield Remote(me, SignerClient(channel))


async def test_every_kind_of_document_is_signed_as_it_was_asked_for(remote: Remote) -> None:
    me, other = remote.me.operator, Address("0x5FbDB2315678afecb367f032d93F642f64180aa3")
    theirs = SignedApproval(Approval(REF, me, other, NOW_S + 3600, 900), b"\1" * 65)
    for document in (
        ApprovalRequest(REF, me, NOW_S, "00" * 16),
        Approval(REF, other, me, NOW_S + 3600, 900),
        Offer(theirs, RedundancyIndex(3), NOW_S),
        PieceRequest(ObjectId(42), 3, 1, RedundancyIndex(-1), me, other, NOW_S),
        ReceiptDoc(me, ObjectId(42), Checksum(b"\2" * 32)),
    ):
        signature = await remote.client.sign(document)
        assert signature == await remote.me.signer.sign(document)
        assert signer_of(keccak256(document.sign_bytes()), signature) in (me, remote.me.record.approval)


async def test_keys_accounts_and_transactions_cross_the_wire(remote: Remote, ledger: LedgerDouble) -> None:
    client = remote.client
    assert await client.keys() == await remote.me.signer.keys()
    account, secret = await client.create_account("alice")
    assert await client.list_accounts() == [account]
    assert len(secret) == 40
    assert await client.import_account("bob", b"\1" * 32, "BOBSKEY", "secret-of-bob")
    scope = (account.access_key_id, "20240102", "us-east-1", "s3")
    assert await client.sigv4_key(*scope) == await remote.me.signer.sigv4_key(*scope)
    signature = hmac.digest(secret.encode(), b"GET\n\xff", hashlib.sha1)
    assert await client.verify_sigv2(account.access_key_id, b"GET\n\xff", signature) == account.address
    message = MsgCreateBucket(account.address, "photos", Visibility.PRIVATE, remote.me.operator)
    assert len(await client.submit(message)) == 64
    assert ledger.accepted == [(account.address, 0, "MsgCreateBucket")]


async def test_the_signers_errors_arrive_as_what_they_are(remote: Remote, ledger: LedgerDouble) -> None:
    client = remote.client
    with pytest.raises(NoSuchAccount):
        await client.sigv4_key("GNFDNOBODY", "20240102", "us-east-1", "s3")
    with pytest.raises(NoSuchAccount):
        await client.verify_sigv2("GNFDNOBODY", b"GET", bytes(20))
    with pytest.raises(InvalidRequest):
        await client.create_account("../alice")
    with pytest.raises(KeyNotAllowed):
        await client.submit(MsgUpdateStorageProviderStatus(remote.me.record.seal, SpStatus.IN_SERVICE))
    ledger.on_broadcast = lambda count: TxRefused("storage", 1107, "Access denied")
    with pytest.raises(TxRefused) as refused:
        await client.submit(MsgUpdateStorageProviderStatus(remote.me.operator, SpStatus.IN_SERVICE))
    assert (refused.value.codespace, refused.value.code) == ("storage", 1107)
