"""What a client of the gateway can do wrong, beyond the errors that all services share.

They are SpErrors, so they cross gRPC like the others; gateway/errors_http.py says what each is on the wire.
"""

from __future__ import annotations

from dataclasses import dataclass

from sp.domain.errors import Kind, SpError


@dataclass(eq=False)
class NotSupported(SpError):
    """This provider does not offer what the request asks for."""

    kind = Kind.INVALID
    feature: str


@dataclass(eq=False)
class MethodNotAllowed(SpError):
    """The method is not allowed against this resource."""

    kind = Kind.INVALID
    method: str
    allowed: str


@dataclass(eq=False)
class InvalidArgument(SpError):
    """A header or query parameter has a value that it cannot have."""

    kind = Kind.INVALID
    argument: str
    reason: str


@dataclass(eq=False)
class InvalidUri(SpError):
    """The request target cannot be parsed."""

    kind = Kind.INVALID
    reason: str


@dataclass(eq=False)
class InvalidBucketName(SpError):
    """The bucket name is not valid."""

    kind = Kind.INVALID
    bucket: str
    reason: str


@dataclass(eq=False)
class InvalidObjectName(SpError):
    """The object name is not valid."""

    kind = Kind.INVALID
    reason: str


@dataclass(eq=False)
class NameTooLong(SpError):
    """The object name is too long."""

    kind = Kind.INVALID
    size_bytes: int
    max_bytes: int


@dataclass(eq=False)
class NoSuchConfiguration(SpError):
    """The bucket has no configuration of this kind. `code`: S3's name of the error."""

    kind = Kind.NOT_FOUND
    code: str
    bucket: str


@dataclass(eq=False)
class NoSuchVersion(SpError):
    """The object has no such version: objects are not versioned here, each has the version "null"."""

    kind = Kind.NOT_FOUND
    bucket: str
    object_name: str
    version_id: str


@dataclass(eq=False)
class CorsNotEnabled(SpError):
    """CORSResponse: CORS is not enabled for this bucket."""

    kind = Kind.DENIED
    bucket: str


@dataclass(eq=False)
class BadPreflight(SpError):
    """Insufficient information: a preflight request has Origin and Access-Control-Request-Method."""

    kind = Kind.INVALID
    missing: str


@dataclass(eq=False)
class InvalidTag(SpError):
    """The tag set is not one that an object can have."""

    kind = Kind.INVALID
    reason: str


@dataclass(eq=False)
class BucketIsYours(SpError):
    """The bucket that you tried to create already exists, and you own it; its ACL is another one, and stays."""

    kind = Kind.CONFLICT
    bucket: str


@dataclass(eq=False)
class InvalidPartNumber(SpError):
    """The requested partnumber is not satisfiable."""

    kind = Kind.INVALID
    part_number: int
    parts_count: int


@dataclass(eq=False)
class InvalidStorageClass(SpError):
    """The storage class you specified is not valid."""

    kind = Kind.INVALID
    storage_class: str


@dataclass(eq=False)
class UnknownEmail(SpError):
    """No account is known by this email address, or any other: accounts are addresses of the chain."""

    kind = Kind.INVALID
    email: str


@dataclass(eq=False)
class MalformedAcl(SpError):
    """The ACL is not well-formed, or names nobody who could be granted anything."""

    kind = Kind.INVALID
    reason: str


@dataclass(eq=False)
class InvalidLocationConstraint(SpError):
    """The location constraint is not this provider's region."""

    kind = Kind.INVALID
    location: str
    region: str


@dataclass(eq=False)
class HeadersTooLarge(SpError):
    """The headers of the request together are too large."""

    kind = Kind.INVALID
    size_bytes: int
    max_bytes: int


@dataclass(eq=False)
class NotModified(SpError):
    """The object is as the client has it already."""

    kind = Kind.CONFLICT
    etag: str
    updated_at_ms: int


# --- who asks -----------------------------------------------------------------------------------------------------


@dataclass(eq=False)
class UnsupportedScheme(SpError):
    """The request is signed in a way that this gateway does not know."""

    kind = Kind.INVALID
    scheme: str


@dataclass(eq=False)
class MalformedAuthorization(SpError):
    """The Authorization header cannot be parsed, or is scoped to another day or service."""

    kind = Kind.INVALID
    reason: str


@dataclass(eq=False)
class NoValidDate(SpError):
    """Authentication requires a valid Date or x-amz-date header."""

    kind = Kind.DENIED


