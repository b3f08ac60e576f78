"""What a node tells its followers of a block: the block, and what it made of the things that its events name.

The real network's blocks tell as much: their events have the new values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from chain.dev.history import History
from chain.dev.state import State
from proto import chain_pb2 as pb
from sp.domain.ids import ObjectId, TxHash
from sp.domain.ledger import NO_OBJECT, Block, Bucket, ChainObject, TxResult
from sp.wire import chain as wire

RECORDS_BYTES: Final = 1024 * 1024
"""Of objects and buckets with one block."""
RESULTS_BYTES: Final = 1024 * 1024

GONE: Final = b""
"""In the place of a record."""


@dataclass(frozen=True, slots=True)
class News:
    """results, objects, buckets: as far as they were told, the others are to be asked for
    objects: as `decoded` reads them, GONE for one that the chain has no more
    """

    block: Block
    results: Mapping[TxHash, TxResult] = field(default_factory=dict)
    objects: Mapping[ObjectId, bytes] = field(default_factory=dict)
    buckets: tuple[Bucket, ...] = ()


def decoded(record: bytes) -> ChainObject:
    return wire.chain_object(pb.Object.FromString(record))


def news(message: pb.News) -> News:
    """The objects stay as they are: most are told to providers that never ask about them."""
    block = wire.block(message.block)
    results = (wire.outcome(block.height, one) for one in message.results)
    return News(
        block,
        {result.tx_hash: result for result in results},
        {ObjectId(one.id): one.object for one in message.objects},
        tuple(wire.bucket(one) for one in message.buckets),
    )


def news_pb(block: Block, state: State, history: History) -> pb.News:
    """Of a block that was finished at `state` or before it. What a later block has changed again may be told as that
    one left it: who hears both is right in the end, and was told nothing older than the block."""
    message = pb.News(block=wire.block_pb(block))
    _add_results(message, block, history)
    room = RECORDS_BYTES
    for name in dict.fromkeys(event.bucket for event in block.events if event.object_id == NO_OBJECT):
        bucket = state.buckets.get(name)
        if bucket is not None:
            record = wire.bucket_pb(bucket)
            room -= record.ByteSize()
            if room < 0:
                return message
            message.buckets.append(record)
    for object_id in dict.fromkeys(event.object_id for event in block.events if event.object_id != NO_OBJECT):
        found = state.objects.get(object_id)
        content = GONE if found is None else wire.chain_object_pb(found).SerializeToString()
        room -= len(content)
        if room < 0:
            return message
        message.objects.add(id=object_id, object=content)
    return message


def _add_results(message: pb.News, block: Block, history: History) -> None:
    room = RESULTS_BYTES
    for tx_hash in block.tx_hashes:
        result = history.results.get(tx_hash)
        if result is None:
            continue
        outcome = wire.outcome_pb(result)
        room -= outcome.ByteSize()
        if room < 0:
            return
        message.results.append(outcome)
