"""docker-compose.yml: a whole network of containers that loses some of them while it works."""

import os
from collections.abc import Iterator
from contextlib import suppress
from random import Random

import pytest
from botocore.exceptions import ClientError

from sp.domain.jobs import SecondaryState
from sp.domain.lifecycle import JobState
from tests.e2e.compose import Containers, JobRow
from tests.e2e.conftest import REPOSITORY
from tests.e2e.docker_daemon import Engine

MIB = 1024 * 1024
READS = 20_000  # of the job table; some seconds
BUCKET = "photos"
SP0 = {f"sp0-{service}" for service in ("signer", "p2p", "receiver", "tasknode", "uploader", "downloader", "gateway")}
SECONDARIES = {f"sp{number}" for number in range(1, 8)}
LIFE = [
    "INIT_UNSPECIFIED",
    "UPLOAD_OBJECT_DOING",
    "UPLOAD_OBJECT_DONE",
    "ALLOC_SECONDARY_DOING",
    "ALLOC_SECONDARY_DONE",
    "REPLICATE_OBJECT_DOING",
    "REPLICATE_OBJECT_DONE",
    "SIGN_OBJECT_DOING",
    "SIGN_OBJECT_DONE",
    "SEAL_OBJECT_TX_DOING",
    "SEAL_OBJECT_DONE",
]


def payload(size_bytes: int, seed: int) -> bytes:
    return Random(seed).randbytes(size_bytes)


@pytest.fixture(scope="module")
def net(docker_engine: Engine, sp_image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Containers]:
    """The network, healthy, with a bucket whose primary is sp0."""
    env_file = tmp_path_factory.mktemp("compose") / "env"
    any_free_port = "".join(f"SP{number}_PORT=\n" for number in range(8))
    env_file.write_text(f"SP_IMAGE={sp_image}\nBLOCK_INTERVAL_MS=250\n{any_free_port}")
    net = Containers(docker_engine, f"spe2e{os.getpid()}", REPOSITORY / "docker-compose.yml", env_file)
    try:
        net.up()
        net.s3().create_bucket(Bucket=BUCKET)
        yield net
    except BaseException:
        print(net.logs())
        raise
    finally:
        net.down("--volumes")
    assert net.volumes() == []


@pytest.fixture(autouse=True)
def logs_of_a_failure(request: pytest.FixtureRequest, net: Containers) -> Iterator[None]:
    failed_before = request.session.testsfailed
    yield
    if request.session.testsfailed > failed_before:
        print(net.logs())


def put(net: Containers, key: str, body: bytes) -> None:
    net.s3().put_object(Bucket=BUCKET, Key=key, Body=body)


def all_are_replicating(row: JobRow) -> bool:
    """Six streams are open, or about to be, and no secondary has signed yet."""
    assert row.state <= JobState.REPLICATE_OBJECT_DOING, f"the replication went by unseen: {row}"
    states = [state for _, state in row.secondaries]
    assert SecondaryState.DONE not in states, f"the replication went by unseen: {row}"
    return states == [SecondaryState.REPLICATING] * 6


def frozen_while_replicating(net: Containers, key: str, body: bytes) -> JobRow:
    """Put an object; its task node is frozen in the middle of the replication."""
    net.docker("pause", "sp0-tasknode")
    put(net, key, body)
    with net.reading_jobs() as read:
        return net.step("sp0-tasknode", lambda: read(BUCKET, key), all_are_replicating)


def test_every_container_is_healthy_and_mounts_nothing_but_its_own_volume(net: Containers) -> None:
    containers = net.inspect()
    assert set(containers) == {"setup", "chain"} | SP0 | SECONDARIES
    assert containers.pop("setup")["State"]["ExitCode"] == 0
    assert {each["State"]["Health"]["Status"] for each in containers.values()} == {"healthy"}
    for service, each in containers.items():
        volume = f"{net.project}_{service.partition('-')[0]}"
        assert [(mount["Type"], mount["Name"]) for mount in each["Mounts"]] == [("volume", volume)]
        assert each["HostConfig"]["ReadonlyRootfs"]


