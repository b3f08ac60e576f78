"""What an error is on the wire: S3's code and status, and Greenfield's (GREENFIELD.md 7.6). One table."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from gateway import errors as gw
from gateway import form_errors as form
from gateway.checksums import CONTENT_SHA256
from gateway.conditions import http_date
from gateway.greenfield import errors as gf
from sp.domain import errors as sp
from sp.domain.errors import Kind, SpError
from sp.domain.ledger import ObjectStatus


@dataclass(frozen=True, slots=True)
class Answer:
    """One error as a response. extra: elements of the S3 XML beside Code and Message; headers: of the response"""

    status: int
    code: str
    message: str
    extra: tuple[tuple[str, str], ...] = ()
    headers: dict[str, str] = field(default_factory=dict)


S3: Final[dict[type[SpError], tuple[str, int]]] = {
    sp.InvalidRequest: ("InvalidRequest", 400),
    sp.SignatureMismatch: ("SignatureDoesNotMatch", 403),
    sp.AccessDenied: ("AccessDenied", 403),
    sp.KeyNotAllowed: ("AccessDenied", 403),
    sp.NotForThisSp: ("TemporaryRedirect", 307),
    sp.Overloaded: ("SlowDown", 503),
    sp.StoreFull: ("SlowDown", 503),
    sp.DeadlineExceeded: ("ServiceUnavailable", 503),
    sp.ServiceUnavailable: ("ServiceUnavailable", 503),
    sp.TxNotSeen: ("ServiceUnavailable", 503),
    sp.InternalError: ("InternalError", 500),
    sp.NoSuchBucket: ("NoSuchBucket", 404),
    sp.NoSuchObject: ("NoSuchKey", 404),
    sp.NoSuchObjectId: ("NoSuchKey", 404),
    sp.NoSuchJob: ("NoSuchUpload", 404),
    sp.NoSuchUpload: ("NoSuchUpload", 404),
    sp.UploadCompleting: ("OperationAborted", 409),
    sp.UploadMoved: ("ServiceUnavailable", 503),
    sp.JobMoved: ("ServiceUnavailable", 503),  # this process was so slow that its upload was taken for dead
    sp.InvalidPart: ("InvalidPart", 400),
    sp.InvalidPartOrder: ("InvalidPartOrder", 400),
    sp.PartTooSmall: ("EntityTooSmall", 400),
    sp.NoSuchAccount: ("InvalidAccessKeyId", 403),
    sp.BucketExists: ("BucketAlreadyExists", 409),
    sp.BucketNotEmpty: ("BucketNotEmpty", 409),
    sp.ObjectExists: ("OperationAborted", 409),
    sp.ObjectNotCreated: ("InvalidObjectState", 403),
    sp.UploadInProgress: ("OperationAborted", 409),
    sp.ObjectTooLarge: ("EntityTooLarge", 400),
    sp.PayloadSizeMismatch: ("IncompleteBody", 400),
    sp.PayloadDigestMismatch: ("BadDigest", 400),
    sp.IntegrityMismatch: ("BadDigest", 400),
    sp.InvalidRange: ("InvalidRange", 416),
    sp.TooFewPieces: ("ServiceUnavailable", 503),
    sp.TxRefused: ("InvalidRequest", 400),
    gw.NotSupported: ("NotImplemented", 501),
    gw.MethodNotAllowed: ("MethodNotAllowed", 405),
    gw.InvalidArgument: ("InvalidArgument", 400),
    gw.InvalidUri: ("InvalidURI", 400),
    gw.InvalidBucketName: ("InvalidBucketName", 400),
    gw.InvalidObjectName: ("InvalidArgument", 400),
    gw.NameTooLong: ("KeyTooLongError", 400),
    sp.PreconditionFailed: ("PreconditionFailed", 412),
    sp.ConditionalRequestConflict: ("ConditionalRequestConflict", 409),
    gw.NotModified: ("NotModified", 304),
    gw.NoSuchVersion: ("NoSuchVersion", 404),
    gw.CorsNotEnabled: ("AccessForbidden", 403),
    gw.BadPreflight: ("BadRequest", 400),
    gw.InvalidTag: ("InvalidTag", 400),
    gw.BucketIsYours: ("BucketAlreadyOwnedByYou", 409),
    form.MalformedForm: ("MalformedPOSTRequest", 400),
    form.FormTooLarge: ("MaxPostPreDataLengthExceeded", 400),
    form.InvalidPolicy: ("InvalidPolicyDocument", 400),
    form.PolicyNotMet: ("AccessDenied", 403),
    form.FileTooSmall: ("EntityTooSmall", 400),
    gw.InvalidStorageClass: ("InvalidStorageClass", 400),
    gw.InvalidPartNumber: ("InvalidPartNumber", 416),
    gw.UnknownEmail: ("UnresolvableGrantByEmailAddress", 400),
    gw.MalformedAcl: ("MalformedACLError", 400),
    gw.InvalidLocationConstraint: ("IllegalLocationConstraintException", 400),
    gw.HeadersTooLarge: ("RequestHeaderSectionTooLarge", 400),
    gw.UnsupportedScheme: ("InvalidRequest", 400),
    gw.MalformedAuthorization: ("AuthorizationHeaderMalformed", 400),
    gw.NoValidDate: ("AccessDenied", 403),
    gw.MalformedPresignedQuery: ("AuthorizationQueryParametersError", 400),
    gw.ExpiryOutOfRange: ("AuthorizationQueryParametersError", 403),
    gw.PresignedUrlExpired: ("AccessDenied", 403),
    gw.PresignedUrlNotYetValid: ("AccessDenied", 403),
    gw.NoSecurityTokens: ("InvalidToken", 400),
    gw.WrongRegion: ("AuthorizationHeaderMalformed", 400),
    gw.InvalidAccessKeyId: ("InvalidAccessKeyId", 403),
    gw.RequestTimeTooSkewed: ("RequestTimeTooSkewed", 403),
    gw.ExpiryRefused: ("ExpiredToken", 400),
    gw.OnChainOnly: ("InvalidRequest", 400),
    gw.MissingContentLength: ("MissingContentLength", 411),
    gw.InvalidDigest: ("InvalidDigest", 400),
    gw.MalformedFraming: ("InvalidRequest", 400),
    gw.MalformedTrailer: ("MalformedTrailerError", 400),
    gw.BodyCutShort: ("IncompleteBody", 400),
    gw.EmptyPayload: ("InvalidRequest", 400),
    gw.BodyTooLarge: ("MaxMessageLengthExceeded", 400),
    gw.MalformedXml: ("MalformedXML", 400),
    gw.MetadataTooLarge: ("MetadataTooLarge", 400),
    gw.BodyTooSlow: ("RequestTimeout", 400),
    gw.ClientGone: ("IncompleteBody", 400),
    gw.BucketNotInService: ("InvalidBucketState", 409),
    gw.SpNotInService: ("ServiceUnavailable", 503),
    sp.OffsetRefused: ("InvalidArgument", 400),
    sp.PartNotAligned: ("InvalidArgument", 400),
    gf.NotYetOnChain: ("NoSuchKey", 404),
    gf.NoUploadingRecord: ("NoSuchUpload", 404),
    gf.InvalidComplete: ("InvalidArgument", 400),
    gf.InvalidOffset: ("InvalidArgument", 400),
    gf.ForbiddenLink: ("AccessDenied", 403),
    gf.LinkExpiryRefused: ("ExpiredToken", 400),
    gf.UndecodableMessage: ("InvalidRequest", 400),
    gf.InvalidMessage: ("InvalidRequest", 400),
    gf.RegistrationRefused: ("InvalidRequest", 400),
}

GREENFIELD: Final[dict[type[SpError], tuple[int, int]]] = {
    sp.InvalidRequest: (50009, 400),
    sp.SignatureMismatch: (50015, 406),
    sp.AccessDenied: (50004, 401),
    sp.KeyNotAllowed: (50004, 401),
    sp.NotForThisSp: (50014, 406),
    sp.Overloaded: (960001, 429),
    sp.StoreFull: (960001, 429),
    sp.InternalError: (999999, 500),
    sp.NoSuchBucket: (20007, 404),
    sp.NoSuchObject: (50025, 404),
    sp.NoSuchObjectId: (50025, 404),
    sp.NoSuchJob: (90003, 404),
    sp.ObjectNotCreated: (110002, 403),
    sp.UploadInProgress: (110003, 406),
    sp.ObjectTooLarge: (50016, 403),
    sp.PayloadSizeMismatch: (110008, 400),
    sp.PayloadDigestMismatch: (110004, 406),
    sp.IntegrityMismatch: (110004, 406),
    sp.InvalidRange: (50012, 400),
    gw.NotSupported: (50008, 400),
    gw.MethodNotAllowed: (50008, 400),
    gw.InvalidArgument: (50010, 400),
    gw.InvalidUri: (50010, 400),
    gw.InvalidBucketName: (50010, 400),
    gw.InvalidObjectName: (50044, 400),
    gw.NameTooLong: (50044, 400),
    sp.PreconditionFailed: (50009, 412),
    sp.ConditionalRequestConflict: (50009, 409),
    gw.NotModified: (50009, 304),
    gw.UnsupportedScheme: (50001, 400),
    gw.MalformedAuthorization: (50002, 400),
    gw.ExpiryRefused: (50023, 400),
    gw.OnChainOnly: (50008, 400),
    gw.MissingContentLength: (50009, 411),
    gw.InvalidDigest: (50009, 400),
    gw.MalformedFraming: (50009, 400),
    gw.MalformedTrailer: (50009, 400),
    gw.BodyCutShort: (110005, 400),
    gw.EmptyPayload: (50016, 403),
    gw.MetadataTooLarge: (50009, 400),
    gw.BodyTooSlow: (50013, 400),
    gw.ClientGone: (110005, 400),
    gw.BucketNotInService: (50036, 403),
    gw.SpNotInService: (50029, 403),
    sp.OffsetRefused: (50028, 400),
    sp.PartNotAligned: (110008, 400),
    sp.BucketExists: (20009, 400),
    sp.ObjectExists: (20010, 400),
    sp.PieceNotFound: (50025, 404),
    gf.NotYetOnChain: (50042, 400),
    gf.NoUploadingRecord: (90003, 404),
    gf.InvalidComplete: (50027, 400),
    gf.InvalidOffset: (50028, 400),
    gf.ForbiddenLink: (50026, 403),
    gf.LinkExpiryRefused: (50024, 400),
    gf.UndecodableMessage: (50005, 400),
    gf.InvalidMessage: (50006, 400),
    gf.RegistrationRefused: (50009, 400),
}

_S3_OF_KIND: Final = {
    Kind.INVALID: ("InvalidRequest", 400),
    Kind.DENIED: ("AccessDenied", 403),
    Kind.NOT_FOUND: ("NoSuchKey", 404),
    Kind.CONFLICT: ("OperationAborted", 409),
    Kind.BUSY: ("SlowDown", 503),
    Kind.UNAVAILABLE: ("ServiceUnavailable", 503),
    Kind.CORRUPT: ("InternalError", 500),
}
_STATUS_OF_KIND: Final = {kind: status for kind, (_, status) in _S3_OF_KIND.items()}

_LAST_S: Final = int(datetime(9999, 12, 31, tzinfo=UTC).timestamp())
_ALREADY_UPLOADED: Final = (110006, 409)
_BODY_TOO_SHORT: Final = (110005, 400)
_UNREGISTERED: Final = 999999
"""Greenfield's code of an error that has none."""


