"""Store fees: locked when an object is created, charged when it is sealed, given back when it is not.

The real chain turns the fee into a stream at the seal (GREENFIELD.md 6.2); here it is paid once. The bucket's owner
pays, whoever creates. Balances never become negative.
"""

from __future__ import annotations

from dataclasses import replace

from chain.dev.codes import Code
from chain.dev.state import Fee, State
from sp.domain.ids import Address, ObjectId


def store_fee(state: State, payload_size: int) -> int:
    """wei-BNB by the parameters that are valid now"""
    return max(payload_size, state.params_now.min_charge_size) * state.genesis.store_price


def check_funds(state: State, payer: Address, payload_size: int) -> None:
    """The last check of a rule, before it writes."""
    account, fee = state.account(payer), store_fee(state, payload_size)
    if account.balance < fee:
        raise Code.INSUFFICIENT_FUNDS.refusal(f"{payer} has {account.balance} wei and the store fee is {fee}")


def lock(state: State, object_id: ObjectId, payer: Address, payload_size: int) -> None:
    """After `check_funds`."""
    account, fee = state.account(payer), store_fee(state, payload_size)
    state.accounts[payer] = replace(account, balance=account.balance - fee, locked=account.locked + fee)
    state.fees[object_id] = Fee(payer, fee)


def charge_at_once(state: State, payer: Address, payload_size: int) -> None:
    """For what needs no seal. After `check_funds`."""
    account = state.account(payer)
    state.accounts[payer] = replace(account, balance=account.balance - store_fee(state, payload_size))


def charge(state: State, object_id: ObjectId) -> None:
    fee = state.fees.pop(object_id)
    account = state.account(fee.payer)
    state.accounts[fee.payer] = replace(account, locked=account.locked - fee.amount)


def refund(state: State, object_id: ObjectId) -> None:
    fee = state.fees.pop(object_id)
    account = state.account(fee.payer)
    state.accounts[fee.payer] = replace(
        account, balance=account.balance + fee.amount, locked=account.locked - fee.amount
    )
