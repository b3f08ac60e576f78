"""DeleteObjects: many names in one request, each with an answer of its own (the document is pure, the work is not)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from gateway import xml_in
from gateway.auth.scheme import Identity
from gateway.errors import MalformedXml, NoSuchVersion, NotSupported
from gateway.errors_http import s3_answer
from gateway.request import object_name_of
from gateway.s3_xml import document, element
from gateway.service import Gateway
from sp.domain.errors import AccessDenied, InternalError, SpError
from sp.domain.jobs import Precondition
from sp.domain.ledger import Action
from sp.runtime.log import get_logger

log = get_logger(__name__)

MAX_KEYS: Final = 1000
MAX_BYTES: Final = 4 << 20
"""Of the document: a thousand names of 1024 bytes, of which some characters are written as entities."""

NULL_VERSION: Final = "null"


@dataclass(frozen=True, slots=True)
class Wanted:
    """One object to be deleted. version_id: "" for whatever is there; etag: "" for any"""

    key: str
    version_id: str = ""
    etag: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """error: None when the name means nothing any more"""

    wanted: Wanted
    error: SpError | None


def requested_deletions(body: bytes) -> tuple[list[Wanted], bool]:
    """The objects of a Delete document, and whether only failures are to be told. MalformedXml, NotSupported."""
    root = xml_in.parsed(body, "Delete")
    wanted = [_wanted(each) for each in xml_in.children(root, "Object")]
    if not 1 <= len(wanted) <= MAX_KEYS:
        raise MalformedXml(f"1 to {MAX_KEYS} objects, not {len(wanted)}")
    return wanted, xml_in.text(root, "Quiet", "false").strip().lower() == "true"


def _wanted(of: xml_in.Element) -> Wanted:
    for condition in ("LastModifiedTime", "Size"):
        if next(xml_in.children(of, condition), None) is not None:
            raise NotSupported(f"the condition {condition} in DeleteObjects")
    return Wanted(
        xml_in.text(of, "Key"), xml_in.text(of, "VersionId", ""), xml_in.text(of, "ETag", "").strip().strip('"')
    )


def result(outcomes: Iterable[Outcome], *, quiet: bool) -> bytes:
    """A DeleteResult."""
    rows = []
    for outcome in outcomes:
        version = element("VersionId", outcome.wanted.version_id) if outcome.wanted.version_id else ""
        key = element("Key", outcome.wanted.key) + version
        if outcome.error is not None:
            answer = s3_answer(outcome.error)
            rows.append(f"<Error>{key}{element('Code', answer.code)}{element('Message', answer.message)}</Error>")
        elif not quiet:
            rows.append(f"<Deleted>{key}</Deleted>")
    return document("DeleteResult", *rows)


@dataclass(frozen=True, slots=True)
class Deletions:
    """at_once: deletions of one request under way at a time"""

    gateway: Gateway
    at_once: int = 16

    async def check(self, identity: Identity, bucket: str) -> None:
        """What is wrong with the whole bucket or sender, before the document is read. NoSuchBucket, NotForThisSp,
        AccessDenied."""
        await self.gateway.access.served_bucket(bucket)
        if identity.account is None:
            raise AccessDenied(identity.scheme, Action.DELETE_OBJECT.name, bucket)

    async def delete(self, identity: Identity, bucket: str, wanted: list[Wanted], request_id: str) -> list[Outcome]:
        """An outcome for each, in their order."""
        slots = asyncio.Semaphore(self.at_once)

        async def one(each: Wanted) -> Outcome:
            async with slots:
                return Outcome(each, await self._delete(identity, bucket, each, request_id))

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(each), name="delete one of many") for each in wanted]
        return [task.result() for task in tasks]

    async def _delete(self, identity: Identity, bucket: str, wanted: Wanted, request_id: str) -> SpError | None:
        precondition = Precondition(etag=wanted.etag) if wanted.etag else None
        try:
            name = object_name_of(wanted.key.encode())
            if wanted.version_id not in ("", NULL_VERSION):
                raise NoSuchVersion(bucket, name, wanted.version_id[:64])
            await self.gateway.delete_object(identity, bucket, name, request_id, precondition)
        except SpError as error:
            return error
        except Exception:
            log.exception("one deletion of many failed", bucket=bucket)
            return InternalError(request_id)
        return None
