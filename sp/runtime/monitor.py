"""HTTP for operators and orchestrators: /metrics, /healthz, /readyz, /version."""

from __future__ import annotations

import asyncio
import platform
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

import sp
from sp.domain.errors import ConfigError
from sp.runtime.addresses import checked_address
from sp.runtime.metrics import gauge
from sp.runtime.ready import Readiness

LAG: Final = gauge("sp_event_loop_lag_seconds", "How late the event loop woke a sleeper; the recent worst, fading")
LAG_PROBE_S: Final = 0.25
LAG_FADES_TO: Final = 0.9
"""Per probe: a spike is still visible at a scrape every 15 s, at a thousandth of its height after 17 s."""


@asynccontextmanager
async def monitoring(address: str, ready: Readiness, services: Sequence[str]) -> AsyncIterator[str]:
    """Serve until exit; yields the address in fact bound, or "" when `address` is "" and nothing is served.

    /healthz  200 while the event loop turns
    /readyz   200 when every check passes, else 503; JSON {check: "ok" or why not} either way
    """
    if not address:
        yield ""
        return
    host, _, port = checked_address(address).rpartition(":")
    runner = web.AppRunner(_application(ready, services), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host.strip("[]"), int(port))
        try:
            await site.start()
        except OSError as error:
            raise ConfigError("[monitor] address", f"{address}: {error.strerror or error}") from error
        bound_port = runner.addresses[0][1]
        yield f"{host}:{bound_port}"
    finally:
        await runner.cleanup()


async def probe_lag() -> None:
    """Keeps the event-loop-lag gauge up to date, for ever. Real time: a virtual clock has no lag."""
    worst_s = 0.0
    while True:
        before = time.perf_counter()
        await asyncio.sleep(LAG_PROBE_S)
        late_s = max(0.0, time.perf_counter() - before - LAG_PROBE_S)
        worst_s = max(late_s, worst_s * LAG_FADES_TO)
        LAG.set(worst_s)


def _application(ready: Readiness, services: Sequence[str]) -> web.Application:
    async def metrics(_: web.Request) -> web.Response:
        page = await asyncio.to_thread(generate_latest)
        return web.Response(body=page, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_: web.Request) -> web.Response:
        report = await ready.report()
        passed = all(answer == "ok" for answer in report.values())
        return web.json_response(report, status=200 if passed else 503)

    async def version(_: web.Request) -> web.Response:
        return web.json_response(
            {"version": sp.__version__, "python": platform.python_version(), "services": list(services)}
        )

    application = web.Application()
    application.add_routes(
        [
            web.get("/metrics", metrics),
            web.get("/healthz", healthz),
            web.get("/readyz", readyz),
            web.get("/version", version),
        ]
    )
    return application
