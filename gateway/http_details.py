"""The operations beyond the plain ones, put together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from gateway.acls import Acls
from gateway.auth.post import PostSignatures
from gateway.auth.sigv4 import SigningKeys
from gateway.buckets import Buckets
from gateway.config import GatewayConfig
from gateway.copying import Copies
from gateway.deletions import Deletions
from gateway.greenfield.routes import GreenfieldOperation
from gateway.http_bucket_details import BucketDetails
from gateway.http_call import Serve
from gateway.http_object_details import ObjectDetails
from gateway.http_post import PostUploads
from gateway.routes import Operation
from gateway.service import Gateway
from gateway.tagging import Tagging
from sp.runtime.clock import Clock
from sp.runtime.pool import CpuPool


class Operations(Protocol):
    def table(self) -> Mapping[Operation, Serve] | Mapping[GreenfieldOperation, Serve]:
        """Who serves what."""


def details(
    gateway: Gateway, buckets: Buckets, pool: CpuPool, config: GatewayConfig, clock: Clock
) -> tuple[Operations, ...]:
    acls = Acls(gateway, buckets)
    keys = SigningKeys(buckets.signer, config.signing_keys_cached)
    return (
        ObjectDetails(Copies(gateway), Tagging(gateway), acls, pool, config.blank_interval_s),
        BucketDetails(Deletions(gateway), acls, pool, config.blank_interval_s),
        PostUploads(gateway, PostSignatures(keys, buckets.signer, config.region), clock),
    )
