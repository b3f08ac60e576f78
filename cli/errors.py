"""What can go wrong at the command line beyond what the services report."""

from __future__ import annotations

from dataclasses import dataclass

from sp.domain.errors import Kind, SpError


@dataclass(eq=False)
class NoTestnet(SpError):
    """There is no test network here: start one with `sp testnet up`, or say where it is with --dir."""

    kind = Kind.NOT_FOUND
    dir: str


@dataclass(eq=False)
class NetworkDiffers(SpError):
    """The test network in this folder was made otherwise; take another folder, or remove this one."""

    kind = Kind.CONFLICT
    what: str
    present: str
    wanted: str


@dataclass(eq=False)
class NoSuchProcess(SpError):
    """The test network has no SP or process of this name."""

    kind = Kind.NOT_FOUND
    name: str
    known: str


@dataclass(eq=False)
class ProcessFailed(SpError):
    """A process ended, or was not ready in time; its last words are below, the rest is in its log."""

    kind = Kind.UNAVAILABLE
    name: str
    why: str
    log: str
    last_lines: str

    def __str__(self) -> str:
        indented = "".join(f"\n  {line}" for line in self.last_lines.splitlines())
        return f"{self.name} {self.why}; the rest is in {self.log}{indented}"


@dataclass(eq=False)
class NoFreePorts(SpError):
    """There are not enough free TCP ports."""

    kind = Kind.BUSY
    wanted: int
    found: int


@dataclass(eq=False)
class RequestRefused(SpError):
    """The gateway refused the request."""

    kind = Kind.INVALID
    status: int
    code: str
    message: str


@dataclass(eq=False)
class NotReached(SpError):
    """The gateway could not be reached, or the connection broke."""

    kind = Kind.UNAVAILABLE
    endpoint: str
    reason: str


@dataclass(eq=False)
class NotSealed(SpError):
    """The object is stored, but it was not sealed."""

    kind = Kind.UNAVAILABLE
    state: str
    reason: str


@dataclass(eq=False)
class FileFailed(SpError):
    """A local file could not be read or written."""

    kind = Kind.INVALID
    path: str
    reason: str


@dataclass(eq=False)
class NoCredentials(SpError):
    """--endpoint needs AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment."""

    kind = Kind.DENIED


@dataclass(eq=False)
class WrongBytes(SpError):
    """The object that was read back is not the file that was put."""

    kind = Kind.CORRUPT
    sent_sha256: str
    read_sha256: str


@dataclass(eq=False)
class BenchFailed(SpError):
    """A workload cannot be measured."""

    kind = Kind.UNAVAILABLE
    workload: str
    why: str
