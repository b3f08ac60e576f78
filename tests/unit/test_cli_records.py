"""What `--json` prints of jobs and objects."""

from dataclasses import replace

import pytest

from cli.objects import object_record, object_status
from cli.records import current, detail_record
from sp.domain.approvals import Approval, ObjectRef, SignedApproval
from sp.domain.contents import Content
from sp.domain.ids import Address, Checksum, JobId, ObjectId, RedundancyIndex, Signature
from sp.domain.jobs import HistoryRow, Job, Secondary, SecondaryState
from sp.domain.ledger import SpStatus, StorageProvider, Visibility
from sp.domain.lifecycle import JobState
from sp.domain.params import StorageParams
from tasknode.client import JobDetail

PRIMARY = Address("0x00000000000000000000000000000000000000AA")
PARAMS = StorageParams(max_segment_size=1000)
JOB = Job(
    id=JobId(7),
    state=JobState.SEAL_OBJECT_DONE,
    row_version=3,
    bucket="photos",
    object_name="a.jpg",
    account=Address("0x00000000000000000000000000000000000000BB"),
    visibility=Visibility.INHERIT,
    headers={"content-type": "image/jpeg"},
    params=PARAMS,
    delegated=True,
    object_id=ObjectId(5),
    version=0,
    payload_size=2501,
    root=Checksum(b"\x01" * 32),
    segment_checksums=tuple(Checksum(bytes([i]) * 32) for i in range(3)),
    attempts=0,
    next_attempt_at_ms=None,
    given_up=False,
    lease_owner="",
    lease_until_ms=0,
    tx_hash=None,
    error="",
    request_id="r",
    created_at_ms=1_700_000_000_000,
    updated_at_ms=1_700_000_001_000,
)


def operator(column: int) -> Address:
    return Address(f"0x{column:040x}")


def secondary(column: int, state: SecondaryState = SecondaryState.DONE, provider: int | None = None) -> Secondary:
    address = operator(column if provider is None else provider)
    ref = ObjectRef(ObjectId(5), 0, "photos", "a.jpg", 2501, PARAMS)
    approval = SignedApproval(Approval(ref, PRIMARY, address, 0, 0), Signature(b"\0" * 65))
    done = state is SecondaryState.DONE
    return Secondary(
        JobId(7),
        RedundancyIndex(column),
        address,
        approval,
        state,
        Checksum(bytes([column]) * 32) if done else None,
        Signature(b"\0" * 65) if done else None,
    )


def provider(address: Address, moniker: str) -> StorageProvider:
    return StorageProvider(
        1, address, address, address, address, address, SpStatus.IN_SERVICE, "http://x", "x:1", "x:2", moniker
    )


SIX = tuple(secondary(column) for column in range(6))
PROVIDERS = {operator(c): provider(operator(c), f"sp{c + 1}") for c in range(6)} | {PRIMARY: provider(PRIMARY, "sp0")}
SEALED = Content(0, 2501, tuple(Checksum(bytes([i]) * 32) for i in range(7)), 0, sealed=True, secondaries=())


def test_a_sealed_object_shows_the_chains_seven_checksums_and_who_holds_what() -> None:
    record = object_record(JOB, SIX, SEALED, PRIMARY, PROVIDERS)
    assert (record["status"], record["job_id"], record["object_id"]) == ("SEALED", 7, 5)
    assert record["checksums"] == [bytes([i]).hex() * 32 for i in range(7)]
    assert [(s["redundancy_index"], s["sp"]) for s in record["secondaries"]] == [(c, f"sp{c + 1}") for c in range(6)]
    assert record["primary"] == {"sp": "sp0", "operator": PRIMARY}


def test_segments_are_shown_with_their_sizes_and_those_of_their_pieces() -> None:
    segments = object_record(JOB, SIX, SEALED, PRIMARY, PROVIDERS)["segments"]
    assert [(s["size"], s["piece_size"]) for s in segments] == [(1000, 250), (1000, 250), (501, 126)]


def test_before_the_seal_the_checksums_known_are_the_primarys_and_those_of_signed_columns() -> None:
    job = replace(JOB, state=JobState.REPLICATE_OBJECT_DOING)
    rows = (secondary(0), secondary(1, SecondaryState.REPLICATING))
    record = object_record(job, rows, None, PRIMARY, PROVIDERS)
    assert record["status"] == "CREATED"
    assert record["checksums"] == ["01" * 32, "00" * 32]


def test_a_replaced_secondary_is_not_among_the_holders() -> None:
    rows = (secondary(1, SecondaryState.FAILED, provider=9), secondary(1), secondary(0))
    assert [s.provider for s in current(rows)] == [operator(0), operator(1)]


@pytest.mark.parametrize(
    ("state", "content", "status"),
    [
        (JobState.UPLOAD_OBJECT_DOING, None, "UPLOADING"),
        (JobState.UPLOAD_OBJECT_ERROR, None, "FAILED"),
        (JobState.UPLOAD_OBJECT_DONE, None, "CREATED"),
        (JobState.SEAL_OBJECT_TX_DOING, replace(SEALED, sealed=False), "CREATED"),
        (JobState.SIGN_OBJECT_ERROR, SEALED, "SEALED"),  # a broadcast we gave up on landed after all
        (JobState.SEAL_OBJECT_DONE, None, "DISCONTINUED"),  # deleted on chain since
        (JobState.OBJECT_DISCONTINUED, None, "DISCONTINUED"),
    ],
)
def test_the_status_is_the_chains_where_it_has_one(state: JobState, content: Content | None, status: str) -> None:
    assert object_status(replace(JOB, state=state), content) == status


def test_a_jobs_history_has_states_by_name_and_times_in_utc() -> None:
    row = HistoryRow(
        JobId(7), 1, 1_700_000_000_005, JobState.UPLOAD_OBJECT_DOING, JobState.UPLOAD_OBJECT_DONE, "payload stored", 0,
        "", "", "uploader",
    )  # fmt: skip
    record = detail_record(JobDetail(JOB, SIX, (row,)), {})
    assert record["state"] == "SEAL_OBJECT_DONE"
    assert record["history"][0]["state"] == "UPLOAD_OBJECT_DONE"
    assert record["history"][0]["from_state"] == "UPLOAD_OBJECT_DOING"
    assert record["history"][0]["at"] == "2023-11-14T22:13:20.005Z"
    assert record["secondaries"][0]["sp"] == operator(0)  # the chain does not know a name for it
