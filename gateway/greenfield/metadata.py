"""What Greenfield clients ask about buckets, objects and permissions."""

from __future__ import annotations

from dataclasses import dataclass

from downloader.client import Downloader
from gateway.access import Access
from gateway.auth.scheme import Identity
from gateway.errors import InvalidArgument
from gateway.greenfield.xml import ObjectFacts, facts_of_chain, facts_of_entry
from gateway.request import RequestHead, Target
from sp.domain.addresses import parse_address
from sp.domain.errors import InvalidRequest, NoSuchObject
from sp.domain.ids import Address
from sp.domain.jobs import ObjectEntry
from sp.domain.ledger import Action, Bucket, Effect


@dataclass(frozen=True, slots=True)
class PermissionQuestion:
    operator: Address
    bucket: str
    object_name: str | None
    action: Action


def permission_question(head: RequestHead, target: Target) -> PermissionQuestion:
    """Of /permission/{operator}/{bucket}/{action}[?object=]; the action by its number. InvalidArgument."""
    parts = (target.object_name or "").split("/")
    if len(parts) != 3:
        raise InvalidArgument("path", "it must be /permission/{operator}/{bucket}/{action-type}")
    try:
        operator = parse_address(parts[0])
        action = Action(int(parts[2]))
    except (InvalidRequest, ValueError) as error:
        raise InvalidArgument("path", "it names no address or no action") from error
    return PermissionQuestion(operator, parts[1], head.parameters().get("object") or None, action)


@dataclass(frozen=True, slots=True)
class GreenfieldMetadata:
    access: Access
    downloader: Downloader

    async def object(self, identity: Identity, bucket: str, object_name: str) -> ObjectFacts:
        """As the chain has it, else, of one that is not on chain yet, as we do. NoSuchObject, AccessDenied."""
        served = await self.access.served_bucket(bucket)
        entry = await self._entry(bucket, object_name)
        try:
            found = await self.access.view.chain.head_object(bucket, object_name)
        except NoSuchObject:
            if entry is None:
                raise
            await self.access.require_object(identity, served, object_name, Action.GET_OBJECT, entry)
            return facts_of_entry(entry, served)
        await self._require_knowledge(identity, served, object_name, entry)
        same = entry is not None and (entry.job.object_id, entry.job.version) == (found.id, found.version)
        return facts_of_chain(found, entry.job if entry is not None and same else None)

    async def bucket(self, bucket: str) -> Bucket:
        """On chain, so known to everybody. NoSuchBucket, NotForThisSp."""
        return await self.access.served_bucket(bucket)

    async def buckets_of(self, owner: Address) -> list[Bucket]:
        return await self.access.view.chain.list_buckets(owner)

    async def effect(self, question: PermissionQuestion) -> Effect:
        """The chain's answer. NoSuchBucket, NoSuchObject."""
        view = self.access.view
        allowed = await view.allowed(question.operator, question.bucket, question.object_name, question.action)
        return Effect.ALLOW if allowed else Effect.DENY

    async def _entry(self, bucket: str, object_name: str) -> ObjectEntry | None:
        try:
            return await self.downloader.head(bucket, object_name)
        except NoSuchObject:
            return None

    async def _require_knowledge(
        self, identity: Identity, bucket: Bucket, object_name: str, entry: ObjectEntry | None
    ) -> None:
        """Who may create objects in a bucket (and sends them) or read this one may know of it. What is on chain is no
        secret, but we need not be the ones who tell."""
        if not await self.access.view.allowed(identity.account, bucket.name, None, Action.CREATE_OBJECT):
            await self.access.require_object(identity, bucket, object_name, Action.GET_OBJECT, entry)
