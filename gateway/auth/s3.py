"""The signature schemes of S3 clients, in the order in which they are asked."""

from __future__ import annotations

from gateway.auth.scheme import Scheme
from gateway.auth.sigv2 import SigV2
from gateway.auth.sigv4 import SigningKeys, SigV4
from gateway.auth.sigv4_query import SigV4Query
from gateway.config import GatewayConfig
from signer.client import Signer


def s3_schemes(signer: Signer, config: GatewayConfig) -> tuple[Scheme, ...]:
    """Those in the query first: they refuse a request that is signed twice."""
    keys = SigningKeys(signer, config.signing_keys_cached)
    return (
        SigV4Query(keys, config.region, config.clock_skew_s),
        SigV2(signer, config.domain_name, config.clock_skew_s),
        SigV4(keys, config.region, config.clock_skew_s),
    )
