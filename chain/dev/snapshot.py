"""A state and its history as framed records, so that a start need not execute everything again.

record = one letter | content; the last record counts the others, so a snapshot is whole or none.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, Final

from chain.dev.genesis import Genesis
from chain.dev.history import History
from chain.dev.state import Fee, ParamsVersion, Policy, State, initial_state
from proto import chain_pb2 as pb
from sp.domain.errors import StoreFailed
from sp.domain.ids import Address, ObjectId, TxHash
from sp.domain.ledger import Action, Effect
from sp.domain.params import StorageParams
from sp.wire import chain as wire

_COUNT: Final = struct.Struct(">Q")
_HASH_BYTES: Final = 32


def records(state: State, history: History) -> Iterator[bytes]:
    """Reads both while it goes: give it copies."""
    count = 0
    for record in _records(state, history):
        count += 1
        yield record
    yield b"Z" + _COUNT.pack(count)


def restored(payloads: list[bytes], genesis: Genesis, history_limit: int) -> tuple[State, History]:
    """StoreFailed when the records are not those of a whole snapshot of this chain."""
    if not payloads or payloads[-1] != b"Z" + _COUNT.pack(len(payloads) - 1):
        raise StoreFailed("chain snapshot", "it is not whole")
    state, history = initial_state(genesis), History(history_limit)
    state.providers.clear()
    for record in payloads[:-1]:
        _take(record[:1], record[1:], state, history)
    return state, history


def _records(state: State, history: History) -> Iterator[bytes]:
    yield b"H" + _header(state, history)
    for account in state.accounts.values():
        yield b"A" + wire.account_pb(account).SerializeToString()
    for provider in state.providers.values():
        yield b"S" + wire.provider_pb(provider).SerializeToString()
    for bucket in state.buckets.values():
        yield b"B" + wire.bucket_pb(bucket).SerializeToString()
    for stored in state.objects.values():
        yield b"O" + wire.chain_object_pb(stored).SerializeToString()
    for object_id, fee in state.fees.items():
        yield b"F" + _json([object_id, fee.payer, fee.amount])
    for kind, held in ((b"P", state.bucket_policies), (b"Q", state.object_policies)):
        for resource, by_principal in held.items():
            for principal, policy in by_principal.items():
                yield kind + _json([resource, principal, policy.actions, policy.effect])
    for block in history.blocks:
        yield b"K" + wire.block_pb(block).SerializeToString()
    for tx_hash, result in history.results.items():
        yield b"T" + bytes.fromhex(tx_hash) + wire.tx_result_pb(result, None).SerializeToString()
    for tx_hash, body in history.bodies.items():
        yield b"C" + bytes.fromhex(tx_hash) + body


def _header(state: State, history: History) -> bytes:
    return _json(
        {
            "genesis": state.genesis.digest,
            "height": state.height,
            "time_s": state.time_s,
            "next_bucket_id": state.next_bucket_id,
            "next_object_id": state.next_object_id,
            "params": [[version.valid_from, asdict(version.params)] for version in state.params],
            "forgotten": history.forgotten,
        }
    )


def _take(kind: bytes, content: bytes, state: State, history: History) -> None:
    match kind:
        case b"H":
            _take_header(json.loads(content), state, history)
        case b"A":
            account = wire.account(pb.GetAccountReply.FromString(content))
            state.accounts[account.address] = account
        case b"S":
            provider = wire.provider(pb.StorageProvider.FromString(content))
            state.providers[provider.operator] = provider
        case b"B":
            bucket = wire.bucket(pb.Bucket.FromString(content))
            state.buckets[bucket.name] = bucket
            state.names.setdefault(bucket.name, {})
        case b"O":
            stored = wire.chain_object(pb.Object.FromString(content))
            state.objects[stored.id] = stored
            state.names.setdefault(stored.bucket, {})[stored.name] = stored.id
        case b"F":
            object_id, payer, amount = json.loads(content)
            state.fees[ObjectId(object_id)] = Fee(Address(payer), amount)
        case b"P" | b"Q":
            _take_policy(kind, json.loads(content), state)
        case _:
            _take_history(kind, content, history)


def _take_header(header: dict[str, Any], state: State, history: History) -> None:
    if header["genesis"] != state.genesis.digest:
        raise StoreFailed("chain snapshot", "it is of a chain with another genesis")
    state.height, state.time_s = header["height"], header["time_s"]
    state.next_bucket_id, state.next_object_id = header["next_bucket_id"], header["next_object_id"]
    state.params = [ParamsVersion(valid_from, StorageParams(**params)) for valid_from, params in header["params"]]
    history.forgotten = header["forgotten"]


def _take_policy(kind: bytes, fields: list[Any], state: State) -> None:
    resource, principal, actions, effect = fields
    policy = Policy(tuple(Action(action) for action in actions), Effect(effect))
    if kind == b"P":
        state.bucket_policies.setdefault(resource, {})[Address(principal)] = policy
    else:
        state.object_policies.setdefault(ObjectId(resource), {})[Address(principal)] = policy


def _take_history(kind: bytes, content: bytes, history: History) -> None:
    if kind == b"K":
        history.blocks.append(wire.block(pb.Block.FromString(content)))
        return
    tx_hash = TxHash(content[:_HASH_BYTES].hex())
    if kind == b"T":
        result = wire.tx_result(tx_hash, pb.GetTxReply.FromString(content[_HASH_BYTES:]))
        assert result is not None
        history.results[tx_hash] = result
    elif kind == b"C":
        history.bodies[tx_hash] = content[_HASH_BYTES:]
    else:
        raise StoreFailed("chain snapshot", f"it holds a record of unknown kind {kind!r}")


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
