"""The policy of a POST form: what it lets be uploaded, and until when. Pure.

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-HTTPPOSTConstructPolicy.html
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from gateway.form_errors import InvalidPolicy, PolicyNotMet

CONTENT_TYPE: Final = "content-type"
_RANGE: Final = "content-length-range"
_UNCOVERED: Final = frozenset({"policy", "signature", "x-amz-signature", "awsaccesskeyid", "file"})
"""Fields that no condition needs to allow."""

_IGNORED_PREFIX: Final = "x-ignore-"
_MAX_BYTES: Final = 1 << 63


@dataclass(frozen=True, slots=True)
class Condition:
    """field: lower case, without its $; starts: the value may go on"""

    field: str
    value: str
    starts: bool


@dataclass(frozen=True, slots=True)
class Policy:
    """expires_at_s: unix seconds. min_bytes, max_bytes: of the file"""

    expires_at_s: float
    conditions: tuple[Condition, ...] = field(default=())
    min_bytes: int = 0
    max_bytes: int = _MAX_BYTES

    def check(self, fields: Mapping[str, str], now_s: float) -> None:
        """PolicyNotMet. fields: by lower-case name, with the bucket, and the key as it will be"""
        if now_s > self.expires_at_s:
            raise PolicyNotMet("Policy expired.")
        for condition in self.conditions:
            if not _holds(condition, fields.get(condition.field, "")):
                operator = "starts-with" if condition.starts else "eq"
                raise PolicyNotMet(f"Policy Condition failed: {[operator, '$' + condition.field, condition.value]}")
        covered = {condition.field for condition in self.conditions} | _UNCOVERED
        for name in fields:
            if name not in covered and not name.startswith(_IGNORED_PREFIX):
                raise PolicyNotMet(f"Extra input fields: {name[:64]}")


def policy_of(encoded: str) -> Policy:
    """From the form's field: base64 of JSON. InvalidPolicy."""
    try:
        document = json.loads(base64.b64decode(encoded, validate=True))
    except (binascii.Error, ValueError, RecursionError) as error:
        raise InvalidPolicy("Invalid JSON in base64.") from error
    if not isinstance(document, dict) or not isinstance(document.get("conditions"), list):
        raise InvalidPolicy("Invalid Policy: Conditions must be a List.")
    conditions: list[Condition] = []
    low, high = 0, _MAX_BYTES
    for given in document["conditions"]:
        if isinstance(given, list) and given and isinstance(given[0], str) and given[0].lower() == _RANGE:
            first, last = _size_range(given)
            low, high = max(low, first), min(high, last)
        else:
            conditions.append(_condition(given))
    return Policy(_expiration(document.get("expiration")), tuple(conditions), low, high)


def _expiration(text: Any) -> float:
    if not isinstance(text, str):
        raise InvalidPolicy("Invalid Policy: Policy must have an expiration, which is a string.")
    for form in ("%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S.%fZ"):
        try:
            return datetime.strptime(text, form).replace(tzinfo=UTC).timestamp()
        except ValueError:
            continue
    raise InvalidPolicy("Invalid Policy: Invalid 'expiration' value.")


def _size_range(given: list[Any]) -> tuple[int, int]:
    numbers = [_number(each) for each in given[1:]]
    if len(numbers) != 2 or numbers[0] > numbers[1]:
        raise InvalidPolicy("Invalid Policy: content-length-range takes the least and the most bytes.")
    return numbers[0], numbers[1]


def _number(given: Any) -> int:
    text = str(given) if isinstance(given, int | str) and not isinstance(given, bool) else ""
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise InvalidPolicy("Invalid Policy: content-length-range takes numbers from 0.")
    return int(text)


def _condition(given: Any) -> Condition:
    if isinstance(given, dict) and len(given) == 1:
        [(name, value)] = given.items()
        if isinstance(value, str):
            return Condition(name.lower(), value, starts=False)
    if isinstance(given, list) and len(given) == 3 and all(isinstance(each, str) for each in given):
        operator, name, value = given
        if operator.lower() in ("eq", "starts-with") and name.startswith("$"):
            return Condition(name[1:].lower(), value, starts=operator.lower() == "starts-with")
    raise InvalidPolicy(f"Invalid Policy: Invalid condition: {json.dumps(given)[:128]}")


def _holds(condition: Condition, value: str) -> bool:
    """A dollar may be escaped in the document. Of a list of content types each must begin so."""
    wanted = (condition.value, condition.value.replace("\\$", "$"))
    if not condition.starts:
        return value in wanted
    if condition.field == CONTENT_TYPE:
        return all(each.strip().startswith(wanted) for each in value.split(","))
    return value.startswith(wanted)
