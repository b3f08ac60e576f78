"""The bytes that are signed, each to be hashed with keccak256. One wrong byte and nobody's signature verifies.

Vectors: tests/vectors/signdoc_vectors.json; source: greenfield x/storage/types/crypto.go, cosmos-sdk MustSortJSON.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Mapping
from typing import Final

from sp.domain.errors import InvalidRequest
from sp.domain.ids import Address, Checksum, ObjectId

_MAX_NUMBER: Final = 2**53
"""Go sorts a document by way of float64, which is exact only below this."""

# encoding/json of Go up to 1.21, with which the network was built (go.mod of greenfield), where it differs from ours.
_GO_ESCAPES: Final = {
    "<": r"\u003c",
    ">": r"\u003e",
    "&": r"\u0026",
    "\u2028": r"\u2028",
    "\u2029": r"\u2029",
    r"\b": r"\u0008",
    r"\f": r"\u000c",
}
_ESCAPED: Final = re.compile(r"\\.|[<>&\u2028\u2029]")  # takes a backslash and what it escapes together


def canonical_json(document: Mapping[str, object]) -> bytes:
    """`document` as Go's encoding/json writes a sorted one: keys by code point at every level, no blanks, UTF-8.

    document: a dict of str, bool, int, None, lists and dicts of these. The caller writes 64-bit integers as decimal
    strings and bytes as base64. Raises InvalidRequest for text that is no Unicode (a lone surrogate), TypeError for
    another type in it.
    """
    _check_types(document)
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    try:
        return _ESCAPED.sub(lambda found: _GO_ESCAPES.get(found[0], found[0]), text).encode()
    except UnicodeEncodeError as error:
        raise InvalidRequest("text to be signed is not valid Unicode") from error


def secondary_sp_sign_bytes(sp_operator: Address, object_id: ObjectId, checksum: Checksum) -> bytes:
    """SecondarySpSignDoc: a secondary's word that it holds a column of this object. Its approval key signs.

    sp_operator: of the secondary that signs; checksum: the integrity hash of its column.
    """
    return canonical_json(
        {"sp_address": sp_operator, "object_id": str(object_id), "checksum": b64encode(checksum).decode()}
    )


def _check_types(value: object) -> None:
    """What json.dumps would write, but otherwise than Go does."""
    if isinstance(value, dict):
        for name, member in value.items():
            if not isinstance(name, str):
                raise TypeError(f"a member's name is {type(name).__name__}, not str")
            _check_types(member)
    elif isinstance(value, list | tuple):
        for member in value:
            _check_types(member)
    elif isinstance(value, int):
        assert abs(value) < _MAX_NUMBER, "write 64-bit integers as strings"
    elif value is not None and not isinstance(value, str):
        raise TypeError(f"a sign document holds no {type(value).__name__}")
