"""What can be wrong with a form that uploads a file, and with the policy in it (gateway/errors.py has the rest)."""

from __future__ import annotations

from dataclasses import dataclass

from sp.domain.errors import Kind, SpError


@dataclass(eq=False)
class MalformedForm(SpError):
    """The body of your POST request is not well-formed multipart/form-data."""

    kind = Kind.INVALID
    reason: str


@dataclass(eq=False)
class FormTooLarge(SpError):
    """Your POST request fields preceding the upload file were too large."""

    kind = Kind.INVALID
    max_bytes: int


@dataclass(eq=False)
class InvalidPolicy(SpError):
    """The content of the form does not meet the conditions that a policy document must: it is not well-formed."""

    kind = Kind.INVALID
    reason: str


@dataclass(eq=False)
class PolicyNotMet(SpError):
    """Invalid according to Policy."""

    kind = Kind.DENIED
    reason: str


@dataclass(eq=False)
class FileTooSmall(SpError):
    """Your proposed upload is smaller than the minimum allowed size."""

    kind = Kind.INVALID
    size_bytes: int
    min_bytes: int
