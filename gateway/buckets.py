"""Buckets: they live on chain, so making and removing one is a transaction that is waited for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from downloader.client import Downloader
from gateway.access import Access
from gateway.auth.scheme import Identity
from gateway.errors import OnChainOnly
from gateway.request import check_bucket_name
from signer.client import Signer
from sp.domain.errors import AccessDenied, BucketExists, BucketNotEmpty, NoSuchBucket, NotForThisSp, TxRefused
from sp.domain.ids import Address
from sp.domain.ledger import Action, Bucket, Visibility
from sp.domain.messages import MsgCreateBucket, MsgDeleteBucket, TxMessage

_STORAGE: Final = "storage"
_BUCKET_EXISTS: Final = 1104
_BUCKET_NOT_EMPTY: Final = 1109


@dataclass(frozen=True, slots=True)
class Buckets:
    """wait_blocks: how many blocks a transaction may take; ServiceUnavailable (TxNotSeen) after that.
    empties_s: how long a bucket may take, at least, to lose on chain the objects that were deleted here"""

    access: Access
    downloader: Downloader
    signer: Signer
    wait_blocks: int = 10
    empties_s: int = 20

    async def create(self, identity: Identity, bucket: str, visibility: Visibility) -> Bucket:
        """The new bucket, or the one that this account has already here. BucketExists, InvalidBucketName."""
        check_bucket_name(bucket)
        account = self._custodial(identity, "CREATE_BUCKET", bucket, "create the bucket with MsgCreateBucket")
        try:
            return await self._own(account, bucket)
        except NoSuchBucket:
            pass  # so it is to be made
        message = MsgCreateBucket(account, bucket, visibility, self.access.operator)
        try:
            await self.execute(message)
        except TxRefused as refused:
            if (refused.codespace, refused.code) != (_STORAGE, _BUCKET_EXISTS):
                raise
        return await self._own(account, bucket)

    async def head(self, identity: Identity, bucket: str) -> Bucket:
        """NoSuchBucket, NotForThisSp, AccessDenied."""
        served = await self.access.served_bucket(bucket)
        await self.access.require(identity, bucket, Action.LIST_OBJECT)
        return served

    async def delete(self, identity: Identity, bucket: str) -> None:
        """BucketNotEmpty while it holds an object, here or (until its deletion is in a block) on chain."""
        await self.access.served_bucket(bucket)
        account = self._custodial(identity, "DELETE_BUCKET", bucket, "delete the bucket with MsgDeleteBucket")
        await self.access.require(identity, bucket, Action.DELETE_BUCKET)
        if (await self.downloader.list(bucket, "", "", "", 1)).entries:
            raise BucketNotEmpty(bucket)
        await self._delete_when_empty(account, bucket)

    async def list(self, identity: Identity) -> list[Bucket]:
        """The account's buckets, on whichever provider, in name order."""
        if identity.account is None:
            raise AccessDenied(identity.scheme, "LIST_BUCKETS", "")
        return await self.access.view.chain.list_buckets(identity.account)

    async def status(self) -> dict[str, str | int]:
        """What anyone may know of this provider."""
        view = self.access.view
        block = await view.latest_block()
        me = (await view.chain.storage_providers()).get(self.access.operator)
        return {
            "operator": self.access.operator,
            "moniker": me.moniker if me else "",
            "status": me.status.name if me else "NOT_REGISTERED",
            "chain_height": block.height,
            "chain_time_s": block.time_s,
        }

    async def _own(self, account: Address, bucket: str) -> Bucket:
        found = await self.access.view.head_bucket(bucket)
        if found.owner != account:
            raise BucketExists(bucket, found.owner)
        try:
            return await self.access.served_bucket(bucket)
        except NotForThisSp as elsewhere:
            raise BucketExists(bucket, found.owner) from elsewhere

    async def _delete_when_empty(self, account: Address, bucket: str) -> None:
        """Objects that were deleted here a moment ago are still on chain: give their transactions some blocks, and
        the task node that sends them some time, however fast the blocks come (by the chain's clock)."""
        chain = self.access.view.chain
        first = await chain.latest_block()
        while True:
            try:
                await self.execute(MsgDeleteBucket(account, bucket))
            except TxRefused as refused:
                if (refused.codespace, refused.code) != (_STORAGE, _BUCKET_NOT_EMPTY):
                    raise
                last = await chain.latest_block()
                if last.height >= first.height + self.wait_blocks and last.time_s >= first.time_s + self.empties_s:
                    raise BucketNotEmpty(bucket) from refused
                await chain.next_block(last.height)
            else:
                return

    async def execute(self, message: TxMessage) -> None:
        """Submit and wait for the block. TxRefused also when the block says so."""
        chain = self.access.view.chain
        until_height = (await chain.latest_block()).height + self.wait_blocks
        tx_hash = await self.signer.submit(message)
        result = await chain.wait_tx(tx_hash, until_height)
        self.access.view.forget()
        if result.code:
            raise TxRefused(result.codespace, result.code, result.log)

    def _custodial(self, identity: Identity, action: str, bucket: str, instead: str) -> Address:
        if identity.account is None:
            raise AccessDenied(identity.scheme, action, bucket)
        if not identity.custodial:
            raise OnChainOnly(f"{instead}, signed by the account")
        return identity.account
