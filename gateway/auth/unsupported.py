"""Signature schemes that are known by name and refused by name, so that no one takes them for anonymous requests."""

from __future__ import annotations

from typing import Final

from gateway.auth.scheme import Identity
from gateway.errors import NotSupported
from gateway.request import RequestHead

_QUERY_SIGNATURES: Final = {
    b"authorization": "links signed otherwise than with GNFD2-EDDSA",
}
_AUTHORIZATIONS: Final = {
    "aws4-ecdsa-p256-sha256": "Signature Version 4A",
    "gnfd1-eddsa": "GNFD1-EDDSA",
}


class KnownButUnsupported:
    def recognises(self, head: RequestHead) -> bool:
        return self._feature(head) is not None

    async def authenticate(self, head: RequestHead, now_s: int) -> Identity:
        raise NotSupported(f"{self._feature(head)}; sign the request in its Authorization header instead")

    def _feature(self, head: RequestHead) -> str | None:
        authorization = head.header("authorization").lower()
        for prefix, feature in _AUTHORIZATIONS.items():
            if authorization.startswith(prefix):
                return feature
        for name, _ in head.query:
            if name.lower() in _QUERY_SIGNATURES:
                return _QUERY_SIGNATURES[name.lower()]
        return None
