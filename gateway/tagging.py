"""Read and change the tag set of an object that is there."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.auth.scheme import Identity
from gateway.service import Gateway
from sp.domain.errors import AccessDenied, NoSuchJob, NoSuchObject
from sp.domain.jobs import ObjectEntry
from sp.domain.ledger import Action


@dataclass(frozen=True, slots=True)
class Tagging:
    gateway: Gateway

    async def of(self, identity: Identity, bucket: str, object_name: str) -> dict[str, str]:
        """As in S3, whom everyone may read is not everyone's to look behind: AccessDenied without an account."""
        if identity.account is None:
            raise AccessDenied(identity.scheme, "GET_OBJECT_TAGGING", f"{bucket}/{object_name}")
        return (await self.gateway.head_object(identity, bucket, object_name)).tags

    async def check_may_change(self, identity: Identity, bucket: str, object_name: str) -> ObjectEntry:
        """NoSuchObject, AccessDenied."""
        served = await self.gateway.access.served_bucket(bucket)
        if identity.account is None:
            raise AccessDenied(identity.scheme, "PUT_OBJECT_TAGGING", f"{bucket}/{object_name}")
        entry = await self.gateway.downloader.head(bucket, object_name)
        await self.gateway.access.require_object(identity, served, object_name, Action.UPDATE_OBJECT_INFO, entry)
        return entry

    async def replace(self, identity: Identity, bucket: str, object_name: str, tags: dict[str, str]) -> None:
        """The whole set; an empty one removes it. NoSuchObject, AccessDenied."""
        entry = await self.check_may_change(identity, bucket, object_name)
        try:
            await self.gateway.tasknode.set_tags(entry.job.id, tags)
        except NoSuchJob as gone:  # collected between the two
            raise NoSuchObject(bucket, object_name) from gone
