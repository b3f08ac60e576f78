"""Which key signs what: pure tables. Whatever is not in them is refused."""

from __future__ import annotations

from typing import Final

from sp.domain.approvals import Approval, ApprovalRequest, Offer, PieceRequest, ReceiptDoc, SignDoc
from sp.domain.create_approvals import CreateBucketApproval, CreateObjectApproval
from sp.domain.errors import KeyNotAllowed
from sp.domain.ids import Address
from sp.domain.messages import (
    MsgCancelCreateObject,
    MsgCompleteStorageProviderExit,
    MsgCompleteSwapIn,
    MsgCreateBucket,
    MsgCreateStorageProvider,
    MsgDelegateCreateObject,
    MsgDelegateUpdateObjectContent,
    MsgDeleteBucket,
    MsgDeleteObject,
    MsgDeletePolicy,
    MsgEditStorageProvider,
    MsgPutPolicy,
    MsgRejectSealObject,
    MsgSealObject,
    MsgStorageProviderExit,
    MsgStorageProviderForcedExit,
    MsgUpdateBucketInfo,
    MsgUpdateObjectInfo,
    MsgUpdateStorageProviderStatus,
    TxMessage,
)

CUSTODIAL: Final = "custodial account"

TRANSACTIONS: Final[dict[str, frozenset[type]]] = {
    "operator": frozenset(
        {
            MsgDelegateCreateObject,
            MsgDelegateUpdateObjectContent,
            MsgCreateStorageProvider,
            MsgEditStorageProvider,
            MsgUpdateStorageProviderStatus,
            MsgStorageProviderExit,
            MsgCompleteStorageProviderExit,
        }
    ),
    "seal": frozenset({MsgSealObject, MsgRejectSealObject, MsgCompleteSwapIn}),
    CUSTODIAL: frozenset(
        {
            MsgCreateBucket,
            MsgDeleteBucket,
            MsgUpdateBucketInfo,
            MsgDeleteObject,
            MsgCancelCreateObject,
            MsgUpdateObjectInfo,
            MsgPutPolicy,
            MsgDeletePolicy,
            MsgStorageProviderForcedExit,  # where the chain's authority is that account, as on a test network
        }
    ),
}

DOCUMENTS: Final[dict[type, str]] = {
    ApprovalRequest: "operator",
    Offer: "operator",
    PieceRequest: "operator",
    Approval: "approval",
    ReceiptDoc: "approval",
    CreateBucketApproval: "approval",
    CreateObjectApproval: "approval",
}


def check_transaction(role: str, message: TxMessage) -> None:
    """KeyNotAllowed unless a key of this role signs messages of this type."""
    if type(message) not in TRANSACTIONS.get(role, frozenset()):
        raise KeyNotAllowed(role, type(message).__name__)


def role_for(document: SignDoc, operator: Address) -> str:
    """The role whose key signs `document`; KeyNotAllowed when it speaks for another provider than `operator`."""
    role = DOCUMENTS[type(document)]
    if author_of(document) != operator:
        raise KeyNotAllowed(role, f"{type(document).__name__} of another provider")
    return role


def author_of(document: SignDoc) -> Address:
    """The provider that a document's signature binds."""
    match document:
        case ApprovalRequest() | PieceRequest():
            return document.asker
        case Offer():
            return document.approval.approval.asker
        case Approval():
            return document.approver
        case ReceiptDoc():
            return document.sp_operator
        case CreateBucketApproval() | CreateObjectApproval():
            return document.primary_sp
