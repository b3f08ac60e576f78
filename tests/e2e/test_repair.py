"""Audits, repairs, recovery and challenges of real processes, as an operator gives the orders."""

import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from piecestore.disk.layout import Layout
from sp.domain.pieces import parse_key
from tests.e2e.processes import Network, segment_files

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

SEGMENT = 256 * 1024
BODY = Random(7).randbytes(3 * SEGMENT + 99)


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """sp0 runs as one process per service and is the primary of `photos`, with the sealed objects a and b/c."""
    network = Network(tmp_path_factory.mktemp("net"))
    up = ("testnet", "up", "--detach", "--split", "sp0", "--block-interval-ms", "100")
    try:
        network.sp(*up, "--max-segment-size", str(SEGMENT))
        network.sp("mb", "photos")
        for key in ("a", "b/c"):
            network.put(f"photos/{key}", BODY, "--wait")
        yield network
    finally:
        network.run("testnet", "down")


def result(net: Network, exit_code: int, *words: str) -> Any:
    done = net.run(*words, "--json")
    assert done.returncode == exit_code, f"{words}\n{done.stdout}\n{done.stderr}"
    return json.loads(done.stdout)


def piece_file(net: Network, shown: dict[str, Any], segment: int, column: int) -> Path:
    holder = shown["secondaries"][column]["sp"]
    return Layout(net.dir / holder / "pieces").path(parse_key(f"e{shown['object_id']}_s{segment}_p{column}"))


def segment_file(net: Network, shown: dict[str, Any], segment: int) -> Path:
    return Layout(net.dir / "sp0" / "pieces").path(parse_key(f"u{shown['job_id']}_s{segment}"))


def test_damage_at_several_sps_is_shown_by_an_audit_and_mended_by_a_repair(net: Network) -> None:
    shown = net.json("objects", "show", "photos/a")
    first = result(net, 0, "audit", "photos/a")
    assert (first["well"], first["tally"]["parts"], first["tally"]["damaged"]) == (True, 28, 0)
    harmed = [segment_file(net, shown, 0), piece_file(net, shown, 1, 2), piece_file(net, shown, 3, 5)]
    before = [path.read_bytes() for path in harmed]
    harmed[0].write_bytes(before[0][:-1] + bytes([before[0][-1] ^ 1]))
    harmed[1].unlink()
    harmed[2].write_bytes(before[2][: len(before[2]) // 2])
    found = result(net, 1, "audit", "photos/a")["findings"]
    bad = {(f["segment"], f["redundancy_index"]): f["health"] for f in found if f["health"] != "ok"}
    assert bad == {(0, -1): "corrupt", (1, 2): "missing", (3, 5): "corrupt"}
    repaired = result(net, 0, "repair", "photos/a")
    assert repaired["tally"]["unrepaired"] == 0
    assert [path.read_bytes() for path in harmed] == before
    assert result(net, 0, "audit", "photos/a")["well"]


def test_a_primary_that_lost_its_disk_gets_every_segment_back(net: Network) -> None:
    files = segment_files(net, "sp0")
    before = {path.name: path.read_bytes() for path in files}
    assert len(before) == 8
    for path in files:
        path.unlink()
    recovered = result(net, 0, "recover", "bucket", "photos")
    assert (recovered["tally"]["damaged"], recovered["tally"]["repaired"]) == (8, 8)
    assert {path.name: path.read_bytes() for path in segment_files(net, "sp0")} == before
    segment_files(net, "sp0")[0].unlink()
    for key in ("a", "b/c"):
        assert net.run("recover", "object", f"photos/{key}").returncode == 0
        assert net.get(f"photos/{key}") == BODY
    assert len(segment_files(net, "sp0")) == 8


def test_everything_that_a_secondary_holds_is_checked_and_repaired_on_its_own(net: Network) -> None:
    shown = net.json("objects", "show", "photos/b/c")
    holder, path = shown["secondaries"][4]["sp"], piece_file(net, shown, 2, 4)
    before = path.read_bytes()
    path.unlink()
    (finding,) = result(net, 1, "audit", "--all", "--sp", holder)["findings"]
    assert (finding["object"], finding["segment"], finding["redundancy_index"]) == ("b/c", 2, 4)
    assert "photos/b/c" in net.run("audit", "--all", "--sp", holder).stdout
    assert result(net, 0, "repair", "--all", "--sp", holder)["tally"]["repaired"] == 1
    assert path.read_bytes() == before


def test_an_object_that_cannot_be_repaired_ends_with_exit_code_1_and_says_why(net: Network) -> None:
    net.put("photos/hopeless", b"x" * 40_000, "--wait")
    shown = net.json("objects", "show", "photos/hopeless")
    for path in (segment_file(net, shown, 0), *(piece_file(net, shown, 0, column) for column in range(3))):
        path.unlink()
    recovered = result(net, 1, "recover", "bucket", "photos", "--restart")
    assert [(f["object"], f["repaired"]) for f in recovered["findings"]] == [("hopeless", False)]
    assert "column 0" in recovered["findings"][0]["reason"]
    assert recovered["tally"]["objects"] == 3


@pytest.mark.parametrize("words", [(), ("--column", "3")])
def test_an_sp_proves_that_it_has_a_piece(net: Network, words: tuple[str, ...], tmp_path: Path) -> None:
    out = tmp_path / "piece"
    proof = net.json("challenge", "photos/a", "--segment", "1", *words, "--out", str(out))
    shown = net.json("objects", "show", "photos/a")
    assert proof["proved"]
    assert proof["integrity_hash"] == shown["checksums"][proof["redundancy_index"] + 1]
    assert out.stat().st_size == proof["piece_size"]
