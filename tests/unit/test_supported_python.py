"""What the oldest Python that is supported does otherwise than the one that runs the tests, most of the time."""

import ast
from pathlib import Path

import sp

ROOT = Path(sp.__file__).parents[1]
PACKAGES = (
    *("sp", "chain", "piecestore", "spdb", "gateway", "uploader", "downloader"),
    *("tasknode", "receiver", "signer", "p2p", "cli"),
)


def raises_in_except_star(source: str) -> list[int]:
    """Lines. Before 3.11.4, what `except*` raises comes out in a group, also when it is alone."""
    handlers = [h for node in ast.walk(ast.parse(source)) if isinstance(node, ast.TryStar) for h in node.handlers]
    return [n.lineno for h in handlers for n in ast.walk(h) if isinstance(n, ast.Raise) and n.exc is not None]


def test_nothing_is_raised_in_except_star() -> None:
    sources = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    assert len(sources) > 300
    found = {str(path): lines for path in sources if (lines := raises_in_except_star(path.read_text()))}
    assert not found


def test_it_would_be_found() -> None:
    raises = "try:\n    f()\nexcept* OSError as failed:\n    raise ValueError from failed\n"
    assert raises_in_except_star(raises) == [4]
    assert raises_in_except_star(raises.replace("ValueError from failed", "")) == []
    assert raises_in_except_star(raises.replace("except*", "except")) == []
