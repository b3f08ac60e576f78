"""Where gRPC listens: "unix:/absolute/path.sock" or "host:port"."""

from __future__ import annotations

import socket
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from sp.domain.errors import ConfigError

SOCKET_PATH_MAX_BYTES: Final = 107
"""sizeof(sockaddr_un.sun_path) on Linux, less its closing zero."""


def socket_path(address: str) -> Path | None:
    """The path of a unix address, None for host:port."""
    return Path(address.removeprefix("unix:")) if address.startswith("unix:") else None


def checked_address(address: str) -> str:
    """The address as it is; ConfigError when it can be none."""
    path = socket_path(address)
    if path is not None:
        size_bytes = len(str(path).encode())
        if size_bytes > SOCKET_PATH_MAX_BYTES:
            reason = (
                f"{size_bytes} bytes; a socket's path has at most {SOCKET_PATH_MAX_BYTES}: choose a shorter [sp] dir"
            )
            raise ConfigError(address, reason)
        return address
    host, colon, port = address.rpartition(":")
    if not (colon and host and port.isascii() and port.isdigit() and int(port) < 65536):
        raise ConfigError(address, 'an address is "unix:path" or "host:port"')
    return address


def only_this_host(address: str) -> bool:
    """Whether nobody on another host can reach it: a unix socket, or a loopback address."""
    if socket_path(address) is not None:
        return True
    name = address.rpartition(":")[0].strip("[]")
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


def prepare_socket(path: Path) -> None:
    """Make the folder (only for this user) and see that no living process listens here: gRPC would silently take the
    socket over from it. What a killed process left behind may be taken over. ConfigError."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not path.exists():
        return
    if not path.is_socket():
        raise ConfigError(f"unix:{path}", "exists and is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return
        except BlockingIOError:
            pass  # its queue is full: somebody listens
    raise ConfigError(f"unix:{path}", "another process listens here")


def inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return None


def remove_socket(path: Path, own_inode: int | None) -> None:
    """Remove our socket, unless a later process has put its own in the place."""
    if own_inode is not None and inode(path) == own_inode:
        path.unlink(missing_ok=True)
