"""Rules for storage providers. Here a provider registers and changes its status by itself; the real network asks
governance for the first and limits the second (GREENFIELD.md 6, REAL-NETWORK 1)."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urlsplit

from chain.dev.codes import Code
from chain.dev.state import State
from sp.domain.ids import Address
from sp.domain.ledger import ChainEvent, EventType, SpStatus, StorageProvider
from sp.domain.messages import (
    MsgCreateStorageProvider,
    MsgEditStorageProvider,
    MsgUpdateStorageProviderStatus,
)


def create_storage_provider(state: State, message: MsgCreateStorageProvider) -> list[ChainEvent]:
    _check_endpoints(message)
    for code, name in _UNIQUE:
        taken = {getattr(provider, name) for provider in state.providers.values()}
        if getattr(message, name) in taken:
            raise code.refusal(getattr(message, name))
    provider = StorageProvider(
        id=1 + max((known.id for known in state.providers.values()), default=0),
        operator=message.operator,
        funding=message.funding,
        seal=message.seal,
        approval=message.approval,
        gc=message.gc,
        status=SpStatus.IN_SERVICE,
        endpoint=message.endpoint,
        p2p_endpoint=message.p2p_endpoint,
        receiver_endpoint=message.receiver_endpoint,
        moniker=message.moniker,
    )
    return _put(state, provider)


def edit_storage_provider(state: State, message: MsgEditStorageProvider) -> list[ChainEvent]:
    provider = _registered(state, message.operator)
    _check_endpoints(message)
    edited = replace(
        provider,
        endpoint=message.endpoint,
        p2p_endpoint=message.p2p_endpoint,
        receiver_endpoint=message.receiver_endpoint,
        moniker=message.moniker,
    )
    return _put(state, edited)


def update_storage_provider_status(state: State, message: MsgUpdateStorageProviderStatus) -> list[ChainEvent]:
    """Leaving has messages of its own (chain.dev.exits), and nobody comes back from it."""
    provider = _registered(state, message.operator)
    changed = replace(provider, status=message.status)
    if provider.exiting or changed.exiting:
        raise Code.SP_STATUS_FIXED.refusal(f"{provider.status.name} to {changed.status.name}")
    return _put(state, changed)


_UNIQUE = (
    (Code.SP_OPERATOR_EXISTS, "operator"),
    (Code.SP_FUNDING_EXISTS, "funding"),
    (Code.SP_SEAL_EXISTS, "seal"),
    (Code.SP_APPROVAL_EXISTS, "approval"),
    (Code.SP_GC_EXISTS, "gc"),
)


def _registered(state: State, operator: Address) -> StorageProvider:
    provider = state.providers.get(operator)
    if provider is None:
        raise Code.SP_NOT_FOUND.refusal(operator)
    return provider


def _put(state: State, provider: StorageProvider) -> list[ChainEvent]:
    state.providers[provider.operator] = provider
    return [ChainEvent(state.height, EventType.PROVIDERS_CHANGED)]


def _check_endpoints(message: MsgCreateStorageProvider | MsgEditStorageProvider) -> None:
    if not _is_url(message.endpoint):
        raise Code.SP_INVALID_ENDPOINT.refusal(f"endpoint {message.endpoint[:200]!r} is no http(s) URL")
    for name in ("p2p_endpoint", "receiver_endpoint"):
        text: str = getattr(message, name)
        if not _is_host_and_port(text):
            raise Code.SP_INVALID_ENDPOINT.refusal(f"{name} {text[:200]!r} is not host:port")


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return False


def _is_host_and_port(text: str) -> bool:
    host, _, port = text.rpartition(":")
    return bool(host) and port.isascii() and port.isdigit() and 0 < int(port) < 65536