@dataclass(eq=False)
class MalformedPresignedQuery(SpError):
    """The signature in the query is incomplete, cannot be parsed, or is scoped to another day or service."""

    kind = Kind.INVALID
    reason: str


@dataclass(eq=False)
class ExpiryOutOfRange(SpError):
    """X-Amz-Expires must not be negative, and at most a week (in seconds)."""

    kind = Kind.DENIED
    expires_s: int
    max_expires_s: int


@dataclass(eq=False)
class PresignedUrlExpired(SpError):
    """The request has expired."""

    kind = Kind.DENIED
    expired_at_s: int
    server_time_s: int


@dataclass(eq=False)
class PresignedUrlNotYetValid(SpError):
    """The request is not valid yet."""

    kind = Kind.DENIED
    signed_at_s: int
    server_time_s: int


@dataclass(eq=False)
class NoSecurityTokens(SpError):
    """There are no temporary credentials here, so no security token is valid."""

    kind = Kind.INVALID


@dataclass(eq=False)
class WrongRegion(SpError):
    """The credential is for another region than this provider's."""

    kind = Kind.INVALID
    region: str
    expected: str


@dataclass(eq=False)
class InvalidAccessKeyId(SpError):
    """The access key id does not exist here."""

    kind = Kind.DENIED
    access_key_id: str


@dataclass(eq=False)
class RequestTimeTooSkewed(SpError):
    """The request was signed at a time too far from this server's clock."""

    kind = Kind.DENIED
    request_time_s: int
    server_time_s: int
    max_skew_s: int


@dataclass(eq=False)
class ExpiryRefused(SpError):
    """The expiry timestamp is missing, malformed, past, or too far ahead."""

    kind = Kind.DENIED
    reason: str


@dataclass(eq=False)
class OnChainOnly(SpError):
    """The account keeps its own key: it signs and broadcasts this transaction to the chain itself."""

    kind = Kind.INVALID
    message: str


# --- bodies -------------------------------------------------------------------------------------------------------


@dataclass(eq=False)
class MissingContentLength(SpError):
    """The request must say how long its body is."""

    kind = Kind.INVALID


@dataclass(eq=False)
class InvalidDigest(SpError):
    """A digest header is malformed."""

    kind = Kind.INVALID
    header: str


@dataclass(eq=False)
class MalformedFraming(SpError):
    """The framing of the body is broken."""

    kind = Kind.INVALID
    reason: str


@dataclass(eq=False)
class MalformedTrailer(SpError):
    """The trailer of the body is not well-formed, or not what x-amz-trailer announces."""

    kind = Kind.INVALID
    reason: str


@dataclass(eq=False)
class BodyCutShort(SpError):
    """The body ended before its last chunk or trailer."""

    kind = Kind.INVALID
    received_bytes: int
    expected_bytes: int


@dataclass(eq=False)
class EmptyPayload(SpError):
    """An object of 0 bytes has no payload to put: the chain seals it at once."""

    kind = Kind.INVALID
    bucket: str
    object_name: str


@dataclass(eq=False)
class BodyTooLarge(SpError):
    """The body of this kind of request is limited."""

    kind = Kind.INVALID
    max_bytes: int


@dataclass(eq=False)
class MalformedXml(SpError):
    """The XML of the request body is not well-formed, or not what the operation expects."""

    kind = Kind.INVALID
    reason: str


@dataclass(eq=False)
class MetadataTooLarge(SpError):
    """The x-amz-meta-* headers together are too large."""

    kind = Kind.INVALID
    size_bytes: int
    max_bytes: int


@dataclass(eq=False)
class BodyTooSlow(SpError):
    """The client sent too little of the body within the time allowed."""

    kind = Kind.INVALID
    received_bytes: int
    progress_s: int


@dataclass(eq=False)
class ClientGone(SpError):
    """The client closed the connection before its request was complete."""

    kind = Kind.INVALID
    reason: str


# --- not in service -----------------------------------------------------------------------------------------------


@dataclass(eq=False)
class BucketNotInService(SpError):
    """The bucket is discontinued or moving to another provider."""

    kind = Kind.CONFLICT
    bucket: str
    status: str


@dataclass(eq=False)
class SpNotInService(SpError):
    """This provider takes no new objects at present."""

    kind = Kind.UNAVAILABLE
    status: str
