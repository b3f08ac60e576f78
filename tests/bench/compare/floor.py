"""The floor: what any server has to do with the bytes, and nothing else.

    PUT /plain/NAME    receive | sha256 and write to files of 16 MiB, in a second thread (F)
    PUT /synced/NAME   the same, fdatasync before each file is renamed (Fd)
    GET /NAME          read and sha256 in a second thread | send
    GET /serial/NAME   read, sha256, send, one after the other, 1 MiB at a time
    DELETE /           remove everything
    PUT /discard/NAME  receive only

HTTP/1.1 just enough for cli.bench.load, so that the floor and all servers have the same client. `python -m
tests.bench.compare.floor FOLDER` prints its port.
"""

from __future__ import annotations

import hashlib
import os
import re
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from queue import SimpleQueue

from sp.runtime.malloc import tune_malloc

MIB = 1 << 20
SEGMENT = 16 * MIB
BUFFERS = 4
"""1 MiB each: what the receiver may be ahead of the writer."""

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_OK = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n"


class Writer:
    """The second thread: hashes and writes what it is given, in files of 16 MiB."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.free: SimpleQueue[bytearray] = SimpleQueue()
        for _ in range(BUFFERS):
            self.free.put(bytearray(MIB))
        self._full: SimpleQueue[tuple[bytearray, int] | None] = SimpleQueue()
        self._done: SimpleQueue[bool] = SimpleQueue()
        self._object: tuple[str, bool, bool] = ("", False, False)
        threading.Thread(target=self._run, daemon=True).start()

    def begin(self, name: str, *, keep: bool, sync: bool) -> None:
        self._object = (name, keep, sync)

    def put(self, buffer: bytearray, size: int) -> None:
        self._full.put((buffer, size))

    def finish(self) -> None:
        """All of the object is written when it returns."""
        self._full.put(None)
        self._done.get()

    def _run(self) -> None:
        while True:
            self._object_written()
            self._done.put(True)

    def _object_written(self) -> None:
        file, segment, written = -1, 0, 0
        digest = hashlib.sha256()
        while (chunk := self._full.get()) is not None:
            buffer, size = chunk
            name, keep, _ = self._object
            if keep:
                if file < 0:
                    file = os.open(self._folder / f"{name}.{segment}.tmp", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
                view = memoryview(buffer)[:size]
                digest.update(view)
                os.write(file, view)
                written += size
                if written == SEGMENT:
                    self._end_file(file, segment)
                    file, segment, written, digest = -1, segment + 1, 0, hashlib.sha256()
            self.free.put(buffer)
        if file >= 0:
            self._end_file(file, segment)

    def _end_file(self, file: int, segment: int) -> None:
        name, _, sync = self._object
        if sync:
            os.fdatasync(file)
        os.close(file)
        (self._folder / f"{name}.{segment}.tmp").rename(self._folder / f"{name}.{segment}")


class Connection:
    def __init__(self, file: socket.socket, folder: Path) -> None:
        self._file = file
        self._folder = folder
        self._writer = Writer(folder)

    def serve(self) -> None:
        with closing(self._file), suppress(ConnectionError):
            while (head := self._head()) is not None:
                line, rest = head
                method, path = line.split(b" ", 2)[:2]
                kind, _, name = path.decode().strip("/").rpartition("/")
                if method == b"PUT":
                    length = _LENGTH.search(line)
                    self._receive(kind, name, int(length.group(1)) if length else 0, rest)
                elif method == b"GET":
                    self._send(name, serial=kind == "serial")
                else:
                    for file in self._folder.iterdir():
                        file.unlink()
                    self._file.sendall(_OK % 0)

    def _head(self) -> tuple[bytes, bytes] | None:
        """A request's head, and what came of its body with it."""
        received = b""
        while b"\r\n\r\n" not in received:
            more = self._file.recv(64 * 1024)
            if not more:
                return None
            received += more
        head, _, rest = received.partition(b"\r\n\r\n")
        return head, rest

    def _receive(self, kind: str, name: str, size: int, rest: bytes) -> None:
        writer = self._writer
        writer.begin(name, keep=kind != "discard", sync=kind == "synced")
        left, begun = size, rest
        while left:
            buffer = writer.free.get()
            filled = len(begun)
            buffer[:filled] = begun
            begun = b""
            view, wanted = memoryview(buffer), min(MIB, left)
            while filled < wanted:
                count = self._file.recv_into(view[filled:wanted])
                if not count:
                    raise ConnectionError
                filled += count
            view.release()
            left -= filled
            writer.put(buffer, filled)
        writer.finish()
        self._file.sendall(_OK % 0)

    def _send(self, name: str, *, serial: bool) -> None:
        paths = self._paths(name)
        size = sum(path.stat().st_size for path in paths)
        self._file.sendall(_OK % size)
        chunks = read_and_hashed(paths)
        if serial:
            for chunk, _ in chunks:
                self._file.sendall(chunk)
            return
        ready: SimpleQueue[tuple[memoryview, bytearray] | None] = SimpleQueue()
        free: SimpleQueue[bytearray] = SimpleQueue()
        for _ in range(BUFFERS):
            free.put(bytearray(MIB))

        def read_ahead() -> None:
            for each in read_and_hashed(paths, free):
                ready.put(each)
            ready.put(None)

        threading.Thread(target=read_ahead, daemon=True).start()
        while (each := ready.get()) is not None:
            self._file.sendall(each[0])
            free.put(each[1])

    def _paths(self, name: str) -> list[Path]:
        found: list[Path] = []
        while (path := self._folder / f"{name}.{len(found)}").exists():
            found.append(path)
        return found


def read_and_hashed(
    paths: list[Path], free: SimpleQueue[bytearray] | None = None
) -> Iterator[tuple[memoryview, bytearray]]:
    """Chunks of 1 MiB, each hashed; the buffer of each comes from `free`, or is the same one again."""
    own = bytearray(MIB) if free is None else bytearray()
    for path in paths:
        file = os.open(path, os.O_RDONLY)
        digest = hashlib.sha256()
        try:
            while True:
                buffer = own if free is None else free.get()
                count = os.readv(file, [buffer])
                if not count:
                    if free is not None:
                        free.put(buffer)
                    break
                view = memoryview(buffer)[:count]
                digest.update(view)
                yield view, buffer
        finally:
            os.close(file)


def main() -> None:
    tune_malloc()
    folder = Path(sys.argv[1])
    with socket.create_server(("127.0.0.1", 0)) as server:
        print(server.getsockname()[1], flush=True)
        while True:
            file, _ = server.accept()
            file.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=Connection(file, folder).serve, daemon=True).start()


if __name__ == "__main__":
    main()
