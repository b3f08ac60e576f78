"""The Signer over gRPC."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from proto import signer_pb2 as pb
from proto.signer_pb2_grpc import SignerServicer, add_SignerServicer_to_server
from signer.client import CustodialAccount, Signer
from sp.domain.approvals import SignDoc
from sp.domain.errors import InvalidRequest
from sp.runtime.rpc import Serving
from sp.wire import common as wire
from sp.wire import create_approvals, transactions


class SignerRpc(SignerServicer):
    def __init__(self, signer: Signer) -> None:
        self._signer = signer

    async def GetKeys(self, request: pb.GetKeysRequest, context: Any) -> pb.GetKeysReply:
        keys = await self._signer.keys()
        return pb.GetKeysReply(
            operator=keys.operator, funding=keys.funding, seal=keys.seal, approval=keys.approval, gc=keys.gc
        )

    async def Sign(self, request: pb.SignRequest, context: Any) -> pb.SignReply:
        return pb.SignReply(signature=await self._signer.sign(_document(request)))

    async def Submit(self, request: pb.SubmitRequest, context: Any) -> pb.SubmitReply:
        return pb.SubmitReply(tx_hash=await self._signer.submit(transactions.tx_message(request.message)))

    async def DeriveSigV4Key(self, request: pb.DeriveSigV4KeyRequest, context: Any) -> pb.DeriveSigV4KeyReply:
        key = await self._signer.sigv4_key(request.access_key_id, request.date, request.region, request.service)
        return pb.DeriveSigV4KeyReply(account=key.account, signing_key=key.signing_key)

    async def VerifySigV2(self, request: pb.VerifySigV2Request, context: Any) -> pb.VerifySigV2Reply:
        account = await self._signer.verify_sigv2(request.access_key_id, request.string_to_sign, request.signature)
        return pb.VerifySigV2Reply(account=account)

    async def CreateAccount(self, request: pb.CreateAccountRequest, context: Any) -> pb.CreateAccountReply:
        account, secret = await self._signer.create_account(request.name)
        return pb.CreateAccountReply(account=_account_pb(account), secret_access_key=secret)

    async def ImportAccount(self, request: pb.ImportAccountRequest, context: Any) -> pb.CreateAccountReply:
        account = await self._signer.import_account(
            request.name, request.private_key, request.access_key_id, request.secret_access_key
        )
        return pb.CreateAccountReply(account=_account_pb(account))

    async def ListAccounts(self, request: pb.ListAccountsRequest, context: Any) -> pb.ListAccountsReply:
        return pb.ListAccountsReply(accounts=map(_account_pb, await self._signer.list_accounts()))


def served(signer: Signer) -> Serving:
    return Serving(add_SignerServicer_to_server, SignerRpc(signer), "greenfield_sp.signer.v1.Signer")


_DOCUMENTS: Final[dict[str, Callable[[Any], SignDoc]]] = {
    "approval_request": wire.approval_request,
    "approval": wire.approval,
    "offer": wire.offer,
    "piece_request": wire.piece_request,
    "receipt": wire.receipt_doc,
    "create_bucket": create_approvals.bucket_approval,
    "create_object": create_approvals.object_approval,
}


def _document(request: pb.SignRequest) -> SignDoc:
    kind = request.WhichOneof("document")
    if kind is None:
        raise InvalidRequest("there is no document to sign")
    return _DOCUMENTS[kind](getattr(request, kind))


def _account_pb(account: CustodialAccount) -> pb.Account:
    return pb.Account(
        name=account.name,
        address=account.address,
        access_key_id=account.access_key_id,
        created_at_s=account.created_at_s,
    )
