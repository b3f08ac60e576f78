"""The bare HTTP server: aiohttp on uvloop that reads and discards every body. `python -m tests.bench.compare.bare`
prints its port."""

from __future__ import annotations

import asyncio

import uvloop
from aiohttp import web

from sp.runtime.malloc import tune_malloc

READ_BYTES = 1 << 20


async def answer(request: web.BaseRequest) -> web.StreamResponse:
    if "Expect" in request.headers:  # boto3 waits a second for the answer
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0
    while await request.content.readany():
        pass
    return web.Response()


async def main() -> None:
    server = web.Server(answer, read_bufsize=READ_BYTES)
    runner = web.ServerRunner(server)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    tune_malloc()
    uvloop.run(main())
