"""What the client does while a process dies, and what must be true of its object in the end."""

from __future__ import annotations

import http.client
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from functools import partial
from random import Random
from typing import Any, Final, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from sp.domain.lifecycle import FINAL, JobState
from tests.e2e import http_put
from tests.e2e.matrix import cells
from tests.e2e.matrix.network import SEGMENT, MatrixNetwork, eventually
from tests.e2e.processes import environment

T = TypeVar("T")

SIZE: Final = 3 * SEGMENT + 99
SMALL: Final = 4096
PARTS: Final = (2 * SEGMENT + 7, SEGMENT + 1)
UNANSWERED: Final = (BotoCoreError, ClientError)
SETTLED_S: Final = 90.0


class Scenario(ABC):
    """One object's: prepare, then `act` while the process dies, then `recover` when it has been started again."""

    def __init__(self, network: MatrixNetwork, primary: str, name: str) -> None:
        self.network = network
        self.primary = primary
        self.bucket = "first" if primary == "sp0" else "second"
        self.name = name
        self.body = self.bytes_of("new", SIZE)
        self.s3 = network.s3(primary)
        self.acknowledged = False
        self.certain = primary == "sp0"  # else it is a matter of chance whether sp0 is chosen
        self.applicable = True

    @property
    def lasting(self) -> bytes | None:
        """What the name means from then on."""
        return self.body

    def bytes_of(self, which: str, size: int) -> bytes:
        return Random(f"{which} {self.name}").randbytes(size)

    @abstractmethod
    def prepare(self) -> None:
        """Before the point is armed."""

    @abstractmethod
    def act(self) -> None:
        """In a thread of its own. What the network's failure brings is expected, and is no exception here."""

    @abstractmethod
    def recover(self) -> None:
        """What a client does that was not answered, and what must be true then. Nothing that was acknowledged may be
        missing before it."""

    # --- for all of them

    def put(self, body: bytes) -> None:
        self.s3.put_object(Bucket=self.bucket, Key=self.name, Body=body)

    def read(self) -> bytes | None:
        """None: there is no such object. Asked until the network answers; an answer that breaks off is none."""

        def answer() -> tuple[bytes | None] | None:
            try:
                return (bytes(self.s3.get_object(Bucket=self.bucket, Key=self.name)["Body"].read()),)
            except ClientError as error:
                return (None,) if error.response["Error"]["Code"] == "NoSuchKey" else None
            except BotoCoreError:
                return None

        answered: tuple[bytes | None] = eventually(answer, f"a read of {self.name} is answered")
        return answered[0]

    def try_once(self, request: Callable[[], object]) -> bool:
        """Whether it was acknowledged."""
        try:
            request()
        except UNANSWERED:
            return False
        return True

    def insist(self, request: Callable[[], object], what: str) -> None:
        eventually(lambda: self.try_once(request), f"{what} is acknowledged", SETTLED_S, 0.1)

    def sealed(self) -> None:
        """Every job of the name has ended, the newest in its seal; it reads back as it was put."""

        def ended() -> bool:
            jobs = self.network.jobs(self.primary, self.name)
            assert not any(job.given_up for job in jobs), f"given up: {jobs}"
            return bool(jobs) and all(job.state in FINAL for job in jobs) and _current(jobs) is not None

        eventually(ended, f"{self.name} is sealed: {self.network.jobs(self.primary, self.name)}", SETTLED_S)
        assert self.read() == self.body
        head = self.s3.head_object(Bucket=self.bucket, Key=self.name)
        assert head["ResponseMetadata"]["HTTPHeaders"]["x-sp-object-status"] == "SEALED"

    def current_job(self) -> Any:
        job = _current(self.network.jobs(self.primary, self.name))
        assert job is not None
        return job


def _current(jobs: list[Any]) -> Any:
    return next((job for job in reversed(jobs) if job.state is JobState.SEAL_OBJECT_DONE and job.kept), None)


