"""The Signer as the other services see it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import grpc

from proto import signer_pb2 as pb
from proto.signer_pb2_grpc import SignerStub
from sp.domain.addresses import parse_address
from sp.domain.approvals import Approval, ApprovalRequest, Offer, PieceRequest, ReceiptDoc, SignDoc
from sp.domain.create_approvals import CreateBucketApproval, CreateObjectApproval
from sp.domain.ids import Address, Signature, TxHash
from sp.domain.messages import TxMessage
from sp.runtime.neighbour import neighbour
from sp.runtime.parts import Parts
from sp.wire import common as wire
from sp.wire import create_approvals, transactions

CALL_TIMEOUT_S = 15.0
"""Longest wait for the Signer; a transaction may have to wait for a block before its nonce is known."""


@dataclass(frozen=True, slots=True)
class SpKeys:
    """Public addresses of one provider's five keys."""

    operator: Address
    funding: Address
    seal: Address
    approval: Address
    gc: Address


@dataclass(frozen=True, slots=True)
class CustodialAccount:
    """A chain account whose key this provider keeps, and the S3 access key that stands for it."""

    name: str
    address: Address
    access_key_id: str
    created_at_s: int


@dataclass(frozen=True, slots=True)
class SigV4Key:
    """The signing key of one access key, day, region and service (never logged: repr hides it)."""

    account: Address
    signing_key: bytes

    def __repr__(self) -> str:
        return f"SigV4Key(account={self.account!r})"


class Signer(Protocol):
    """Holds every private key; signs typed documents and transactions, never raw bytes."""

    async def keys(self) -> SpKeys:
        """Public addresses. They do not change while a process runs."""

    async def sign(self, document: SignDoc) -> Signature:
        """Requests and offers by the operator key, approvals and receipts by the approval key.
        KeyNotAllowed when the document names another provider than this one as its author."""

    async def submit(self, message: TxMessage) -> TxHash:
        """Sign with the key whose address the message's first field names, and broadcast. Nonces are the Signer's
        business. TxRefused, KeyNotAllowed, NoSuchAccount; ServiceUnavailable leaves open whether it landed."""

    async def sigv4_key(self, access_key_id: str, date: str, region: str, service: str) -> SigV4Key:
        """NoSuchAccount for an unknown access key id. date: YYYYMMDD."""

    async def verify_sigv2(self, access_key_id: str, string_to_sign: bytes, signature: bytes) -> Address:
        """The account of the access key, if `signature` (20 bytes) is its Signature Version 2 of the string.
        NoSuchAccount, SignatureMismatch. The key is the secret itself, so it cannot be derived and handed out."""

    async def create_account(self, name: str) -> tuple[CustodialAccount, str]:
        """A new custodial account, and its secret access key, shown only here. InvalidRequest when it is taken."""

    async def import_account(
        self, name: str, private_key: bytes, access_key_id: str, secret_access_key: str
    ) -> CustodialAccount:
        """Keep a key that exists. The same import again is a no-op."""

    async def list_accounts(self) -> list[CustodialAccount]:
        """In order of creation; no secrets."""


class SignerClient:
    """The Signer of this provider in another process."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = SignerStub(channel)
        self._keys: SpKeys | None = None

    async def keys(self) -> SpKeys:
        if self._keys is None:
            # Others ask this when they start: a Signer that is still starting too is waited for.
            reply = await self._stub.GetKeys(pb.GetKeysRequest(), wait_for_ready=True)
            self._keys = SpKeys(
                parse_address(reply.operator),
                parse_address(reply.funding),
                parse_address(reply.seal),
                parse_address(reply.approval),
                parse_address(reply.gc),
            )
        return self._keys

    async def sign(self, document: SignDoc) -> Signature:
        reply = await self._stub.Sign(_sign_request(document))
        return Signature(reply.signature)

    async def submit(self, message: TxMessage) -> TxHash:
        reply = await self._stub.Submit(pb.SubmitRequest(message=transactions.tx_message_pb(message)))
        return TxHash(reply.tx_hash)

    async def sigv4_key(self, access_key_id: str, date: str, region: str, service: str) -> SigV4Key:
        request = pb.DeriveSigV4KeyRequest(access_key_id=access_key_id, date=date, region=region, service=service)
        reply = await self._stub.DeriveSigV4Key(request)
        return SigV4Key(parse_address(reply.account), reply.signing_key)

    async def verify_sigv2(self, access_key_id: str, string_to_sign: bytes, signature: bytes) -> Address:
        reply = await self._stub.VerifySigV2(
            pb.VerifySigV2Request(access_key_id=access_key_id, string_to_sign=string_to_sign, signature=signature)
        )
        return parse_address(reply.account)

    async def create_account(self, name: str) -> tuple[CustodialAccount, str]:
        reply = await self._stub.CreateAccount(pb.CreateAccountRequest(name=name))
        return _account(reply.account), reply.secret_access_key

    async def import_account(
        self, name: str, private_key: bytes, access_key_id: str, secret_access_key: str
    ) -> CustodialAccount:
        request = pb.ImportAccountRequest(
            name=name, private_key=private_key, access_key_id=access_key_id, secret_access_key=secret_access_key
        )
        return _account((await self._stub.ImportAccount(request)).account)

    async def list_accounts(self) -> list[CustodialAccount]:
        reply = await self._stub.ListAccounts(pb.ListAccountsRequest())
        return [_account(account) for account in reply.accounts]


async def connect(parts: Parts) -> Signer:
    """The Signer in this process, or a client of the one at its configured endpoint (channel shared and kept)."""
    return await neighbour(parts, "signer", parts.common.endpoint.signer, SignerClient, CALL_TIMEOUT_S)


def _sign_request(document: SignDoc) -> pb.SignRequest:
    match document:
        case ApprovalRequest():
            return pb.SignRequest(approval_request=wire.approval_request_pb(document))
        case Approval():
            return pb.SignRequest(approval=wire.approval_pb(document))
        case Offer():
            return pb.SignRequest(offer=wire.offer_pb(document))
        case PieceRequest():
            return pb.SignRequest(piece_request=wire.piece_request_pb(document))
        case ReceiptDoc():
            return pb.SignRequest(receipt=wire.receipt_doc_pb(document))
        case CreateBucketApproval():
            return pb.SignRequest(create_bucket=create_approvals.bucket_approval_pb(document))
        case CreateObjectApproval():
            return pb.SignRequest(create_object=create_approvals.object_approval_pb(document))


def _account(message: pb.Account) -> CustodialAccount:
    return CustodialAccount(message.name, parse_address(message.address), message.access_key_id, message.created_at_s)
