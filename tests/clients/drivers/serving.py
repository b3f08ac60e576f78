"""What the drivers in Python share: questions come as lines of JSON, and so do the answers."""

import base64
import json
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any


def serve(answer: Callable[..., Any]) -> None:
    """`[VERB, BUCKET, WORD...]` a line on standard input; each gets `{"said": BASE64}` or `{"error": TRACEBACK}`.

    The library may write to standard output: what it says there goes to standard error.
    """
    with os.fdopen(os.dup(1), "w") as out:
        os.dup2(2, 1)
        for line in sys.stdin:
            try:
                said = answer(*json.loads(line))
                raw = said if isinstance(said, bytes) else b"" if said is None else str(said).encode()
                told = {"said": base64.b64encode(raw).decode()}
            except BaseException:  # noqa: BLE001 - whatever the library raises, panics of Rust too, is the answer
                told = {"error": traceback.format_exc()}
            print(json.dumps(told), file=out, flush=True)
