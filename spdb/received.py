"""What a Receiver keeps for other providers: one row per replicate data group, scratch rows while it arrives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import (
    Column,
    Connection,
    Row,
    and_,
    bindparam,
    delete,
    func,
    literal_column,
    select,
    tuple_,
    update,
)

from sp.domain.approvals import ObjectRef
from sp.domain.errors import InvalidRequest
from sp.domain.ids import Address, Checksum, ObjectId, RedundancyIndex, SegmentIndex
from sp.domain.jobs import ReceivedGroup, ReceivedPiece, ReceivedState
from spdb.database import Clock, Database
from spdb.models.columns import BIG
from spdb.models.received import received, received_pieces
from spdb.prepared import Prepared, for_dialects
from spdb.statements import names
from spdb.statements.rows import join_checksums, params_of, params_values, split_checksums

GroupKey = tuple[ObjectId, int, RedundancyIndex]
"""Object id, version, column."""

PAGE: Final = 500


@dataclass(frozen=True, slots=True)
class Received:
    db: Database
    clock: Clock

    async def open(
        self, subject: ObjectRef, index: RedundancyIndex, asker: Address
    ) -> tuple[ReceivedGroup, list[ReceivedPiece]]:
        """The group, made when absent, and the pieces of it that have arrived (none any more once it is signed).
        InvalidRequest when it was opened by another asker, or for another content of that object and version."""
        now = self.clock.now_ms()
        return await self.db.write(lambda c: _open(c, subject, index, asker, now))

    async def add_pieces(
        self, object_id: ObjectId, version: int, index: RedundancyIndex, pieces: Sequence[ReceivedPiece]
    ) -> None:
        """These pieces are durable. InvalidRequest unless the group is RECEIVING."""
        now = self.clock.now_ms()
        await self.db.write(lambda c: _add_pieces(c, (object_id, version, index), pieces, now))

    async def sign(
        self,
        object_id: ObjectId,
        version: int,
        index: RedundancyIndex,
        integrity_hash: Checksum,
        piece_checksums: Sequence[Checksum],
    ) -> ReceivedGroup:
        """SIGNED: all pieces are durable. The same again is success; InvalidRequest when there is no such group or it
        was signed for another integrity hash."""
        now = self.clock.now_ms()
        key = (object_id, version, index)
        return await self.db.write(lambda c: _sign(c, key, integrity_hash, piece_checksums, now))

    async def get(self, object_id: ObjectId, version: int, index: RedundancyIndex | None = None) -> list[ReceivedGroup]:
        """The groups of an object's version that are here, by column; index: only that one."""
        return await self.db.read(lambda c: _get(c, object_id, version, index))

    async def mark_sealed(self, object_id: ObjectId, version: int, index: RedundancyIndex) -> None:
        """The chain has named us. Nothing unless it is SIGNED."""
        now = self.clock.now_ms()
        await self.db.write(lambda c: _mark_sealed(c, (object_id, version, index), now))

    async def mark_all_sealed(self, keys: Sequence[GroupKey]) -> None:
        """`mark_sealed` of many, in one transaction."""
        now = self.clock.now_ms()
        await self.db.write(lambda c: _mark_all_sealed(c, keys, now))

    async def of_objects(self, object_ids: Sequence[ObjectId], after: GroupKey | None = None) -> list[ReceivedGroup]:
        """All versions and columns of these objects that are here: one page of `PAGE` in the order of their keys,
        behind `after`."""
        return await self.db.read(lambda c: _of_objects(c, object_ids, after))

    async def unsealed(self, updated_before_ms: int, limit: int) -> list[ReceivedGroup]:
        """Groups without a seal that nothing has happened to since, the longest first."""
        return await self.db.read(lambda c: _unsealed(c, updated_before_ms, limit))

    async def touch(self, object_id: ObjectId, version: int, index: RedundancyIndex) -> None:
        """It was looked at: `unsealed` shows it last."""
        now = self.clock.now_ms()
        key = (object_id, version, index)
        await self.db.write(lambda c: _touch(c, key, now))

    async def forget(self, object_id: ObjectId, version: int, index: RedundancyIndex) -> None:
        """No row of it is left. Nothing when there was none."""
        await self.db.write(lambda c: _forget(c, (object_id, version, index)))

    async def list(self, limit: int, after: GroupKey | None = None) -> list[ReceivedGroup]:
        """One page in the order of their keys, behind `after`."""
        return await self.db.read(lambda c: _list(c, limit, after))

    async def count(self) -> int:
        """Groups in any state."""
        return await self.db.read(lambda c: c.execute(select(func.count()).select_from(received)).scalar_one())


