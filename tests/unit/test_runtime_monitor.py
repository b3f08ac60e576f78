from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from sp.domain.errors import ConfigError, ServiceUnavailable
from sp.runtime import ready as ready_module
from sp.runtime.metrics import counter, gauge
from sp.runtime.monitor import LAG, monitoring, probe_lag
from sp.runtime.ready import Readiness
from tests.turns import turn


@pytest.fixture
async def page() -> AsyncIterator[Any]:
    ready = Readiness()
    async with monitoring("127.0.0.1:0", ready, ["signer"]) as bound, aiohttp.ClientSession(f"http://{bound}") as http:

        async def get(path: str) -> tuple[int, Any]:
            async with http.get(path) as response:
                is_json = response.content_type == "application/json"
                return response.status, await (response.json() if is_json else response.text())

        get.ready = ready  # type: ignore[attr-defined]  # the fixture is one value
        yield get


async def test_health_and_version_are_told(page: Any) -> None:
    assert await page("/healthz") == (200, "ok\n")
    status, version = await page("/version")
    assert (status, version["services"], version["version"]) == (200, ["signer"], "0.1.0")


async def test_metrics_have_ours_and_the_processs(page: Any) -> None:
    counter("sp_test_pages_total", "For this test", ["kind"]).labels("x").inc()
    status, text = await page("/metrics")
    assert status == 200
    assert 'sp_test_pages_total{kind="x"} 1.0' in text
    assert "process_resident_memory_bytes" in text
    assert "process_cpu_seconds_total" in text


async def test_ready_means_that_every_check_passes(page: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ready_module, "CHECK_TIMEOUT_S", 0.05)

    async def fine() -> None:
        return None

    async def down() -> None:
        raise ServiceUnavailable("chain", "refused")

    async def no() -> bool:
        return False

    page.ready.add("spdb", fine)
    assert await page("/readyz") == (200, {"spdb": "ok"})
    page.ready.add("chain", down)
    page.ready.add("stuck", asyncio.Event().wait)
    page.ready.add("no", no)
    status, report = await page("/readyz")
    assert status == 503
    assert report["spdb"] == "ok"
    assert report["chain"].startswith("ServiceUnavailable")
    assert report["stuck"] == "no answer within 0.05 s"
    assert report["no"] == "not ready"


async def test_without_an_address_nothing_is_served() -> None:
    async with monitoring("", Readiness(), []) as bound:
        assert bound == ""


async def test_a_taken_address_is_a_config_error() -> None:
    async with monitoring("127.0.0.1:0", Readiness(), []) as bound:
        with pytest.raises(ConfigError, match="in use"):
            async with monitoring(bound, Readiness(), []):
                pass


async def test_a_metric_is_made_once() -> None:
    assert counter("sp_test_once_total", "x") is counter("sp_test_once_total", "x")
    with pytest.raises(AssertionError):
        gauge("sp_test_once_total", "x")


async def test_the_lag_probe_sees_a_blocked_loop() -> None:
    LAG.set(0)
    probing = asyncio.create_task(probe_lag())
    await turn()
    asyncio.get_running_loop().call_soon(lambda: _block(time.perf_counter() + 0.4))
    async with asyncio.timeout(10):
        while LAG._value.get() == 0:
            await asyncio.to_thread(lambda: None)
    probing.cancel()
    await asyncio.wait([probing])
    assert LAG._value.get() > 0.1


def _block(until_s: float) -> None:
    while time.perf_counter() < until_s:
        pass
