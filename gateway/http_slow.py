"""Answers that may take longer than a client waits: the head goes out, then blanks, then the document.

As S3 does it for copies and completed multi-part uploads. What fails after the head has gone out is told in the body of
a 200; clients look for an Error document there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Any

from aiohttp import web

from gateway.http_call import Call
from gateway.s3_xml import CONTENT_TYPE, DECLARATION
from sp.domain.errors import InternalError, SpError
from sp.runtime.log import get_logger

log = get_logger(__name__)


async def answered(
    call: Call, work: Coroutine[Any, Any, bytes], blank_interval_s: float, headers: Mapping[str, str] | None = None
) -> web.StreamResponse:
    """A response with the XML document that `work` returns.

    Within blank_interval_s what `work` raises comes out as it is. A client that goes away ends the work: it is
    cancelled, and awaited.
    """
    task = asyncio.create_task(work, name=f"work of {call.operation}")
    try:
        if await _done(task, blank_interval_s):
            return call.xml(task.result(), headers)
        return await _kept_alive(call, task, blank_interval_s, headers or {})
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait([task])


async def _done(task: asyncio.Task[bytes], timeout_s: float) -> bool:
    return bool((await asyncio.wait([task], timeout=timeout_s))[0])


async def _kept_alive(
    call: Call, task: asyncio.Task[bytes], interval_s: float, headers: Mapping[str, str]
) -> web.StreamResponse:
    response = web.StreamResponse(status=200, headers=call.headers({"Content-Type": CONTENT_TYPE, **headers}))
    response.enable_chunked_encoding()
    await response.prepare(call.request)
    try:
        await _write(call, response, DECLARATION.encode())
        while not await _done(task, interval_s):
            await _write(call, response, b" ")
        await _write(call, response, _outcome(call, task).removeprefix(DECLARATION.encode()))
        await response.write_eof()
    except (ConnectionError, TimeoutError) as error:
        log.info("client gone", reason=repr(error))
        call.cut_off(response)
    return response


async def _write(call: Call, response: web.StreamResponse, part: bytes) -> None:
    async with asyncio.timeout(call.write_timeout_s):
        await response.write(part)


def _outcome(call: Call, task: asyncio.Task[bytes]) -> bytes:
    try:
        return task.result()
    except SpError as error:
        return call.error_document(error)
    except Exception:
        log.exception("request failed after its answer had begun", operation=call.operation)
        return call.error_document(InternalError(call.request_id))