_KEY: Final = (received.c.object_id, received.c.version, received.c.redundancy_index)
_PIECE_KEY: Final = (received_pieces.c.object_id, received_pieces.c.version, received_pieces.c.redundancy_index)


def _is(columns: Sequence[Column[Any]]) -> Any:
    """The group of `_binds`."""
    return and_(*(column == bindparam(f"b_{column.key}") for column in columns))


def _binds(key: GroupKey) -> dict[str, Any]:
    return {f"b_{name}": value for name, value in _key_values(key).items()}


def _key_values(key: GroupKey) -> dict[str, int]:
    return {"object_id": key[0], "version": key[1], "redundancy_index": int(key[2])}


_NOW: Final = bindparam("b_now", type_=BIG)
_OPEN: Final = for_dialects(lambda dialect: dialect.insert(received).on_conflict_do_nothing())
_LOCKED: Final = Prepared(select(received).where(_is(_KEY)).with_for_update(key_share=True))
_PIECES: Final = Prepared(select(received_pieces).where(_is(_PIECE_KEY)).order_by(received_pieces.c.segment))
_TOUCH: Final = Prepared(update(received).where(_is(_KEY)).values(updated_at_ms=_NOW))
_DELETE_PIECES: Final = Prepared(delete(received_pieces).where(_is(_PIECE_KEY)))
_SIGN: Final = Prepared(
    update(received)
    .where(_is(_KEY))
    .values(
        state=int(ReceivedState.SIGNED),
        integrity_hash=bindparam("b_integrity_hash"),
        piece_checksums=bindparam("b_piece_checksums"),
        updated_at_ms=_NOW,
    )
    .returning(received)
)
_MARK_SEALED: Final = Prepared(
    update(received)
    .where(_is(_KEY), received.c.state == int(ReceivedState.SIGNED))
    .values(state=int(ReceivedState.SEALED), updated_at_ms=_NOW)
)
_DELETE: Final = Prepared(delete(received).where(_is(_KEY)))


def _group_of(row: Row[Any]) -> ReceivedGroup:
    subject = ObjectRef(
        ObjectId(row.object_id), row.version, row.bucket, row.object_name, row.payload_size, params_of(row)
    )
    return ReceivedGroup(
        subject,
        RedundancyIndex(row.redundancy_index),
        Address(row.asker),
        ReceivedState(row.state),
        None if row.integrity_hash is None else Checksum(row.integrity_hash),
        split_checksums(row.piece_checksums),
        row.received_at_ms,
        row.updated_at_ms,
    )


def _locked(connection: Connection, key: GroupKey) -> ReceivedGroup:
    row = _LOCKED.first(connection, _binds(key))
    if row is None:
        raise InvalidRequest("no such replicate data group was opened")
    return _group_of(row)


def _open(
    connection: Connection, subject: ObjectRef, index: RedundancyIndex, asker: Address, now_ms: int
) -> tuple[ReceivedGroup, list[ReceivedPiece]]:
    names.check_names(subject.bucket, subject.object_name)
    if not (names.is_id(subject.object_id) and names.is_id(subject.version)):
        raise InvalidRequest("object id or version out of range")
    key = (subject.object_id, subject.version, index)
    fresh = {
        **_key_values(key),
        **params_values(subject.params),
        "bucket": subject.bucket,
        "object_name": subject.object_name,
        "payload_size": subject.payload_size,
        "asker": asker,
        "state": int(ReceivedState.RECEIVING),
        "integrity_hash": None,
        "piece_checksums": b"",
        "received_at_ms": now_ms,
        "updated_at_ms": now_ms,
    }
    _OPEN.run(connection, fresh)
    group = _locked(connection, key)
    if group.asker != asker:
        raise InvalidRequest("another provider has opened this replicate data group")
    if group.object != subject:
        raise InvalidRequest("this replicate data group was opened for another content")
    pieces = _PIECES.all(connection, _binds(key))
    return group, [ReceivedPiece(SegmentIndex(p.segment), Checksum(p.checksum), p.size) for p in pieces]


def _upsert(dialect: Any) -> Any:
    statement = dialect.insert(received_pieces)
    return statement.on_conflict_do_update(
        index_elements=[*_PIECE_KEY, received_pieces.c.segment],
        set_={"checksum": statement.excluded.checksum, "size": statement.excluded.size},
    )


_PUT_PIECES: Final = for_dialects(_upsert)


