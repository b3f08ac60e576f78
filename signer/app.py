"""Wire the Signer: the only file of this folder that names concrete parts."""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from chain.open import open_chain
from signer import keystore
from signer.accounts import AccountBook
from signer.config import SignerConfig, check_listen
from signer.nonces import Nonces
from signer.rpc import served
from signer.service import SignerService
from sp.runtime.parts import Parts
from sp.runtime.rpc import serving


@asynccontextmanager
async def running(parts: Parts) -> AsyncIterator[SignerService]:
    """Open the keystore and serve until exit. `python -m signer` and the cluster tests both enter here."""
    config = parts.file.section("signer", SignerConfig)
    listen, tls = parts.common.endpoint.signer, parts.common.tls
    check_listen(listen, mutual_tls=tls.enabled)
    signer = await _service(parts, config)
    async with serving(listen, [served(signer)], tls=tls) as address:
        parts.listens("signer", address)
        parts.publish("signer", signer)
        yield signer


async def _service(parts: Parts, config: SignerConfig) -> SignerService:
    file = parts.file
    password_file = file.path_of(config.password_file) if config.password_file else None
    opened = await parts.pool.run(keystore.load, file.path_of(config.keystore), password_file, os.environ)
    accounts = await parts.pool.run(AccountBook, file.path_of(config.accounts), opened.account_key, secrets.token_bytes)
    chain = await open_chain(parts)
    parts.ready.add("chain", chain.latest_block)
    nonces = Nonces(chain, config.broadcast_tries, config.block_timeout_s)
    return SignerService(opened, accounts, chain, nonces, parts.clock, parts.pool, secrets.token_bytes)
