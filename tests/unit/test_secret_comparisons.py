"""Signatures and secrets are compared in a time that does not depend on where they differ."""

from __future__ import annotations

import ast
import hmac
import re
from pathlib import Path
from typing import Any

import pytest

from gateway.auth.sigv4 import SigningKeys, SigV4
from gateway.auth.sigv4_chunks import ChunkSeed, ChunkSignatures
from gateway.request import RequestHead
from gateway.sign import sign_sigv4
from signer.client import Signer
from sp.domain.errors import SignatureMismatch
from tests.fuzz.loopback import remote
from tests.unit.gateway_world import ACCESS_KEY, FakeChain, FakeSigner

NOW_S = 1_767_225_610
ROOT = Path(__file__).parents[2]
SECRET = re.compile(r"signature|secret|password|hmac|claimed|private|mac$", re.IGNORECASE)
READ = sorted([*(ROOT / "gateway" / "auth").glob("*.py"), *(ROOT / "signer").glob("*.py")])


class Comparisons(list[tuple[bytes, bytes]]):
    """What hmac.compare_digest was asked."""

    def __call__(self, one: Any, other: Any) -> bool:
        self.append((one, other))
        return TRUE_COMPARISON(one, other)


TRUE_COMPARISON = hmac.compare_digest


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> Comparisons:
    recorded = Comparisons()
    monkeypatch.setattr(hmac, "compare_digest", recorded)
    return recorded


async def test_the_signature_of_a_request_is_compared_whole(compared: Comparisons) -> None:
    signer: Signer = remote(FakeSigner(FakeChain()))
    head = RequestHead.of_target("GET", "/photos/k", [("Host", "h")])
    added = sign_sigv4(head, ACCESS_KEY, "another secret", NOW_S)
    with pytest.raises(SignatureMismatch):
        await SigV4(SigningKeys(signer, 10), "us-east-1").authenticate(
            RequestHead("GET", "/photos/k", "", (*head.headers, *added)), NOW_S
        )
    assert [(len(one), len(other)) for one, other in compared] == [(64, 64)]


def test_the_signatures_of_chunks_and_of_a_trailer_are_compared_whole(compared: Comparisons) -> None:
    signatures = ChunkSignatures(ChunkSeed(b"k" * 32, "20260101T000000Z", "scope", "0" * 64))
    with pytest.raises(SignatureMismatch):
        signatures.check_chunk("0" * 64, "f" * 64)
    with pytest.raises(SignatureMismatch):
        signatures.check_trailer("x:y\n", "f" * 64)
    assert [(len(one), len(other)) for one, other in compared] == [(64, 64)] * 2


def test_no_secret_is_compared_with_an_equals_sign() -> None:
    """In the folders where signatures are checked and keys are kept."""
    assert [f"{path.relative_to(ROOT)}: {text}" for path in READ for text in _compared(path)] == []


def _compared(path: Path) -> list[str]:
    texts = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Eq | ast.NotEq):
            sides = [node.left, *node.comparators]
            if any(isinstance(side, ast.Constant) for side in sides):
                continue  # with what stands in the source
            texts += [ast.unparse(side) for side in sides if SECRET.search(_name(side))]
    return texts


def _name(node: ast.expr) -> str:
    match node:
        case ast.Name():
            return node.id
        case ast.Attribute():
            return node.attr
        case ast.Call():
            return _name(node.func)
        case ast.Subscript():
            return f"{_name(node.value)} {ast.unparse(node.slice)}"
    return ""
