"""One target under libFuzzer, which looks at the branches that each input takes: `python -m tests.fuzz.run` starts it.

A crash does not end the run: of each kind (class and place) the first input is kept in FUZZ_FINDINGS/TARGET/.
"""

from __future__ import annotations

import hashlib
import os
import sys
import traceback
from pathlib import Path

import atheris

PACKAGES = [
    *("sp", "chain", "piecestore", "gateway", "receiver", "signer", "p2p", "cli"),
    *("email", "urllib.parse", "tomllib", "defusedxml", "json", "datetime"),
]


def _place(error: BaseException) -> str:
    """Its class, and the innermost line of ours that it went through."""
    ours = [
        f"{frame.filename}:{frame.lineno}"
        for each in (error, error.__cause__)
        if each is not None
        for frame in traceback.extract_tb(each.__traceback__)
        if "/.venv/" not in frame.filename and "/lib/python" not in frame.filename
    ]
    return f"{type(error).__name__} {type(error.__cause__).__name__} {ours[-1] if ours else ''}"


def main() -> None:
    name = sys.argv.pop(1)
    findings = Path(os.environ["FUZZ_FINDINGS"]) / name
    with atheris.instrument_imports(include=PACKAGES):
        from tests.fuzz.targets import target

        run = target(name)
    seen: set[str] = set()

    def one(raw: bytes) -> None:
        try:
            run(raw)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what is looked for
            place = _place(error)
            if place not in seen:
                seen.add(place)
                findings.mkdir(parents=True, exist_ok=True)
                (findings / hashlib.sha256(raw).hexdigest()[:12]).write_bytes(raw)
                print(f"FOUND {place}", flush=True)
                traceback.print_exception(error, file=sys.stdout)

    atheris.Setup(sys.argv, one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
