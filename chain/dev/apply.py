"""`apply`: one transaction, one state, one result. Pure: the same transactions give the same state, always.

A transaction that is not the signer's next one changes nothing. One that a rule refuses changes the signer's nonce
alone, as on Cosmos.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from chain.dev import buckets, exits, governance, objects, policies, providers, sealing
from chain.dev.codes import Code
from chain.dev.state import State
from chain.tx import hash_of, sign_digest, signer_of
from sp.domain import addresses, messages
from sp.domain.errors import InvalidRequest, TxRefused
from sp.domain.ids import Address, TxHash
from sp.domain.ledger import Block, ChainEvent, EventType, TxResult
from sp.domain.messages import TxMessage
from sp.wire.transactions import parse_signed_tx, parse_tx_body

Rule = Callable[[State, Any], list[ChainEvent]]

RULES: Final[Mapping[type[Any], Rule]] = {
    messages.MsgCreateBucket: buckets.create_bucket,
    messages.MsgDeleteBucket: buckets.delete_bucket,
    messages.MsgUpdateBucketInfo: buckets.update_bucket_info,
    messages.MsgCreateObject: objects.create_object,
    messages.MsgDelegateCreateObject: objects.delegate_create_object,
    messages.MsgUpdateObjectContent: objects.update_object_content,
    messages.MsgDelegateUpdateObjectContent: objects.delegate_update_object_content,
    messages.MsgUpdateObjectInfo: objects.update_object_info,
    messages.MsgCancelCreateObject: objects.cancel_create_object,
    messages.MsgDeleteObject: objects.delete_object,
    messages.MsgSealObject: sealing.seal_object,
    messages.MsgRejectSealObject: sealing.reject_seal_object,
    messages.MsgPutPolicy: policies.put_policy,
    messages.MsgDeletePolicy: policies.delete_policy,
    messages.MsgCreateStorageProvider: providers.create_storage_provider,
    messages.MsgEditStorageProvider: providers.edit_storage_provider,
    messages.MsgUpdateStorageProviderStatus: providers.update_storage_provider_status,
    messages.MsgUpdateParams: governance.update_params,
    messages.MsgStorageProviderExit: exits.storage_provider_exit,
    messages.MsgStorageProviderForcedExit: exits.storage_provider_forced_exit,
    messages.MsgCompleteStorageProviderExit: exits.complete_storage_provider_exit,
    messages.MsgCompleteSwapIn: exits.complete_swap_in,
}


@dataclass(frozen=True, slots=True)
class Tx:
    """A transaction, taken apart.

    raw, body: as they came: the serialised SignedTx, and the TxBody in it
    signed_by: the address recovered from the signature, None when that is malformed
    """

    hash: TxHash
    raw: bytes
    body: bytes
    chain_id: str
    signer: Address
    nonce: int
    message: TxMessage
    signed_by: Address | None


@dataclass(frozen=True, slots=True)
class Executed:
    """A block and what became of each of its transactions, in their order."""

    block: Block
    results: tuple[TxResult, ...]


def read_tx(raw: bytes, *, trusted: bool = False) -> Tx:
    """Take a serialised SignedTx apart. TxRefused when it cannot be read.

    trusted: it stands in a block already, so its signature was checked then (the check is most of the work)
    """
    try:
        signed = parse_signed_tx(raw)
        body = parse_tx_body(signed.body)
    except InvalidRequest as error:
        raise Code.TX_UNREADABLE.refusal(error.reason) from error
    signed_by = body.signer if trusted else addresses.signer_of(sign_digest(signed.body), signed.signature)
    return Tx(hash_of(raw), raw, signed.body, body.chain_id, body.signer, body.nonce, body.message, signed_by)


def check(state: State, tx: Tx, waiting: int = 0) -> None:
    """Whether this is the signer's next transaction; TxRefused otherwise. All that the pool checks.

    waiting: transactions of the same signer that will be executed before it
    """
    if tx.chain_id != state.genesis.chain_id:
        raise Code.UNAUTHORIZED.refusal(f"signed for chain {tx.chain_id[:64]!r}")
    if tx.signed_by != tx.signer:
        raise Code.UNAUTHORIZED.refusal(f"not signed by {tx.signer}")
    if tx.signer != signer_of(tx.message):
        raise Code.UNAUTHORIZED.refusal(f"{type(tx.message).__name__} must be signed by {signer_of(tx.message)}")
    expected = state.account(tx.signer).nonce + waiting
    if tx.nonce != expected:
        raise Code.WRONG_SEQUENCE.refusal(f"expected {expected}, got {tx.nonce}")


def apply(state: State, tx: Tx) -> tuple[TxResult, tuple[ChainEvent, ...]]:
    """Execute a transaction in the block that `state` is at. The result says whether and why it was refused."""
    try:
        check(state, tx)
        account = state.account(tx.signer)
        state.accounts[tx.signer] = replace(account, nonce=account.nonce + 1)
        drafts = RULES[type(tx.message)](state, tx.message)
    except TxRefused as refused:
        return TxResult(tx.hash, state.height, refused.code, refused.codespace, refused.log), ()
    events = tuple(replace(draft, tx_hash=tx.hash) for draft in drafts)
    created = next((event.object_id for event in events if event.type is EventType.CREATE_OBJECT), None)
    return TxResult(tx.hash, state.height, 0, object_id=created), events


def execute(state: State, height: int, time_s: int, txs: Iterable[Tx]) -> Executed:
    """Make a block of these transactions, in this order. time_s: unix seconds, from `earliest_next_time` on"""
    assert height > state.height
    assert time_s >= state.earliest_next_time
    state.height, state.time_s = height, time_s
    done = [apply(state, tx) for tx in txs]
    results = tuple(result for result, _ in done)
    events = tuple(event for _, events in done for event in events)
    return Executed(Block(height, time_s, tuple(result.tx_hash for result in results), events), results)
