"""A private PostgreSQL server for tests: its own folder, password and free port, gone when the session ends.

`backends()` is what a contract suite adds to its parameters: it is empty where no PostgreSQL is installed, unless
SP_REQUIRE_POSTGRES=1 makes absence an error (CI sets it), so that leaving it out is never silent and never accidental.
"""

import os
import pwd
import random
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import psutil

START_TIMEOUT_S = 60.0
COMMAND_TIMEOUT_S = 60.0
PORT_ATTEMPTS = 5  # a port found free may be taken before the server binds it
MISSING = "no PostgreSQL server programs (initdb, postgres): apt-get install postgresql"

# Durability is the server's default and stays on: fault tests kill it and expect every committed row back.
SETTINGS = """
listen_addresses = '127.0.0.1'
max_connections = 100
shared_buffers = 32MB
fsync = on
synchronous_commit = on
"""


class PostgresUnavailable(RuntimeError):
    """There is no server to run, or it did not come up; the message is one line that says what to do."""


@cache
def programs() -> Path | None:
    """The folder of the newest installed server's programs: Debian's layout first, then PATH. None: not installed."""
    versions = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    if versions:
        return max(versions, key=lambda path: float(path.parent.name))
    found = shutil.which("initdb")
    return Path(found).resolve().parent if found else None


def required() -> bool:
    return os.environ.get("SP_REQUIRE_POSTGRES") == "1"


def backends() -> tuple[str, ...]:
    """("postgres",) where a contract suite should run against PostgreSQL too, else ()."""
    return ("postgres",) if programs() is not None or required() else ()


def report_line() -> str:
    """One line for the head of a test run, saying whether PostgreSQL takes part."""
    folder = programs()
    return f"postgres: {folder}" if folder else f"postgres: left out, {MISSING}"


@dataclass
class PostgresServer:
    """One server process over one data folder; start() after kill() recovers from the write-ahead log."""

    folder: Path
    programs: Path
    port: int = 0
    password: str = field(default_factory=lambda: secrets.token_hex(16))
    _process: subprocess.Popen[bytes] | None = None
    _databases: int = 0

    def create_database(self) -> str:
        """A fresh, empty database; returns its URL for SQLAlchemy (postgresql+asyncpg://...)."""
        self._databases += 1
        name = f"test_{self._databases}"
        self._run("createdb", *self._connection(), "--template=template0", name)
        return f"postgresql+asyncpg://postgres:{self.password}@127.0.0.1:{self.port}/{name}"

    def drop_database(self, url: str) -> None:
        """Drop a database made here, though a test may have left connections to it open."""
        self._run("dropdb", *self._connection(), "--force", "--if-exists", url.rpartition("/")[2])

    def initialise(self) -> None:
        secret = self.folder / "password"
        secret.write_text(self.password)
        # The unix socket lies in our private folder, so only its owner reaches the `trust` side.
        auth = ("--auth-local=trust", "--auth-host=scram-sha-256", f"--pwfile={secret}")
        layout = ("--no-locale", "--encoding=UTF8", "--no-sync", f"--pgdata={self._data}")
        self._run("initdb", "--username=postgres", *auth, *layout)
        with (self._data / "postgresql.conf").open("a") as config:
            config.write(f"{SETTINGS}unix_socket_directories = '{self.folder}'\n")

    def start(self) -> None:
        """Start on the port this server already has, or on a free one; returns when it accepts connections."""
        assert self._process is None, "already running"
        for attempt in range(1, PORT_ATTEMPTS + 1):
            port = self.port or _free_port()
            try:
                self._spawn(port)
            except PostgresUnavailable:
                if self.port or attempt == PORT_ATTEMPTS:
                    raise
            else:
                self.port = port
                return

    def stop(self, mode: str = "fast") -> None:
        """pg_ctl's modes: `fast` is orderly, does not wait for clients; after `immediate` the start has to recover."""
        self._run("pg_ctl", "stop", f"--mode={mode}", f"--pgdata={self._data}", "--wait")
        self._reap()

    def restart(self) -> None:
        self.stop()
        self.start()

    def kill(self) -> None:
        """Lose power: SIGKILL to the server and all of its processes."""
        assert self._process is not None, "not running"
        server = psutil.Process(self._process.pid)
        for process in [server, *server.children(recursive=True)]:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue  # it followed the server within this loop
        self._reap()

    @property
    def running(self) -> bool:
        return self._process is not None

    @property
    def _data(self) -> Path:
        return self.folder / "pgdata"

    def _connection(self) -> tuple[str, ...]:
        return (f"--host={self.folder}", f"--port={self.port}", "--username=postgres", "--no-password")

    def _spawn(self, port: int) -> None:
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*_tied_to_us(), self.programs / "postgres", "-D", self._data, "-p", str(port)],
                stdout=log,
                stderr=log,
                **self._identity(),
            )
        ready = [str(self.programs / "pg_isready"), "--quiet", f"--host={self.folder}", f"--port={port}"]
        deadline = time.monotonic() + START_TIMEOUT_S
        while subprocess.run(ready, check=False, timeout=COMMAND_TIMEOUT_S).returncode != 0:
            if _has_ended(self._process, within_s=0.02) or time.monotonic() > deadline:
                self._give_up()

    def _give_up(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._reap()
        last = (self.folder / "server.log").read_text(errors="replace").strip().splitlines()[-3:]
        raise PostgresUnavailable(f"PostgreSQL did not start: {' | '.join(last)}")

    def _reap(self) -> None:
        assert self._process is not None
        self._process.wait(COMMAND_TIMEOUT_S)
        self._process = None

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self.programs / program), *arguments]
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S, **self._identity()
        )
        if done.returncode != 0:
            raise PostgresUnavailable(f"{program}: {(done.stderr or done.stdout).strip()}")

    def _identity(self) -> dict[str, Any]:
        """The server refuses to run as root, so root hands it to another account. Keywords for subprocess."""
        keywords: dict[str, Any] = {"cwd": self.folder, "stdin": subprocess.DEVNULL}
        account = _account()
        return keywords | (
            {"user": account, "group": pwd.getpwnam(account).pw_gid, "extra_groups": ()} if account else {}
        )


@contextmanager
def running_server() -> Iterator[PostgresServer]:
    """A server of our own until exit, whatever state a test left it in."""
    found = programs()
    if found is None:
        raise PostgresUnavailable(MISSING)
    # Not below pytest's folder: that one is closed to other accounts, and a socket's path is short.
    with tempfile.TemporaryDirectory(prefix="sp-pg-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        if account := _account():
            shutil.chown(folder, account)
        server = PostgresServer(folder, found)
        server.initialise()
        try:
            server.start()
            yield server
        finally:
            if server.running:
                server.kill()


@cache
def _account() -> str | None:
    """The account that runs the server: None is ours."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def _tied_to_us() -> list[str]:
    """A prefix that stops the server should the test process be killed; where the system has none, nothing."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "QUIT", "--"] if setpriv else []


def _has_ended(process: subprocess.Popen[bytes], within_s: float) -> bool:
    try:
        process.wait(within_s)
    except subprocess.TimeoutExpired:
        return False
    return True


def _free_port() -> int:
    """Below the ephemeral ports, which outgoing connections take at any moment."""
    for port in random.sample(range(10_000, 32_000), 1000):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no free port")
