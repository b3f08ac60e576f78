"""Who signed the policy of a POST form, with Signature Version 4 or 2."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from gateway.auth import sigv4_text as text
from gateway.auth.anonymous import NOBODY
from gateway.auth.query import SECURITY_TOKEN
from gateway.auth.scheme import Identity
from gateway.auth.sigv2_text import decoded_signature
from gateway.auth.sigv4 import SigningKeys, check_scope, parse_scope, signing_time
from gateway.errors import InvalidAccessKeyId, InvalidArgument, NoSecurityTokens
from signer.client import Signer
from sp.domain.errors import NoSuchAccount, SignatureMismatch

SCHEME: Final = "post"
_V4: Final = ("x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-signature")
_V2: Final = ("awsaccesskeyid", "signature")


@dataclass(frozen=True, slots=True)
class PostSignatures:
    keys: SigningKeys
    signer: Signer
    region: str

    async def identity(self, fields: Mapping[str, str]) -> Identity:
        """fields: of the form, by lower-case name. A form without policy and signature is nobody's.

        InvalidArgument for one that is incomplete; MalformedAuthorization, WrongRegion, InvalidAccessKeyId,
        SignatureMismatch, NoSecurityTokens.
        """
        if SECURITY_TOKEN in fields:
            raise NoSecurityTokens
        signed = [name for name in (*_V4, *_V2) if name in fields]
        if "policy" not in fields:
            if signed:
                raise _missing("policy")
            return NOBODY
        return await (self._v2(fields) if signed and signed[0] in _V2 else self._v4(fields))

    async def _v4(self, fields: Mapping[str, str]) -> Identity:
        algorithm, credential, stamp, signature = _required(fields, _V4)
        if algorithm != text.ALGORITHM:
            raise InvalidArgument(_V4[0], f"it must be {text.ALGORITHM}")
        scope = parse_scope(credential)
        signing_time(stamp)
        check_scope(scope, stamp, self.region)
        key = await self.keys.get(scope)
        if not text.same(text.signature(key.signing_key, fields["policy"]), signature):
            raise SignatureMismatch("the signature does not belong to this policy and key")
        return Identity(key.account, SCHEME, custodial=True)

    async def _v2(self, fields: Mapping[str, str]) -> Identity:
        access_key_id, signature = _required(fields, _V2)
        raw = decoded_signature(signature)
        if raw is None:
            raise SignatureMismatch("the signature is no base64 of 20 bytes")
        try:
            account = await self.signer.verify_sigv2(access_key_id, fields["policy"].encode(), raw)
        except NoSuchAccount as error:
            raise InvalidAccessKeyId(access_key_id[:128]) from error
        return Identity(account, SCHEME, custodial=True)


def _required(fields: Mapping[str, str], names: tuple[str, ...]) -> list[str]:
    for name in names:
        if not fields.get(name):
            raise _missing(name)
    return [fields[name] for name in names]


def _missing(name: str) -> InvalidArgument:
    return InvalidArgument(name, f"Bucket POST must contain a field named '{name}'.")
