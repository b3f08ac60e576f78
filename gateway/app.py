"""Wire the gateway: the only file of this folder that names concrete parts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from chain.open import open_chain
from downloader import client as downloader
from gateway.access import Access
from gateway.auth.anonymous import Anonymous
from gateway.auth.gnfd1 import Gnfd1, KnownAccounts
from gateway.auth.gnfd2 import Gnfd2
from gateway.auth.personal import PersonalSign
from gateway.auth.s3 import s3_schemes
from gateway.auth.scheme import Authenticator
from gateway.auth.unsupported import KnownButUnsupported
from gateway.buckets import Buckets
from gateway.chain_view import ChainView
from gateway.config import GatewayConfig
from gateway.copying import Copies
from gateway.greenfield.assemble import greenfield_http
from gateway.http import HttpServer, serving_http
from gateway.http_buckets import BucketOperations
from gateway.http_details import details
from gateway.http_multipart import MultipartOperations
from gateway.http_objects import ObjectOperations
from gateway.multipart import MultipartUploads
from gateway.rpc import Asker, GatewayRpc, served
from gateway.service import Gateway
from signer import client as signer
from sp.runtime.ids import RequestIds
from sp.runtime.limits import Slots
from sp.runtime.parts import Parts
from sp.runtime.rpc import serving
from spdb.auth_keys import AuthKeys
from spdb.open import shared_database
from tasknode import client as tasknode
from uploader import client as uploader
from uploader.multipart import client as multipart


@dataclass(frozen=True, slots=True)
class RunningGateway:
    """http_address: host:port in fact bound"""

    gateway: Gateway
    buckets: Buckets
    http_address: str


@asynccontextmanager
async def running(parts: Parts) -> AsyncIterator[RunningGateway]:
    """Serve until exit. `python -m gateway`, `sp run` and the cluster tests all enter here."""
    config = parts.file.section("gateway", GatewayConfig)
    chain, keys = await open_chain(parts), await signer.connect(parts)
    index = await downloader.connect(parts)
    access = Access(ChainView(chain), (await keys.keys()).operator)
    gateway = Gateway(
        access,
        await uploader.connect(parts),
        index,
        await tasknode.connect(parts),
        parts.pool,
        config.etag_md5_max_bytes,
    )
    buckets = Buckets(access, index, keys, config.wait_blocks, config.bucket_empties_s)
    registered = AuthKeys(await shared_database(parts), parts.clock)
    authenticator = Authenticator(
        (
            *s3_schemes(keys, config),
            Gnfd1(KnownAccounts(chain)),
            Gnfd2(registered),
            PersonalSign(),
            KnownButUnsupported(),
            Anonymous(),
        )
    )
    objects = ObjectOperations(gateway)
    http = HttpServer(
        objects,
        BucketOperations(buckets, parts.pool, config.region),
        authenticator,
        config,
        parts.clock,
        RequestIds(parts.random),
        Slots("requests at once", config.max_requests),
        (
            *details(gateway, buckets, parts.pool, config, parts.clock),
            MultipartOperations(
                MultipartUploads(gateway, await multipart.connect(parts)),
                Copies(gateway),
                parts.pool,
                config.blank_interval_s,
            ),
            greenfield_http(gateway, objects, keys, registered, parts.clock),
        ),
    )
    endpoint, tls = parts.common.endpoint.gateway, parts.common.tls
    rpc = GatewayRpc(gateway, buckets, Asker(authenticator, parts.clock))
    async with serving(endpoint, [served(rpc)], tls=tls) as address, serving_http(http) as http_address:
        parts.listens("gateway", address)
        scheme = "https" if http.config.tls_certificate else "http"
        parts.listens("s3", f"{scheme}://{http_address}")
        started = RunningGateway(gateway, buckets, http_address)
        parts.publish("gateway", started)
        yield started
