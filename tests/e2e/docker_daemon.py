"""A Docker engine for the end-to-end tests: the one that already answers, or a private one started for the session.

An engine that answers is used if it has the base image or can pull it. Otherwise root starts a private `dockerd` with
its own socket, data, bridge and containerd, so that a machine with Docker installed but not running, or without a
registry in reach, needs no preparation: the base image is then made from Debian's archive with debootstrap.
What is slow to make (the base system, image layers) is kept in $SP_E2E_CACHE, by default ~/.cache/greenfield-sp-e2e;
remove that folder to renew it. Afterwards the host differs from before only in what any dockerd leaves: packet filter
chains named DOCKER*, and IP forwarding switched on.

    python -m tests.e2e.docker_daemon     keeps an engine up until Ctrl-C and says how to reach it
"""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

BASE_IMAGE = "python:3.11-slim-bookworm"
BASE_PACKAGES = ("python3", "python3-venv", "ca-certificates")
CERTIFICATES = Path("etc/ssl/certs/ca-certificates.crt")
BRIDGE, BRIDGE_ADDRESS = "spe2e0", "10.213.94.1/24"
LOCK = Path("/run/greenfield-sp-e2e.lock")  # one for the host: two daemons would undo each other's packet filter

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 60.0
COMMAND_TIMEOUT_S = 120.0
PULL_TIMEOUT_S = 180.0
BUILD_TIMEOUT_S = 900.0


class EngineUnavailable(RuntimeError):
    """No Docker engine can be had here; the message is one line that says what to do."""


@dataclass(frozen=True)
class Engine:
    """Docker at one address. Commands raise CalledProcessError, with the output in it, when they fail."""

    host: str  # what DOCKER_HOST says: unix:///...

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {"DOCKER_HOST": self.host}

    def docker(self, *arguments: str, timeout_s: float = COMMAND_TIMEOUT_S) -> str:
        """Run one `docker` command; returns its standard output, stripped."""
        return self._run(["docker", *arguments], timeout_s)

    def compose(self, *arguments: str, timeout_s: float = BUILD_TIMEOUT_S) -> str:
        """Run one command of Docker Compose, of either generation; returns its standard output, stripped."""
        return self._run([*self.compose_command, *arguments], timeout_s)

    @cached_property
    def compose_command(self) -> tuple[str, ...]:
        if self.succeeds("compose", "version"):
            return ("docker", "compose")
        if shutil.which("docker-compose"):
            return ("docker-compose",)
        raise EngineUnavailable("Docker Compose is missing: apt-get install docker-compose")

    def succeeds(self, *arguments: str, timeout_s: float = COMMAND_TIMEOUT_S) -> bool:
        command = ["docker", *arguments]
        quiet = subprocess.DEVNULL
        try:
            done = subprocess.run(
                command, env=self.environment, stdout=quiet, stderr=quiet, timeout=timeout_s, check=False
            )
        except subprocess.TimeoutExpired:
            return False
        return done.returncode == 0

    def answers(self) -> bool:
        return self.succeeds("version", timeout_s=10)

    def has_base_image(self) -> bool:
        """True if the base image is here or could be pulled."""
        return self.succeeds("image", "inspect", BASE_IMAGE) or self.succeeds(
            "pull", BASE_IMAGE, timeout_s=PULL_TIMEOUT_S
        )

    def _run(self, command: Sequence[str], timeout_s: float) -> str:
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=timeout_s, check=False
        )
        if done.returncode != 0:
            output = f"{done.stdout}{done.stderr}".strip()
            raise subprocess.CalledProcessError(done.returncode, f"{' '.join(command)}\n{output}")
        return done.stdout.strip()


@contextmanager
def running_engine(cache: Path | None = None) -> Iterator[Engine]:
    """An engine that has the base image, until exit."""
    if shutil.which("docker") is None:
        raise EngineUnavailable("Docker is missing: apt-get install docker.io docker-compose")
    present = Engine(_configured_host())
    if present.answers() and present.has_base_image():
        yield present
        return
    with _private_engine(cache or cache_folder()) as engine:
        yield engine


def cache_folder() -> Path:
    return Path(os.environ.get("SP_E2E_CACHE") or Path.home() / ".cache" / "greenfield-sp-e2e")


def _configured_host() -> str:
    """The address the docker command itself would use: DOCKER_HOST, or that of its current context."""
    shown = subprocess.run(
        ["docker", "context", "inspect"], capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S, check=True
    )
    host: str = json.loads(shown.stdout)[0]["Endpoints"]["docker"]["Host"]
    return os.environ.get("DOCKER_HOST") or host


@contextmanager
def _private_engine(cache: Path) -> Iterator[Engine]:
    missing = [name for name in ("dockerd", "debootstrap", "ip", "setpriv") if shutil.which(name) is None]
    if os.geteuid() != 0 or missing:
        need = f"missing: {', '.join(missing)}" if missing else "only root can start one"
        raise EngineUnavailable(f"no Docker engine with {BASE_IMAGE} answers, and a private one cannot start: {need}")
    cache.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        lock = stack.enter_context(exclusive(LOCK))
        run = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sp-docker-", ignore_cleanup_errors=True)))
        stack.enter_context(_bridge())
        engine = stack.enter_context(_daemon(run, cache, lock))
        _sweep(engine)  # what a killed session left
        if not engine.has_base_image():
            _import_base(engine, cache)
        stack.callback(_sweep, engine)
        yield engine