def _add_pieces(connection: Connection, key: GroupKey, pieces: Sequence[ReceivedPiece], now_ms: int) -> None:
    if _locked(connection, key).state is not ReceivedState.RECEIVING:
        raise InvalidRequest("this replicate data group is complete")
    if pieces:
        rows = [
            {**_key_values(key), "segment": int(p.segment), "checksum": bytes(p.checksum), "size": p.size}
            for p in pieces
        ]
        _PUT_PIECES.run_each(connection, rows)
    _touch(connection, key, now_ms)


def _touch(connection: Connection, key: GroupKey, now_ms: int) -> None:
    _TOUCH.run(connection, {**_binds(key), "b_now": now_ms})


def _sign(
    connection: Connection, key: GroupKey, integrity_hash: Checksum, piece_checksums: Sequence[Checksum], now_ms: int
) -> ReceivedGroup:
    group = _locked(connection, key)
    if group.state is not ReceivedState.RECEIVING:
        if group.integrity_hash != integrity_hash:
            raise InvalidRequest("this replicate data group was signed for another integrity hash")
        return group
    _DELETE_PIECES.run(connection, _binds(key))
    signed = {
        "b_integrity_hash": bytes(integrity_hash),
        "b_piece_checksums": join_checksums(piece_checksums),
        "b_now": now_ms,
    }
    (row,) = _SIGN.all(connection, _binds(key) | signed)
    return _group_of(row)


_GROUPS: Final = Prepared(
    select(received)
    .where(received.c.object_id == bindparam("b_object_id"), received.c.version == bindparam("b_version"))
    .order_by(*_KEY)
)
_GROUP: Final = Prepared(select(received).where(_is(_KEY)))


def _get(
    connection: Connection, object_id: ObjectId, version: int, index: RedundancyIndex | None
) -> list[ReceivedGroup]:
    if not (names.is_id(object_id) and names.is_id(version)):
        return []
    values = {"b_object_id": object_id, "b_version": version}
    if index is None:
        return [_group_of(row) for row in _GROUPS.all(connection, values)]
    return [_group_of(row) for row in _GROUP.all(connection, {**values, "b_redundancy_index": int(index)})]


def _mark_sealed(connection: Connection, key: GroupKey, now_ms: int) -> None:
    _MARK_SEALED.run(connection, {**_binds(key), "b_now": now_ms})


def _mark_all_sealed(connection: Connection, keys: Sequence[GroupKey], now_ms: int) -> None:
    rows = [{**_binds(key), "b_now": now_ms} for key in sorted(keys)]
    if rows:
        _MARK_SEALED.run_each(connection, rows)


_IN_ORDER: Final = select(received).order_by(*_KEY).limit(bindparam("b_limit"))
_BEHIND: Final = tuple_(*_KEY) > tuple_(*(bindparam(f"b_{column.key}", type_=column.type) for column in _KEY))
_FIRST_OF_OBJECTS: Final = _IN_ORDER.where(received.c.object_id.in_(bindparam("b_object_ids", expanding=True)))
_NEXT_OF_OBJECTS: Final = _FIRST_OF_OBJECTS.where(_BEHIND)


def _of_objects(connection: Connection, object_ids: Sequence[ObjectId], after: GroupKey | None) -> list[ReceivedGroup]:
    values = {"b_object_ids": [each for each in object_ids if names.is_id(each)], "b_limit": PAGE}
    if after is None:
        rows = connection.execute(_FIRST_OF_OBJECTS, values)
    else:
        rows = connection.execute(_NEXT_OF_OBJECTS, values | _binds(after))
    return [_group_of(row) for row in rows]


_UNSEALED: Final = Prepared(
    select(received)
    .where(received.c.state < literal_column("2"), received.c.updated_at_ms < bindparam("b_before"))
    .order_by(received.c.updated_at_ms)
    .limit(bindparam("b_limit"))
)


def _unsealed(connection: Connection, updated_before_ms: int, limit: int) -> list[ReceivedGroup]:
    rows = _UNSEALED.all(connection, {"b_before": updated_before_ms, "b_limit": limit})
    return [_group_of(row) for row in rows]


def _forget(connection: Connection, key: GroupKey) -> None:
    _DELETE_PIECES.run(connection, _binds(key))
    _DELETE.run(connection, _binds(key))


_FIRST: Final = Prepared(_IN_ORDER)
_NEXT: Final = Prepared(_IN_ORDER.where(_BEHIND))


def _list(connection: Connection, limit: int, after: GroupKey | None) -> list[ReceivedGroup]:
    if after is None:
        rows = _FIRST.all(connection, {"b_limit": limit})
    else:
        rows = _NEXT.all(connection, {**_binds(after), "b_limit": limit})
    return [_group_of(row) for row in rows]
