"""The network of docker-compose.yml, driven from outside as a user and an operator would."""

import http.client
import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from gateway.request import RequestHead
from gateway.sign import sign_sigv4
from tests.e2e.docker_daemon import Engine

HEALTHY_TIMEOUT_S = 120.0
SEAL_TIMEOUT_S = 90.0
STEPS = 2000

JOB_OF = """
import json, sqlite3, sys
db = sqlite3.connect("file:spdb.sqlite?mode=ro", uri=True)
for line in sys.stdin:
    bucket, name = json.loads(line)
    job = db.execute("SELECT id, state FROM jobs WHERE bucket = ? AND object_name = ? ORDER BY id DESC", (bucket, name))
    job_id, state = job.fetchone() or (0, -1)
    rows = db.execute("SELECT provider, state FROM secondaries WHERE job_id = ? ORDER BY ordinal", (job_id,))
    print(json.dumps({"state": state, "secondaries": rows.fetchall()}), flush=True)
"""
"""Reads sp0's database beside its services: it answers though a service is frozen."""


@dataclass(frozen=True)
class JobRow:
    """state: a JobState, -1 for no job; secondaries: operator address and SecondaryState"""

    state: int
    secondaries: list[tuple[str, int]]


@dataclass(frozen=True)
class Containers:
    """A compose project. Commands raise CalledProcessError, with the output in it, when they fail."""

    engine: Engine
    project: str
    compose_file: Path
    env_file: Path

    def compose(self, *words: str, timeout_s: float = 300.0) -> str:
        files = ("--file", str(self.compose_file), "--env-file", str(self.env_file))
        return self.engine.compose("--project-name", self.project, *files, *words, timeout_s=timeout_s)

    def up(self) -> None:
        self.compose("up", "--detach", "--no-build")
        self.until_healthy()

    def down(self, *words: str) -> None:
        self.compose("down", "--timeout", "30", *words)

    def execute(self, service: str, *command: str, timeout_s: float = SEAL_TIMEOUT_S) -> str:
        return self.compose("exec", "-T", service, *command, timeout_s=timeout_s)

    def json(self, service: str, *command: str) -> Any:
        return json.loads(self.execute(service, *command, "--json"))

    def container(self, service: str) -> str:
        """Its id, whether it runs or not."""
        (found,) = self._ids("--filter", f"label=com.docker.compose.service={service}")
        return found

    def docker(self, action: str, service: str) -> None:
        self.engine.docker(action, self.container(service))

    def inspect(self) -> dict[str, Any]:
        """What the engine says of every container, by service."""
        described = json.loads(self.engine.docker("inspect", *self._ids()))
        return {each["Config"]["Labels"]["com.docker.compose.service"]: each for each in described}

    def until_healthy(self) -> None:
        """Returns when every running container with a health check is healthy; fails after HEALTHY_TIMEOUT_S."""
        project = f"label=com.docker.compose.project={self.project}"
        watch = ["docker", "events", "--filter", "event=health_status", "--filter", project]
        with subprocess.Popen(watch, stdout=subprocess.PIPE, text=True, env=self.engine.environment) as events:
            timer = threading.Timer(HEALTHY_TIMEOUT_S, events.kill)
            timer.start()
            try:
                while waiting := self._not_healthy():
                    assert events.stdout is not None
                    assert events.stdout.readline(), f"not healthy after {HEALTHY_TIMEOUT_S} s: {waiting}"
            finally:
                timer.cancel()
                events.kill()

    def logs(self) -> str:
        return self.compose("logs", "--no-color", "--tail", "60")

    # --- as a user

    @cached_property
    def account(self) -> dict[str, str]:
        found: dict[str, str] = self.json("sp1", "sp", "testnet", "account")
        return found

    def gateway(self, service: str = "sp0-gateway") -> str:
        """host:port on this host; another port after each start of the container."""
        return self.compose("port", service, "9033")

    @contextmanager
    def half_sent(self, path: str, body: bytes) -> Iterator[http.client.HTTPConnection]:
        """A PUT of which the gateway has the head and 5/6 of the body; signed like any other."""
        host = self.gateway()
        head = RequestHead("PUT", path, "", (("host", host), ("content-length", str(len(body)))))
        keys = self.account["access_key_id"], self.account["secret_access_key"]
        signature = sign_sigv4(head, *keys, int(time.time()), region=self.account["region"], payload=None)
        with closing(http.client.HTTPConnection(host, timeout=60)) as connection:
            connection.putrequest("PUT", path, skip_host=True)
            for name, value in (*head.headers, *signature):
                connection.putheader(name, value)
            connection.endheaders(body[: len(body) * 5 // 6])
            yield connection

    def s3(self, service: str = "sp0-gateway") -> Any:
        """A boto3 client."""
        return boto3.session.Session().client(
            "s3",
            endpoint_url=f"http://{self.gateway(service)}",
            region_name=self.account["region"],
            aws_access_key_id=self.account["access_key_id"],
            aws_secret_access_key=self.account["secret_access_key"],
            config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1}, proxies={}, read_timeout=60),
        )

    def get(self, bucket: str, key: str) -> bytes:
        with self.s3().get_object(Bucket=bucket, Key=key)["Body"] as body:
            payload: bytes = body.read()
        return payload

    # --- as an operator of sp0

    def sealed(self, target: str) -> dict[str, Any]:
        """The job of BUCKET/KEY, followed until it is sealed; fails when it is given up."""
        self.execute("sp0-gateway", "sp", "jobs", "watch", target)
        detail: dict[str, Any] = self.json("sp0-tasknode", "sp", "jobs", "show", target)
        return detail

    def names(self) -> dict[str, str]:
        """Of the other SPs, by operator address."""
        return {peer["operator"]: peer["moniker"] for peer in self.json("sp0-p2p", "sp", "peers")}

    @contextmanager
    def reading_jobs(self) -> Iterator[Callable[[str, str], JobRow]]:
        """A function that reads the newest job of a bucket and key from sp0's database."""
        command = ["docker", "exec", "-i", self.container("sp0-gateway"), "python", "-c", JOB_OF]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        with subprocess.Popen(command, env=self.engine.environment, **pipes) as reader:
            assert reader.stdin is not None
            assert reader.stdout is not None
            asked, answers = reader.stdin, reader.stdout

            def read(bucket: str, key: str) -> JobRow:
                print(json.dumps([bucket, key]), file=asked, flush=True)
                found = json.loads(answers.readline())
                return JobRow(found["state"], [(provider, state) for provider, state in found["secondaries"]])

            yield read

    def step(self, service: str, read: Callable[[], JobRow], there: Callable[[JobRow], bool]) -> JobRow:
        """Let a frozen container run in slices of some milliseconds until `there`, and leave it frozen at that point:
        what happens next does not depend on how fast this machine is."""
        container = self.container(service)
        for _ in range(STEPS):
            row = read()
            if there(row):
                return row
            self.engine.docker("unpause", container)
            self.engine.docker("pause", container)
        raise AssertionError(f"still {row} after {STEPS} steps")

    def volumes(self) -> list[str]:
        listed = self.engine.docker(
            "volume", "ls", "--quiet", "--filter", f"label=com.docker.compose.project={self.project}"
        )
        return listed.split()

    def _not_healthy(self) -> list[str]:
        states = {service: each["State"] for service, each in self.inspect().items() if each["State"]["Running"]}
        return [service for service, state in states.items() if state["Health"]["Status"] != "healthy"]

    def _ids(self, *words: str) -> Sequence[str]:
        project = f"label=com.docker.compose.project={self.project}"
        return self.engine.docker("ps", "--all", "--no-trunc", "--quiet", "--filter", project, *words).split()