class Put(Scenario):
    before: bytes | None = None
    """What the name meant before; None: nothing."""

    def prepare(self) -> None:
        pass

    def act(self) -> None:
        self.acknowledged = self.try_once(lambda: self.put(self.body))

    def recover(self) -> None:
        found = self.read()
        if self.acknowledged:
            assert found == self.body, "an acknowledged put is lost"
        else:
            assert found in (self.before, self.body), "neither the old object nor the new one"
            self.insist(lambda: self.put(self.body), "the second put")
        self.sealed()


class SmallPut(Put):
    """Row and payload are one transaction."""

    def __init__(self, network: MatrixNetwork, primary: str, name: str) -> None:
        super().__init__(network, primary, name)
        self.body = self.bytes_of("new", SMALL)


class LargePut(Put):
    def __init__(self, network: MatrixNetwork, primary: str, name: str) -> None:
        super().__init__(network, primary, name)
        self.body = self.bytes_of("new", (3 << 20) + 99)


class FirstPut(Put):
    """The gateway has no signing key yet, so it asks the signer for it."""

    def prepare(self) -> None:
        self.network.kill("sp0-gateway")
        self.network.start("sp0-gateway")


class Overwrite(Put):
    old_size = SIZE + SEGMENT

    def prepare(self) -> None:
        self.before = self.bytes_of("old", self.old_size)
        new, self.body = self.body, self.before
        self.insist(lambda: self.put(self.body), "the first put")
        self.sealed()
        self.held = self.network.piece_paths("sp0", self.current_job().object_id)
        self.certain, self.applicable = True, self.primary == "sp0" or bool(self.held)
        self.body = new


class SmallOverwrite(Overwrite):
    old_size = SMALL + 1

    def __init__(self, network: MatrixNetwork, primary: str, name: str) -> None:
        super().__init__(network, primary, name)
        self.body = self.bytes_of("new", SMALL)


class Multipart(Scenario):
    """A client that asks again until it is answered, as S3 clients do."""

    def __init__(self, network: MatrixNetwork, primary: str, name: str) -> None:
        super().__init__(network, primary, name)
        self.parts = [self.bytes_of(f"part {number}", size) for number, size in enumerate(PARTS)]
        self.body = b"".join(self.parts)

    def prepare(self) -> None:
        pass

    def act(self) -> None:
        where = {"Bucket": self.bucket, "Key": self.name}
        upload = self.answered(lambda: self.s3.create_multipart_upload(**where), "a new upload")["UploadId"]
        numbered = []
        for number, part in enumerate(self.parts, 1):
            send = partial(self.s3.upload_part, **where, UploadId=upload, PartNumber=number, Body=part)
            stored = self.answered(send, f"part {number}")
            numbered.append({"PartNumber": number, "ETag": stored["ETag"]})
        done = {"Parts": numbered}
        self.answered(
            lambda: self.s3.complete_multipart_upload(**where, UploadId=upload, MultipartUpload=done), "the completion"
        )
        self.acknowledged = True

    def answered(self, request: Callable[[], T], what: str) -> T:
        def answer() -> T | None:
            try:
                return request()
            except UNANSWERED:
                return None

        result: T = eventually(answer, f"{what} is acknowledged", SETTLED_S, 0.1)
        return result

    def recover(self) -> None:
        assert self.acknowledged
        self.sealed()
        for upload in self.s3.list_multipart_uploads(Bucket=self.bucket).get("Uploads", []):
            # made, but its client never heard of it: as with S3, whoever lists it aborts it
            self.s3.abort_multipart_upload(Bucket=self.bucket, Key=upload["Key"], UploadId=upload["UploadId"])


