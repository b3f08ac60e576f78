"""boto3 as it comes, in a process of its own: `python -m tests.bench.compare.boto`, one JSON request a line on stdin.

{"endpoint", "key", "secret", "bucket", "op": "put"|"get", "size", "clients", "seconds", "prefix"}
-> {"requests", "seconds", "failures"}
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from typing import Any

import boto3


def run(order: dict[str, Any]) -> dict[str, Any]:
    """Threads, each with a client of its own, until the time is over; requests under way are completed."""
    body = os.urandom(order["size"])
    done = [0] * order["clients"]
    failures: list[str] = []
    ends = time.perf_counter() + order["seconds"]

    def work(number: int) -> None:
        client = boto3.session.Session().client(
            "s3",
            endpoint_url=order["endpoint"],
            aws_access_key_id=order["key"],
            aws_secret_access_key=order["secret"],
            region_name="us-east-1",
        )
        names = [f"{order['prefix']}/{number}/{n}" for n in range(4)]
        try:
            if order["op"] == "get":
                client.put_object(Bucket=order["bucket"], Key=names[0], Body=body)
            barrier.wait()
            while time.perf_counter() < ends_at[0]:
                if order["op"] == "get":
                    reader = client.get_object(Bucket=order["bucket"], Key=names[0])["Body"]
                    while reader.read(1 << 20):
                        pass
                else:
                    fresh = f"{names[0]}/{done[number]}"
                    client.put_object(Bucket=order["bucket"], Key=fresh, Body=body)
                done[number] += 1
        except Exception as error:  # noqa: BLE001 - whatever a server makes boto3 raise is that server's result
            failures.append(f"{type(error).__name__}: {error}"[:200])
            barrier.abort()

    ends_at = [ends]
    started = [0.0]

    def begin() -> None:
        started[0] = time.perf_counter()
        ends_at[0] = started[0] + order["seconds"]

    barrier = threading.Barrier(order["clients"], action=begin)
    threads = [threading.Thread(target=work, args=(number,)) for number in range(order["clients"])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {"requests": sum(done), "seconds": time.perf_counter() - started[0], "failures": failures}


def main() -> None:
    for line in sys.stdin:
        print(json.dumps(run(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
