"""What only a client of Greenfield's own API can do wrong. gateway/errors_http.py says what each is on the wire."""

from __future__ import annotations

from dataclasses import dataclass

from sp.domain.errors import Kind, SpError


@dataclass(eq=False)
class NoUploadingRecord(SpError):
    """no uploading record"""  # go-sdk looks for these words, and begins at 0

    kind = Kind.NOT_FOUND
    bucket: str
    object_name: str


@dataclass(eq=False)
class NotYetOnChain(SpError):
    """object has not been created state"""  # go-sdk looks for "object has not been created", waits and asks again

    kind = Kind.NOT_FOUND
    bucket: str
    object_name: str


@dataclass(eq=False)
class InvalidComplete(SpError):
    """The parameter complete must be true or false."""

    kind = Kind.INVALID
    given: str


@dataclass(eq=False)
class InvalidOffset(SpError):
    """The parameter offset must be a number of bytes."""

    kind = Kind.INVALID
    given: str


@dataclass(eq=False)
class ForbiddenLink(SpError):
    """Whoever signed this link may not read the object, or nobody did."""

    kind = Kind.DENIED
    resource: str


@dataclass(eq=False)
class LinkExpiryRefused(SpError):
    """The expiry parameter is missing, malformed, past, or too far ahead."""

    kind = Kind.DENIED
    reason: str


@dataclass(eq=False)
class UndecodableMessage(SpError):
    """The message cannot be decoded."""

    kind = Kind.INVALID
    reason: str


@dataclass(eq=False)
class InvalidMessage(SpError):
    """The message says what it must not."""

    kind = Kind.INVALID
    reason: str


@dataclass(eq=False)
class RegistrationRefused(SpError):
    """The key is not registered: header and signed text do not say the same, or not what they must."""

    kind = Kind.INVALID
    reason: str