class Abort(Scenario):
    """The client leaves in the middle of its body."""

    def prepare(self) -> None:
        pass

    def act(self) -> None:
        def body() -> Iterator[bytes]:
            yield from http_put.repeated(self.body, 8 * len(self.body))
            eventually(self.some_segments, "some segments are stored")
            raise ConnectionAbortedError("the client leaves")

        account = self.network.testnet.account
        info = {
            "sps": [{"gateway": self.network.testnet.sp(self.primary).gateway}],
            "account": {
                "access_key_id": account.access_key_id,
                "secret_access_key": account.secret_access_key,
                "region": account.region,
            },
        }
        try:
            http_put.put(info, f"/{self.bucket}/{self.name}", body(), 16 * len(self.body))
        except (OSError, http.client.HTTPException):
            return
        raise AssertionError("half a body was answered")

    def some_segments(self) -> bool:
        jobs = self.network.jobs(self.primary, self.name)
        return bool(jobs) and len(self.network.segment_paths(self.primary, jobs[-1].id)) >= 4

    def recover(self) -> None:
        eventually(lambda: not self.network.jobs(self.primary, self.name), "the broken upload is collected", SETTLED_S)
        assert self.read() is None

    @property
    def lasting(self) -> bytes | None:
        return None


class Delete(Overwrite):
    """Of what Overwrite has prepared."""

    @property
    def lasting(self) -> bytes | None:
        return None

    def delete(self) -> None:
        self.s3.delete_object(Bucket=self.bucket, Key=self.name)

    def act(self) -> None:
        self.acknowledged = self.try_once(self.delete)

    def recover(self) -> None:
        found = self.read()
        if self.acknowledged:
            assert found is None, "an acknowledged delete is undone"
        else:
            assert found in (None, self.before)
            self.insist(self.delete, "the second delete")
            assert self.read() is None


class Read(Overwrite):
    def prepare(self) -> None:
        super().prepare()
        assert self.before is not None
        self.body = self.before

    def act(self) -> None:
        self.acknowledged = self.try_once(self.read_once)

    def read_once(self) -> None:
        """A body that breaks off is no answer; one that comes is the object."""
        found = self.s3.get_object(Bucket=self.bucket, Key=self.name)["Body"].read()
        assert found == self.body, "wrong bytes"

    def recover(self) -> None:
        assert self.read() == self.body


class Rebuild(Read):
    def prepare(self) -> None:
        super().prepare()
        self.lost = self.network.segment_paths("sp0", self.current_job().id)[1]
        self.lost.write_bytes(self.lost.read_bytes()[:-1] + b"?")

    def recover(self) -> None:
        super().recover()
        assert self.lost.read_bytes() == self.body[SEGMENT : 2 * SEGMENT]


class Mend(Read):
    """sp0 has lost a piece of an object of sp1, and its operator says `sp repair`."""

    def prepare(self) -> None:
        super().prepare()
        if self.held:
            self.lost = self.held[0]
            self.whole = self.lost.read_bytes()
            self.lost.write_bytes(self.whole[:-1] + b"?")

    def act(self) -> None:
        self.acknowledged = self.repair() == 0

    def repair(self) -> int:
        words = [sys.executable, "-m", "cli.main", "repair", "--all", "--sp", "sp0"]
        done = subprocess.run(
            [*words, "--dir", str(self.network.testnet.dir)], capture_output=True, timeout=90, env=environment()
        )
        return done.returncode

    def recover(self) -> None:
        super().recover()
        if not self.acknowledged:
            assert self.repair() == 0
        assert self.lost.read_bytes() == self.whole


SCENARIOS: Final[dict[cells.Scenario, type[Scenario]]] = {
    cells.Scenario.PUT: Put,
    cells.Scenario.SMALL_PUT: SmallPut,
    cells.Scenario.LARGE_PUT: LargePut,
    cells.Scenario.FIRST_PUT: FirstPut,
    cells.Scenario.OVERWRITE: Overwrite,
    cells.Scenario.SMALL_OVERWRITE: SmallOverwrite,
    cells.Scenario.MULTIPART: Multipart,
    cells.Scenario.ABORT: Abort,
    cells.Scenario.DELETE: Delete,
    cells.Scenario.READ: Read,
    cells.Scenario.REBUILD: Rebuild,
    cells.Scenario.MEND: Mend,
}