@contextmanager
def exclusive(lock: Path) -> Iterator[int]:
    """Hold a file lock; yields its descriptor: who inherits that holds the lock with us."""
    with lock.open("w") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise EngineUnavailable(f"another run keeps a private Docker engine up ({lock}): wait for it") from None
        yield held.fileno()


@contextmanager
def _bridge() -> Iterator[None]:
    """A bridge of our own, so that the docker0 of an engine that runs already stays as it is."""
    if not Path("/sys/class/net", BRIDGE).exists():  # a killed session left it
        _command("ip", "link", "add", "name", BRIDGE, "type", "bridge")
    try:
        _command("ip", "address", "replace", BRIDGE_ADDRESS, "dev", BRIDGE)
        _command("ip", "link", "set", BRIDGE, "up")
        yield
    finally:
        _command("ip", "link", "delete", BRIDGE)


@contextmanager
def _daemon(run: Path, cache: Path, lock: int) -> Iterator[Engine]:
    """dockerd until exit. It also ends when this process is killed, and keeps the lock until it has ended."""
    engine = Engine(f"unix://{run}/docker.sock")
    folders = [f"--data-root={cache}/docker", f"--exec-root={run}/exec", f"--pidfile={run}/docker.pid"]
    options = [f"--bridge={BRIDGE}", f"--mtu={_uplink_mtu()}", "--shutdown-timeout=5"]
    command = ["setpriv", "--pdeathsig", "TERM", "--", "dockerd", f"--host={engine.host}", *folders, *options]
    log = cache / "dockerd.log"
    with log.open("wb") as output:
        daemon = subprocess.Popen(command, stdout=output, stderr=output, pass_fds=[lock], start_new_session=True)
    try:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not engine.answers():
            if _ended(daemon, within_s=0.1) or time.monotonic() > deadline:
                raise EngineUnavailable(f"dockerd did not come up, see {log}: {_last_line(log)}")
        yield engine
    finally:
        daemon.terminate()
        if not _ended(daemon, within_s=STOP_TIMEOUT_S):
            daemon.kill()
            daemon.wait()


def _sweep(engine: Engine) -> None:
    """Remove every container, network, volume and dangling layer of the private engine; tagged images stay."""
    containers = engine.docker("ps", "--all", "--quiet").split()
    if containers:
        engine.docker("rm", "--force", "--volumes", *containers)
    volumes = engine.docker("volume", "ls", "--quiet").split()
    if volumes:
        engine.docker("volume", "rm", "--force", *volumes)
    engine.docker("network", "prune", "--force")
    engine.docker("image", "prune", "--force")


def _import_base(engine: Engine, cache: Path) -> None:
    """Give the engine a base image made from Debian's archive, trusting the certificates this host trusts."""
    archive = cache / "base.tar"
    if not archive.exists():
        _make_base(archive)
    trust = f"ENV PIP_CERT=/{CERTIFICATES}"
    engine.docker("import", "--change", trust, str(archive), BASE_IMAGE, timeout_s=BUILD_TIMEOUT_S)


def _make_base(archive: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="base-", dir=archive.parent) as name:
        root = Path(name) / "root"
        include = f"--include={','.join(BASE_PACKAGES)}"
        _command("debootstrap", "--variant=minbase", include, "bookworm", str(root), timeout_s=BUILD_TIMEOUT_S)
        shutil.copyfile(Path("/") / CERTIFICATES, root / CERTIFICATES)
        leave_out = ("--exclude=./var/cache/apt/*", "--exclude=./var/lib/apt/lists/*", "--exclude=./dev/*")
        whole = Path(name) / "base.tar"
        _command("tar", "--numeric-owner", *leave_out, "-C", str(root), "-cf", str(whole), ".")
        whole.replace(archive)  # whole or not at all: an interrupted run leaves no half archive


def _uplink_mtu() -> int:
    """Bytes of the largest packet that leaves this host by its default route; containers must not exceed it."""
    for line in Path("/proc/net/route").read_text().splitlines()[1:]:
        interface, destination, *_ = line.split()
        if destination == "00000000":
            return int(Path(f"/sys/class/net/{interface}/mtu").read_text())
    return 1500


def _command(*command: str, timeout_s: float = COMMAND_TIMEOUT_S) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)
    if done.returncode != 0:
        raise EngineUnavailable(f"{' '.join(command)}: {(done.stderr or done.stdout).strip()[-400:]}")


def _ended(process: subprocess.Popen[bytes], within_s: float) -> bool:
    try:
        process.wait(within_s)
    except subprocess.TimeoutExpired:
        return False
    return True


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"


def main() -> None:
    signals = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        with running_engine() as engine:
            print(f"export DOCKER_HOST={engine.host}", flush=True)
            signal.sigwait(signals)
    except EngineUnavailable as unavailable:
        sys.exit(str(unavailable))


if __name__ == "__main__":
    main()
