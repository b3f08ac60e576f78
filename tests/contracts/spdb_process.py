"""A process of its own that uses SPDB: `python -m tests.contracts.spdb_process put|open URL SEED`.

put:  acknowledged puts without end, eight at once, one line each (`id`) after the acknowledgement
open: open, count a cursor up, close, print `opened`
"""

import asyncio
import itertools
import sys

from spdb.cursors import Cursors
from spdb.database import open_database
from tests.contracts.spdb_world import World


async def put(url: str, seed: int) -> None:
    async with open_database(url) as database:
        world = World(database, ids=itertools.count(seed * 1_000_000))

        async def client() -> None:
            for number in itertools.count():
                job = await world.put(f"n{number % 7}")
                print(job.id, flush=True)

        await asyncio.gather(*(client() for _ in range(8)))


async def open_once(url: str, seed: int) -> None:
    async with open_database(url) as database:
        cursors = Cursors(database)
        await cursors.set(f"process {seed}", await cursors.get(f"process {seed}") + 1)
    print("opened", flush=True)


if __name__ == "__main__":
    asyncio.run({"put": put, "open": open_once}[sys.argv[1]](sys.argv[2], int(sys.argv[3])))
