"""Who may do what with which bucket: the chain's permissions, and whether this provider is the one to ask."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.auth.scheme import Identity
from gateway.chain_view import ChainView
from gateway.errors import BucketNotInService, SpNotInService
from sp.domain.errors import AccessDenied, NoSuchObject, NotForThisSp
from sp.domain.ids import Address
from sp.domain.jobs import ObjectEntry
from sp.domain.ledger import Action, Bucket, BucketStatus, Visibility


@dataclass(frozen=True, slots=True)
class Access:
    """operator: this provider's address."""

    view: ChainView
    operator: Address

    async def served_bucket(self, bucket: str) -> Bucket:
        """The bucket, if this provider is its primary. NoSuchBucket, NotForThisSp."""
        found = await self.view.head_bucket(bucket)
        if found.primary_sp != self.operator:
            providers = await self.view.chain.storage_providers()
            primary = providers.get(found.primary_sp)
            raise NotForThisSp(bucket, primary.endpoint if primary else "")
        return found

    async def writable_bucket(self, bucket: str) -> Bucket:
        """As served_bucket, and it takes new objects. BucketNotInService, SpNotInService."""
        found = await self.served_bucket(bucket)
        if found.status is not BucketStatus.CREATED:
            raise BucketNotInService(bucket, found.status.name)
        me = (await self.view.chain.storage_providers()).get(self.operator)
        if me is None or not me.in_service:
            raise SpNotInService(me.status.name if me else "not registered")
        return found

    async def check_owner(self, bucket: str, expected: str) -> None:
        """AccessDenied when the bucket's owner is another account (x-amz-expected-bucket-owner). NoSuchBucket."""
        owner = (await self.view.head_bucket(bucket)).owner
        if owner.lower() != expected.strip().lower():
            raise AccessDenied(expected[:64], "OWN", bucket)

    async def require(self, identity: Identity, bucket: str, action: Action) -> None:
        """The bucket-level permission, or AccessDenied."""
        if not await self.view.allowed(identity.account, bucket, None, action):
            raise _denied(identity, action, bucket)

    async def require_object(
        self, identity: Identity, bucket: Bucket, object_name: str, action: Action, entry: ObjectEntry | None
    ) -> None:
        """The permission on one object, or AccessDenied.

        entry: what this provider knows of it. A delegated object is here before it is on chain: until then its
        creator and the bucket's owner may do everything with it, others what the bucket lets them. Of new content for
        an object that is on chain, what its put said of reading it counts at once. The bucket's owner owns what is in
        it: for him the chain has one answer, and is not asked.
        """
        if identity.account == bucket.owner:
            return
        try:
            allowed = await self.view.allowed(identity.account, bucket.name, object_name, action)
            if action is Action.GET_OBJECT and entry is not None and entry.job.object_id is None:
                allowed = await self._readable_at_once(identity.account, bucket, entry, allowed=allowed)
        except NoSuchObject:
            allowed = await self._allowed_before_chain(identity.account, bucket, action, entry)
        if not allowed:
            raise _denied(identity, action, f"{bucket.name}/{object_name}")

    async def _readable_at_once(
        self, account: Address | None, bucket: Bucket, entry: ObjectEntry, *, allowed: bool
    ) -> bool:
        """allowed: what the chain says of the content before. NoSuchObject."""
        job = entry.job
        inherited = bucket.visibility if job.visibility is Visibility.INHERIT else job.visibility
        if inherited is Visibility.PUBLIC_READ:
            return True
        if inherited is Visibility.UNSPECIFIED or (account is not None and account == job.account):
            return allowed
        public_before = await self.view.allowed(None, bucket.name, job.object_name, Action.GET_OBJECT)
        return allowed and not public_before  # by a policy, then

    async def _allowed_before_chain(
        self, account: Address | None, bucket: Bucket, action: Action, entry: ObjectEntry | None
    ) -> bool:
        if account is not None and entry is not None and account == entry.job.account:
            return True
        if action is Action.GET_OBJECT and entry is not None:
            if entry.job.visibility is Visibility.PUBLIC_READ:
                return True
            if entry.job.visibility is not Visibility.INHERIT and bucket.visibility is Visibility.PUBLIC_READ:
                return False  # the bucket's answer would be about its public objects
        return await self.view.allowed(account, bucket.name, None, action)


def _denied(identity: Identity, action: Action, resource: str) -> AccessDenied:
    return AccessDenied(identity.account or identity.scheme, action.name, resource)
