"""AWS Signature Version 2 as pure text.

Old and weak (SHA-1; most parameters of a list are not covered), but what boto3 and the AWS command line presign with by
default for a custom endpoint, and what old tools sign with.
Source: https://docs.aws.amazon.com/AmazonS3/latest/API/RESTAuthentication.html
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from typing import Final
from urllib.parse import unquote_to_bytes

from gateway.request import RequestHead

SIGNED_PARAMETERS: Final = frozenset(
    {
        *("accelerate", "acl", "analytics", "attributes", "cors", "defaultObjectAcl", "delete", "encryption"),
        *("intelligent-tiering", "inventory", "legal-hold", "lifecycle", "location", "logging", "metrics"),
        *("notification", "object-lock", "ownershipControls", "partNumber", "policy", "policyStatus"),
        *("publicAccessBlock", "replication", "requestPayment", "restore", "retention", "select", "select-type"),
        *("storageClass", "tagging", "torrent", "uploadId", "uploads", "versionId", "versioning", "versions"),
        *("website", "response-cache-control", "response-content-disposition", "response-content-encoding"),
        *("response-content-language", "response-content-type", "response-expires"),
    }
)
"""Parameters that are part of the signed resource: what botocore signs, and what S3 has added since."""

_FOLDED = re.compile(r"[ \t]*[\r\n]+[ \t]*")


def string_to_sign(head: RequestHead, date: str, path: str) -> bytes:
    """date: of the Date header, or the Expires parameter; path: one of resource_paths"""
    lines = (head.method, head.header("content-md5"), head.header("content-type"), date)
    text = "\n".join(lines) + "\n" + canonical_headers(head) + path + signed_parameters(head)
    return text.encode("utf-8", "surrogateescape")


def resource_paths(head: RequestHead, bucket: str | None) -> list[str]:
    """The path as it was sent, with the bucket of a virtual-host style request before it (None: there is none).

    A bucket alone ends with a slash: clients sign it so even where they send none. Not all do, so there are two then.
    """
    path = head.raw_path if bucket is None else f"/{bucket}{head.raw_path}"
    return [path] if "/" in path[1:] or path == "/" else [f"{path}/", path]


def canonical_headers(head: RequestHead) -> str:
    names = sorted(name for name in head.header_names() if name.startswith("x-amz-"))
    return "".join(f"{name}:{','.join(_unfolded(value) for value in head.values(name))}\n" for name in names)


def signed_parameters(head: RequestHead) -> str:
    """ "?" and the parameters that are part of the resource, their values decoded; "" when there are none."""
    signed = []
    for part in head.raw_query.split("&"):
        name, equals, value = part.partition("=")
        if name in SIGNED_PARAMETERS:
            decoded = unquote_to_bytes(value.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")
            signed.append((name, f"{name}{equals}{decoded}"))
    return "?" + "&".join(text for _, text in sorted(signed)) if signed else ""


def signature(secret_access_key: str, to_sign: bytes) -> bytes:
    """20 bytes. For clients; servers ask the Signer."""
    return hmac.new(secret_access_key.encode(), to_sign, hashlib.sha1).digest()


def decoded_signature(value: str) -> bytes | None:
    """The 20 bytes of a base64 signature; None for what is none."""
    try:
        raw = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw if len(raw) == 20 else None


def _unfolded(value: str) -> str:
    return _FOLDED.sub(" ", value.strip())
