"""What S3 does with buckets beyond making and listing them, over HTTP: many deletions, versions, ACLs, probes."""

from __future__ import annotations

from aiohttp import web

from gateway.acls import BUCKET_ACLS, MAX_XML_BYTES, Acls, acl_document, requested
from gateway.deletions import MAX_BYTES, Deletions, Wanted, requested_deletions, result
from gateway.errors import BadPreflight, CorsNotEnabled
from gateway.http_call import Call, Serve
from gateway.http_slow import answered
from gateway.routes import Operation
from gateway.subresources import EMPTY_CONFIGURATIONS
from gateway.versions import versions, versions_query
from sp.domain.errors import InvalidRequest
from sp.domain.jobs import Listing
from sp.domain.ledger import Action, Visibility
from sp.runtime.pool import CpuPool

_DIGESTS = "x-amz-checksum-", "content-md5", "x-amz-trailer"


class BucketDetails:
    """blank_interval_s: deletions that take longer send a blank so often"""

    def __init__(self, deletions: Deletions, acls: Acls, pool: CpuPool, blank_interval_s: float) -> None:
        self._deletions = deletions
        self._gateway = deletions.gateway
        self._acls = acls
        self._pool = pool
        self._blank_interval_s = blank_interval_s

    def table(self) -> dict[Operation, Serve]:
        return {
            Operation.DELETE_OBJECTS: self.delete_objects,
            Operation.LIST_VERSIONS: self.list_versions,
            Operation.BUCKET_ACL: self.acl,
            Operation.PUT_BUCKET_ACL: self.put_acl,
            Operation.EMPTY_CONFIGURATION: self.empty_configuration,
            Operation.DROP_CONFIGURATION: self.drop_configuration,
            Operation.PREFLIGHT: self.preflight,
        }

    async def delete_objects(self, call: Call) -> web.StreamResponse:
        head, identity, bucket = call.bucket_parts()
        await self._deletions.check(identity, bucket)
        if identity.body_check.sha256 is None and not any(name.startswith(_DIGESTS) for name in head.header_names()):
            raise InvalidRequest("Missing required header for this request: Content-MD5 OR x-amz-checksum-*")
        body = await call.body.small(head, identity.body_check, MAX_BYTES, self._pool)
        wanted, quiet = await self._pool.run(requested_deletions, body)
        return await answered(call, self._deleted(call, wanted, quiet), self._blank_interval_s)

    async def _deleted(self, call: Call, wanted: list[Wanted], quiet: bool) -> bytes:
        _, identity, bucket = call.bucket_parts()
        return result(await self._deletions.delete(identity, bucket, wanted, call.request_id), quiet=quiet)

    async def list_versions(self, call: Call) -> web.StreamResponse:
        head, identity, name = call.bucket_parts()
        query, version_marker = versions_query(head)
        bucket, page = await self._gateway.list_objects(
            identity, name, query.prefix, query.delimiter, query.after, max(1, query.max_keys)
        )
        return call.xml(versions(bucket, query, version_marker, page if query.max_keys else Listing((), (), None)))

    async def acl(self, call: Call) -> web.StreamResponse:
        _, identity, name = call.bucket_parts()
        bucket = await self._acls.of_bucket(identity, name)
        return call.xml(acl_document(bucket.owner, public=bucket.visibility is Visibility.PUBLIC_READ))

    async def put_acl(self, call: Call) -> web.StreamResponse:
        head, identity, name = call.bucket_parts()
        bucket = await self._acls.of_bucket(identity, name)
        body = await call.body.small(head, identity.body_check, MAX_XML_BYTES, self._pool)
        await self._acls.set_bucket(identity, name, requested(head, body, BUCKET_ACLS, bucket.owner))
        return call.respond(200)

    async def empty_configuration(self, call: Call) -> web.StreamResponse:
        """Versioning, logging and the like: not enabled."""
        head, identity, bucket = call.bucket_parts()
        await self._gateway.access.served_bucket(bucket)
        await self._gateway.access.require(identity, bucket, Action.LIST_OBJECT)
        name = next(name for name in head.parameters() if name in EMPTY_CONFIGURATIONS)
        return call.xml(EMPTY_CONFIGURATIONS[name])

    async def drop_configuration(self, call: Call) -> web.StreamResponse:
        """A bucket that exists has none, so that it is gone is true."""
        _, identity, bucket = call.bucket_parts()
        await self._gateway.access.served_bucket(bucket)
        await self._gateway.access.require(identity, bucket, Action.UPDATE_BUCKET_INFO)
        return call.respond(204)

    async def preflight(self, call: Call) -> web.StreamResponse:
        """No bucket has a CORS configuration, so no browser of another origin may use it."""
        assert call.head is not None
        for name in ("Origin", "Access-Control-Request-Method"):
            if not call.head.values(name.lower()):
                raise BadPreflight(name)
        raise CorsNotEnabled(call.target.bucket or "")