def s3_answer(error: SpError) -> Answer:
    code, status = S3.get(type(error)) or _S3_OF_KIND[error.kind]
    if isinstance(error, gw.NoSuchConfiguration):
        code = error.code
    if isinstance(error, sp.PayloadDigestMismatch) and error.algorithm == CONTENT_SHA256:
        code = "XAmzContentSHA256Mismatch"
    return Answer(status, code, str(error), tuple(_details(error)), _headers(error))


def greenfield_answer(error: SpError) -> Answer:
    code, status = GREENFIELD.get(type(error)) or (_UNREGISTERED, _STATUS_OF_KIND[error.kind])
    if isinstance(error, sp.ObjectNotCreated) and error.status not in ObjectStatus.__members__:
        code, status = _ALREADY_UPLOADED  # by the chain it waits for its payload, but we have that
    if isinstance(error, sp.PayloadSizeMismatch) and error.received < error.declared:
        code, status = _BODY_TOO_SHORT
    return Answer(status, str(code), str(error), (), _headers(error))


def _details(error: SpError) -> list[tuple[str, str]]:
    """The elements that S3 clients look for in the XML of certain errors."""
    match error:
        case (
            sp.NoSuchBucket()
            | sp.BucketNotEmpty()
            | gw.BucketIsYours()
            | gw.InvalidBucketName()
            | gw.NoSuchConfiguration()
        ):
            return [("BucketName", error.bucket)]
        case sp.NoSuchObject():
            return [("Key", error.object_name)]
        case gw.NoSuchVersion():
            return [("Key", error.object_name), ("VersionId", error.version_id)]
        case sp.NotForThisSp():
            return [("Bucket", error.bucket), ("Endpoint", error.primary_endpoint)]
        case gw.InvalidAccessKeyId():
            return [("AWSAccessKeyId", error.access_key_id)]
        case gw.WrongRegion():
            return [("Region", error.expected)]  # by which SDKs sign again
        case gw.PresignedUrlExpired():
            return [("Expires", _iso(error.expired_at_s)), ("ServerTime", _iso(error.server_time_s))]
        case gw.RequestTimeTooSkewed():
            return [("MaxAllowedSkewMilliseconds", str(error.max_skew_s * 1000))]
        case gw.InvalidArgument():
            return [("ArgumentName", error.argument)]
        case sp.PreconditionFailed() | sp.ConditionalRequestConflict():
            return [("Condition", error.condition)]
        case sp.NoSuchUpload():
            return [("UploadId", error.upload_id)]
        case sp.InvalidPart() | sp.InvalidPartOrder():
            return [("PartNumber", str(error.part_number))]
        case sp.PartTooSmall():
            return [
                ("ProposedSize", str(error.size_bytes)),
                ("MinSizeAllowed", str(error.min_bytes)),
                ("PartNumber", str(error.part_number)),
                ("ETag", error.etag),
            ]
        case sp.InvalidRange():
            return [("ActualObjectSize", str(error.payload_size))]
        case form.FileTooSmall():
            return [("ProposedSize", str(error.size_bytes)), ("MinSizeAllowed", str(error.min_bytes))]
        case gw.InvalidPartNumber():
            return [("PartNumberRequested", str(error.part_number)), ("ActualPartCount", str(error.parts_count))]
    return []


def _iso(at_s: int) -> str:
    """A time that the client made up may lie outside of what a date can be."""
    return datetime.fromtimestamp(min(max(at_s, 0), _LAST_S), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _headers(error: SpError) -> dict[str, str]:
    match error:
        case gw.MethodNotAllowed():
            return {"Allow": error.allowed}
        case gw.WrongRegion():
            return {"x-amz-bucket-region": error.expected}
        case sp.InvalidRange():
            return {"Content-Range": f"bytes */{error.payload_size}"}
        case gw.NotModified():
            return {"ETag": f'"{error.etag}"', "Last-Modified": http_date(error.updated_at_ms)}
    return {"Retry-After": "1"} if error.kind in (Kind.BUSY, Kind.UNAVAILABLE) else {}