def test_an_object_put_from_the_host_is_sealed_and_its_job_tells_every_state_once(net: Containers) -> None:
    sent = payload(24 * MIB + 77, seed=1)
    put(net, "a/b.jpg", sent)
    detail = net.sealed(f"{BUCKET}/a/b.jpg")
    assert [row["state"] for row in detail["history"]] == LIFE
    assert len({secondary["sp"] for secondary in detail["secondaries"]} & SECONDARIES) == 6
    listed = net.json("sp0-tasknode", "sp", "jobs", "list")
    assert [job["id"] for job in listed["jobs"]] == [detail["id"]]
    assert listed["counts"] == {"SEAL_OBJECT_DONE": 1}
    assert net.get(BUCKET, "a/b.jpg") == sent


def test_an_object_is_sealed_though_a_secondary_dies_during_the_replication(net: Containers) -> None:
    sent = payload(24 * MIB, seed=2)
    row = frozen_while_replicating(net, "one-dies", sent)
    operator, _ = row.secondaries[2]
    victim = net.names()[operator]
    net.docker("kill", victim)
    net.docker("unpause", "sp0-tasknode")
    detail = net.sealed(f"{BUCKET}/one-dies")
    failed = [secondary for secondary in detail["secondaries"] if secondary["state"] == "FAILED"]
    assert [(each["sp"], each["redundancy_index"]) for each in failed] == [(victim, 2)]
    assert failed[0]["error"]
    assert operator in {row["provider"] for row in detail["history"]}
    holders = {each["sp"] for each in detail["secondaries"] if each["state"] == "DONE"}
    assert holders == SECONDARIES - {victim}
    assert net.get(BUCKET, "one-dies") == sent
    net.docker("start", victim)
    net.until_healthy()


def test_another_task_node_finishes_the_replication_of_a_killed_one(net: Containers) -> None:
    sent = payload(24 * MIB, seed=3)
    frozen_while_replicating(net, "taken-over", sent)
    net.docker("kill", "sp0-tasknode")
    net.docker("start", "sp0-tasknode")
    net.until_healthy()
    detail = net.sealed(f"{BUCKET}/taken-over")
    actors = {row["state"]: row["actor"] for row in detail["history"]}
    assert actors["ALLOC_SECONDARY_DONE"] != actors["REPLICATE_OBJECT_DONE"] == actors["SEAL_OBJECT_DONE"]
    assert net.get(BUCKET, "taken-over") == sent


def test_an_upload_whose_uploader_is_killed_fails_as_a_whole_and_works_the_next_time(net: Containers) -> None:
    sent = payload(24 * MIB, seed=4)
    status = 0
    with net.half_sent(f"/{BUCKET}/cut", sent) as connection:
        with net.reading_jobs() as read:
            states = (read(BUCKET, "cut").state for _ in range(READS))
            assert JobState.UPLOAD_OBJECT_DOING in states, "the upload did not begin"
        net.docker("kill", "sp0-uploader")
        with suppress(ConnectionError):  # as good an answer as any
            connection.send(sent[len(sent) * 5 // 6 :])
            status = connection.getresponse().status
    assert status == 0 or status >= 500
    with pytest.raises(ClientError, match="NoSuchKey"):
        net.get(BUCKET, "cut")
    net.docker("start", "sp0-uploader")
    net.until_healthy()
    put(net, "cut", sent)
    net.sealed(f"{BUCKET}/cut")
    assert net.get(BUCKET, "cut") == sent


def test_removed_containers_come_back_with_all_that_was_in_the_network(net: Containers) -> None:
    sent = payload(20 * MIB, seed=5)
    put(net, "kept", sent)
    net.sealed(f"{BUCKET}/kept")
    height = net.json("sp0-gateway", "sp", "chain", "status")["height"]
    keys = net.json("sp0-signer", "sp", "keys", "show")
    volumes = net.volumes()
    net.down()
    net.up()
    assert net.volumes() == volumes
    assert net.json("sp0-gateway", "sp", "chain", "status")["height"] > height
    assert net.json("sp0-signer", "sp", "keys", "show") == keys
    assert net.get(BUCKET, "kept") == sent
    put(net, "after", b"after")
    net.sealed(f"{BUCKET}/after")
