"""The Signer as the other services see it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from sp.domain.approvals import SignDoc
from sp.domain.ids import Address, Signature, TxHash
from sp.domain.messages import TxMessage


@dataclass(frozen=True, slots=True)
class SpKeys:
    """Public addresses of one provider's five keys."""

    operator: Address
    funding: Address
    seal: Address
    approval: Address
    gc: Address


@dataclass(frozen=True, slots=True)
class CustodialAccount:
    """A chain account whose key this provider keeps, and the S3 access key that stands for it."""

    name: str
    address: Address
    access_key_id: str
    created_at_s: int


@dataclass(frozen=True, slots=True)
class SigV4Key:
    """The signing key of one access key, day, region and service (never logged: repr hides it)."""

    account: Address
    signing_key: bytes

    def __repr__(self) -> str:
        return f"SigV4Key(account={self.account!r})"


class Signer(Protocol):
    """Holds every private key; signs typed documents and transactions, never raw bytes."""

    async def keys(self) -> SpKeys:
        """Public addresses. They do not change while a process runs."""

    async def sign(self, document: SignDoc) -> Signature:
        """Requests and offers by the operator key, approvals and receipts by the approval key.
        KeyNotAllowed when the document names another provider than this one as its author."""

    async def submit(self, message: TxMessage) -> TxHash:
        """Sign with the key whose address the message's first field names, and broadcast. Nonces are the Signer's
        business. TxRefused, KeyNotAllowed, NoSuchAccount; ServiceUnavailable leaves open whether it landed."""

    async def sigv4_key(self, access_key_id: str, date: str, region: str, service: str) -> SigV4Key:
        """NoSuchAccount for an unknown access key id. date: YYYYMMDD."""

    async def create_account(self, name: str) -> tuple[CustodialAccount, str]:
        """A new custodial account, and its secret access key, shown here once. InvalidRequest when the name is taken."""

    async def import_account(
        self, name: str, private_key: bytes, access_key_id: str, secret_access_key: str
    ) -> CustodialAccount:
        """Keep a key that exists. The same import again is a no-op."""

    async def list_accounts(self) -> list[CustodialAccount]:
        """In order of creation; no secrets."""
