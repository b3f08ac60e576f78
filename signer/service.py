"""Hold every private key of one provider, and sign what is its business.

Owns:  the provider's five keys, custodial accounts, and the nonces of all of them.
Never: signs raw bytes, hands out a key, decides what should be sealed or stored.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
from dataclasses import dataclass, field
from typing import Final

from chain.client import Chain
from chain.tx import sign_tx, signer_of
from signer.accounts import AccountBook
from signer.client import CustodialAccount, SigV4Key, SpKeys
from signer.keystore import ROLES, Keystore
from signer.nonces import Nonces
from signer.policy import CUSTODIAL, check_transaction, role_for
from signer.sealing import RandomBytes
from sp.crypto.hashing import keccak256
from sp.crypto.private import PrivateKey
from sp.domain.approvals import SignDoc
from sp.domain.errors import InvalidRequest, KeyNotAllowed, SignatureMismatch
from sp.domain.ids import Address, Signature, TxHash
from sp.domain.messages import TxMessage
from sp.runtime.clock import Clock
from sp.runtime.log import get_logger
from sp.runtime.metrics import counter
from sp.runtime.pool import CpuPool

_DATE: Final = re.compile(r"\d{8}")
_SCOPE_WORD: Final = re.compile(r"[\x21-\x7e]{1,64}")

SIGNED = counter("sp_signer_signatures_total", "Documents signed", ["document"])
SUBMITTED = counter("sp_signer_transactions_total", "Transactions handed to the chain", ["message"])

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class SignerService:
    """See signer.client.Signer for what each method promises."""

    keystore: Keystore
    accounts: AccountBook
    chain: Chain
    nonces: Nonces
    clock: Clock
    pool: CpuPool
    random_bytes: RandomBytes
    _account_lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def keys(self) -> SpKeys:
        return self.keystore.addresses

    async def sign(self, document: SignDoc) -> Signature:
        """On the loop: keccak256 and one signature take about 60 us together, less than a trip to a thread."""
        role = role_for(document, self.keystore.addresses.operator)
        SIGNED.labels(type(document).__name__).inc()
        return Signature(self.keystore.keys[role].sign(keccak256(document.sign_bytes())))

    async def submit(self, message: TxMessage) -> TxHash:
        sender = signer_of(message)
        key = self._key_for(sender, message)
        chain_id = await self.chain.chain_id()

        async def broadcast(nonce: int) -> TxHash:
            signed, tx_hash = sign_tx(message, key.sign, nonce, chain_id)
            log.info("broadcast", message=type(message).__name__, sender=sender, nonce=nonce, tx_hash=tx_hash)
            SUBMITTED.labels(type(message).__name__).inc()
            return await self.chain.broadcast(signed)

        return await self.nonces.use(sender, broadcast)

    async def sigv4_key(self, access_key_id: str, date: str, region: str, service: str) -> SigV4Key:
        if not (_DATE.fullmatch(date) and _SCOPE_WORD.fullmatch(region) and _SCOPE_WORD.fullmatch(service)):
            raise InvalidRequest("not a Signature V4 scope: date, region or service is malformed")
        account = self.accounts.by_access_key(access_key_id)
        return SigV4Key(account.address, _sigv4_key(self.accounts.secret_of(access_key_id), date, region, service))

    async def verify_sigv2(self, access_key_id: str, string_to_sign: bytes, signature: bytes) -> Address:
        account = self.accounts.by_access_key(access_key_id)
        secret = self.accounts.secret_of(access_key_id).encode()
        computed = hmac.new(secret, string_to_sign, hashlib.sha1).digest()
        if not hmac.compare_digest(computed, signature):
            raise SignatureMismatch("the signature does not belong to this request and key")
        return account.address

    async def create_account(self, name: str) -> tuple[CustodialAccount, str]:
        key = PrivateKey.generate(self.random_bytes)
        access_key_id, secret = self.accounts.new_access_key()
        async with self._account_lock:
            if self.accounts.check_new(name, key, access_key_id, secret) is not None:
                raise AssertionError("new random keys cannot be there already")
            return await self._add(name, key, access_key_id, secret), secret

    async def import_account(
        self, name: str, private_key: bytes, access_key_id: str, secret_access_key: str
    ) -> CustodialAccount:
        try:
            key = PrivateKey.from_bytes(private_key)
        except ValueError as error:
            raise InvalidRequest(str(error)) from error
        async with self._account_lock:
            present = self.accounts.check_new(name, key, access_key_id, secret_access_key)
            return present or await self._add(name, key, access_key_id, secret_access_key)

    async def list_accounts(self) -> list[CustodialAccount]:
        return self.accounts.accounts()

    def _key_for(self, sender: Address, message: TxMessage) -> PrivateKey:
        """The sender's key, if its role signs such messages. A provider's key may have several roles."""
        roles = [role for role in ROLES if self.keystore.keys[role].address == sender]
        if not roles:
            check_transaction(CUSTODIAL, message)
            return self.accounts.private_key_of(sender)
        for role in roles:
            try:
                check_transaction(role, message)
            except KeyNotAllowed:
                continue
            return self.keystore.keys[role]
        raise KeyNotAllowed(roles[0], type(message).__name__)

    async def _add(self, name: str, key: PrivateKey, access_key_id: str, secret: str) -> CustodialAccount:
        account = CustodialAccount(name, Address(key.address), access_key_id, self.clock.now_ms() // 1000)
        await self.pool.run(self.accounts.add, account, key, secret)
        log.info("account added", name=name, address=account.address, access_key_id=access_key_id)
        return account


def _sigv4_key(secret: str, date: str, region: str, service: str) -> bytes:
    """The signing key of AWS Signature Version 4: a chain of HMAC-SHA256 over the scope."""
    key = b"AWS4" + secret.encode()
    for word in (date, region, service, "aws4_request"):
        key = hmac.new(key, word.encode(), hashlib.sha256).digest()
    return key
