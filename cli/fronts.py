"""Further processes that serve clients beside this one: each a gateway, with the uploader and downloader where this
process has them, at the same HTTP address; the kernel spreads the connections over them.

One interpreter uses one core. What is not in front (task node, receiver, signer, P2P) runs once. A front that ends is
started again; fronts end with the process that has started them, also when that one is killed: they hold one end of a
socket of which it has the other.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cli.testnet.processes import python
from gateway.config import GatewayConfig
from sp.domain.errors import ServiceUnavailable
from sp.runtime.addresses import socket_path
from sp.runtime.config import CommonConfig, environment_name
from sp.runtime.log import get_logger
from sp.runtime.metrics import counter
from sp.runtime.parts import Parts
from sp.runtime.process import READY_FILE_VARIABLE, Runner

log = get_logger(__name__)

FRONT_SERVICES: Final = ("uploader", "downloader", "gateway")
"""In starting order."""

BESIDE: Final = "--front"
"""In a front's command, before its number."""
READY: Final = b"ready\n"
START_TIMEOUT_S: Final = 60.0
PAUSE_S: Final = 5.0
"""Before a front that has ended is started again."""

RESTARTS: Final = counter("sp_front_restarts_total", "Front processes that ended by themselves and were started again")


def fronting(config_path: Path, services: Sequence[str]) -> Runner:
    """For the process that has these services: the further fronts that its configuration asks for, until exit."""
    chosen = [name for name in FRONT_SERVICES if name in services]

    @asynccontextmanager
    async def fronts(parts: Parts) -> AsyncIterator[None]:
        config = parts.file.section("gateway", GatewayConfig)
        keeping: list[asyncio.Task[None]] = []
        command = python("cli.serve", str(config_path), *chosen, BESIDE)
        numbers = range(2, config.processes + 1) if "gateway" in services else range(0)
        kept = [_Front(number, command, {**os.environ, **overrides(parts.common, number)}, parts) for number in numbers]
        try:
            async with asyncio.TaskGroup() as starting:
                for front in kept:
                    starting.create_task(front.start(), name=f"start front {front.number}")
            keeping += [parts.spawn(front.keep(config.shutdown_s), f"front {front.number}") for front in kept]
            yield
        finally:
            for task in keeping:
                task.cancel()
            await asyncio.gather(*keeping, return_exceptions=True)
            await asyncio.gather(*(front.end(config.shutdown_s + 5.0) for front in kept))

    return fronts


@asynccontextmanager
async def beside(parts: Parts) -> AsyncIterator[None]:
    """In a front: say that it is ready, and stop when the process that has started it goes."""
    reader, writer = await asyncio.open_connection(sock=socket.socket(fileno=os.dup(0)))
    writer.write(READY)
    await writer.drain()

    async def stop_with_it() -> None:
        with suppress(ConnectionError):
            await reader.read()
        parts.stopping.set()

    parts.spawn(stop_with_it(), "the process in front of which this one is")
    try:
        yield
    finally:
        writer.close()


def overrides(common: CommonConfig, number: int) -> Mapping[str, str]:
    """What is different in a front from the file, as environment: it listens beside the others."""
    host, _, port = common.monitor.address.rpartition(":")
    monitor = f"{host}:{int(port) + number - 1 if int(port) else 0}" if host else ""
    endpoints = {
        environment_name("endpoint", name): _beside(getattr(common.endpoint, name), name, number)
        for name in FRONT_SERVICES
    }
    return {
        **endpoints,
        environment_name("gateway", "processes"): "1",
        environment_name("gateway", "reuse_port"): "true",
        environment_name("monitor", "address"): monitor,
        READY_FILE_VARIABLE: "",  # which names the first process's
    }


def _beside(address: str, service: str, number: int) -> str:
    path = socket_path(address)
    return f"unix:run/{service}-{number}.sock" if path is None else f"unix:{path.with_stem(f'{path.stem}-{number}')}"


@dataclass(slots=True)
class _Front:
    """number: 2 and more, of processes in front"""

    number: int
    command: tuple[str, ...]
    environ: Mapping[str, str]
    parts: Parts
    process: asyncio.subprocess.Process | None = None
    tie: socket.socket | None = None

    async def start(self) -> None:
        """Ready when it returns. ServiceUnavailable."""
        ours, theirs = socket.socketpair()
        with theirs:
            self.tie = ours
            self.process = await asyncio.create_subprocess_exec(
                *self.command, str(self.number), stdin=theirs.fileno(), env=self.environ
            )
        ours.setblocking(False)
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                said = await asyncio.get_running_loop().sock_recv(ours, len(READY))
        except TimeoutError:
            said = b""
        if said != READY:
            await self.end(0.0)
            raise ServiceUnavailable(f"front {self.number}", "it did not start; the log says why")
        log.info("front ready", front=self.number, front_pid=self.process.pid)

    async def keep(self, grace_s: float) -> None:
        """Start it again whenever it has ended, for ever."""
        while True:
            assert self.process is not None
            code = await self.process.wait()
            await self.end(grace_s)
            log.warning("front ended", front=self.number, exit_code=code)
            RESTARTS.inc()
            await self.parts.clock.sleep(PAUSE_S)
            try:
                await self.start()
            except (OSError, ServiceUnavailable) as error:
                log.error("front not started", front=self.number, reason=str(error))

    async def end(self, grace_s: float) -> None:
        """It has ended when this returns, by force if it takes longer than that."""
        if self.process is not None and self.process.returncode is None:
            with suppress(ProcessLookupError):
                self.process.terminate()
            try:
                async with asyncio.timeout(grace_s):
                    await self.process.wait()
            except TimeoutError:
                with suppress(ProcessLookupError):
                    self.process.kill()
                await self.process.wait()
        if self.tie is not None:
            self.tie.close()
            self.tie = None
