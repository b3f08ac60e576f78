"""Jobs as JSON has them: what `--json` prints, and what tables are made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cli.output import instant
from sp.domain.ids import Address
from sp.domain.jobs import HistoryRow, Job, Secondary, SecondaryState
from sp.domain.ledger import StorageProvider

if TYPE_CHECKING:
    from tasknode.client import JobDetail

Providers = Mapping[Address, StorageProvider]


def job_record(job: Job) -> dict[str, Any]:
    return {
        "id": job.id,
        "state": job.state.name,
        "bucket": job.bucket,
        "object": job.object_name,
        "account": job.account,
        "object_id": job.object_id,
        "version": job.version,
        "payload_size": job.payload_size,
        "integrity_hash": job.root.hex() if job.root else None,
        "segments": len(job.segment_checksums),
        "delegated": job.delegated,
        "attempts": job.attempts,
        "next_attempt_at": instant(job.next_attempt_at_ms),
        "given_up": job.given_up,
        "lease_owner": job.lease_owner,
        "lease_until": instant(job.lease_until_ms),
        "tx_hash": job.tx_hash,
        "error": job.error,
        "request_id": job.request_id,
        "created_at": instant(job.created_at_ms),
        "updated_at": instant(job.updated_at_ms),
    }


def history_record(row: HistoryRow) -> dict[str, Any]:
    return {
        "seq": row.seq,
        "at": instant(row.at_ms),
        "from_state": row.from_state.name,
        "state": row.state.name,
        "event": row.event,
        "reason": row.reason,
        "attempt": row.attempt,
        "provider": row.provider,
        "actor": row.actor,
    }


def secondary_record(secondary: Secondary, providers: Providers) -> dict[str, Any]:
    """sp: its name on chain, its address where the chain does not know it."""
    known = providers.get(secondary.provider)
    return {
        "redundancy_index": secondary.redundancy_index,
        "sp": known.moniker if known and known.moniker else secondary.provider,
        "operator": secondary.provider,
        "status": known.status.name if known else "NOT_REGISTERED",
        "state": secondary.state.name,
        "integrity_hash": secondary.integrity_hash.hex() if secondary.integrity_hash else None,
        "signature": secondary.signature.hex() if secondary.signature else None,
        "attempts": secondary.attempts,
        "error": secondary.error,
        "started_at": instant(secondary.started_at_ms),
        "ended_at": instant(secondary.ended_at_ms),
    }


def detail_record(detail: JobDetail, providers: Providers) -> dict[str, Any]:
    return {
        **job_record(detail.job),
        "secondaries": [secondary_record(s, providers) for s in detail.secondaries],
        "history": [history_record(row) for row in detail.history],
    }


def current(secondaries: tuple[Secondary, ...]) -> list[Secondary]:
    """The one of each column that has not failed, in column order."""
    return sorted((s for s in secondaries if s.state is not SecondaryState.FAILED), key=lambda s: s.redundancy_index)
