"""Users who keep their own keys: they create buckets and objects on chain themselves."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from chain.client import Chain
from chain.tx import sign_tx
from sp.crypto.ec import best_kernel
from sp.crypto.private import PrivateKey
from sp.domain.ids import Address, Checksum, ObjectId
from sp.domain.integrity import ObjectHasher
from sp.domain.ledger import TxResult, Visibility
from sp.domain.messages import MsgCreateBucket, MsgCreateObject, TxMessage

SEGMENT = 64 * 1024
BLOCKS = 10


def pieces_and_checksums(body: bytes, segment_size: int = SEGMENT) -> tuple[list[list[bytes]], tuple[Checksum, ...]]:
    """The six pieces of every segment, and the object's seven checksums."""
    hasher = ObjectHasher(4, 2, best_kernel())
    segments = [body[at : at + segment_size] for at in range(0, len(body), segment_size)]
    return [[bytes(piece) for piece in hasher.add(segment)] for segment in segments], hasher.checksums()


def checksums_of(body: bytes, segment_size: int = SEGMENT) -> tuple[Checksum, ...]:
    return pieces_and_checksums(body, segment_size)[1]


@dataclass(frozen=True, slots=True)
class User:
    key: PrivateKey
    chain: Chain

    @classmethod
    def new(cls, chain: Chain) -> User:
        return cls(PrivateKey.generate(secrets.token_bytes), chain)

    @property
    def address(self) -> Address:
        return Address(self.key.address)

    async def execute(self, message: TxMessage) -> TxResult:
        """Sign, broadcast, and see it succeed in a block."""
        nonce = (await self.chain.account(self.address)).nonce
        raw, _ = sign_tx(message, self.key.sign, nonce, await self.chain.chain_id())
        height = (await self.chain.latest_block()).height
        result = await self.chain.wait_tx(await self.chain.broadcast(raw), height + BLOCKS)
        assert result.code == 0, result
        return result

    async def create_bucket(self, bucket: str, primary: Address) -> None:
        await self.execute(MsgCreateBucket(self.address, bucket, Visibility.PRIVATE, primary))

    async def create_object(
        self, bucket: str, name: str, body: bytes, checksums: tuple[Checksum, ...] | None = None
    ) -> ObjectId:
        """checksums: by default the body's"""
        result = await self.execute(
            MsgCreateObject(
                creator=self.address,
                bucket=bucket,
                object_name=name,
                payload_size=len(body),
                visibility=Visibility.INHERIT,
                content_type="text/plain",
                expect_checksums=checksums or checksums_of(body),
            )
        )
        assert result.object_id is not None
        return result.object_id
