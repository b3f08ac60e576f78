"""aws-chunked bodies: any framing of any payload, in any cut, comes out as the payload, or not at all."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from botocore.httpchecksum import AwsChunkedWrapper, Crc32Checksum
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.auth.scheme import UNSIGNED, BodyCheck
from gateway.auth.sigv4_chunks import ChunkSeed
from gateway.aws_chunked import FREE_CHUNKS, MAX_LINE_BYTES, Decoder, Framing, framing_of
from gateway.body import BodyPlan, CheckedBody
from gateway.errors import (
    BodyCutShort,
    InvalidArgument,
    MalformedFraming,
    MalformedTrailer,
    MissingContentLength,
)
from gateway.request import RequestHead
from sp.domain.errors import (
    InvalidRequest,
    PayloadDigestMismatch,
    PayloadSizeMismatch,
    SignatureMismatch,
    SpError,
)
from sp.runtime.chunks import CHUNK_BYTES, SMALL_BYTES
from sp.runtime.pool import CpuPool
from tests.framing import (
    CHECKSUMS,
    FRAMINGS,
    MINIO_GO,
    PLAIN,
    SIGNED,
    SIGNED_TRAILER,
    STYLES,
    UNSIGNED_TRAILER,
    Credential,
    Style,
    checksum,
    cut,
    encoded,
)
from tests.unit.gateway_world import ACCESS_KEY, SECRET_KEY

CREDENTIAL = Credential(ACCESS_KEY, SECRET_KEY)
STAMP = "20261123T130400Z"
KEY = CREDENTIAL.key("20261123")
SEED = ChunkSeed(KEY, STAMP, "20261123/us-east-1/s3/aws4_request", "ab" * 32)

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "sigv4_streaming_vectors.json").read_text())


def framed(pieces: list[bytes], name: str, algorithm: str = "crc32", style: Style = PLAIN) -> tuple[Framing, bytes]:
    payload = b"".join(pieces)
    trailer = None if name == SIGNED else (f"x-amz-checksum-{algorithm}", checksum(algorithm, payload))
    body = encoded(pieces, name, trailer=trailer, key=KEY, stamp=STAMP, seed=SEED.signature, style=style)
    trailers = (trailer[0],) if trailer else ()
    return Framing(len(payload), trailers, None if name == UNSIGNED_TRAILER else SEED), body


def decoded(framing: Framing, *cuts: bytes) -> bytes:
    """What comes out, its checksum verified as CheckedBody does."""
    decoder = Decoder(framing)
    payload = b"".join(bytes(piece) for chunk in cuts for piece in decoder.feed(chunk))
    decoder.end()
    assert len(payload) == framing.size
    for name, value in decoder.trailers.items():
        if value != checksum(name.removeprefix("x-amz-checksum-"), payload):
            raise PayloadDigestMismatch(name, value, "")
    return payload


# --- any payload, any framing, any cut

payloads = st.binary(max_size=300) | st.integers(0, 70_000).map(lambda size: (b"0123456789abcdef" * 4400)[:size])


@settings(max_examples=300)
@given(
    payload=payloads,
    chunks=st.lists(st.integers(1, 40_000), max_size=6),
    network=st.lists(st.integers(1, 30_000), max_size=6),
    name=st.sampled_from(FRAMINGS),
    algorithm=st.sampled_from(sorted(CHECKSUMS)),
    style=st.sampled_from(STYLES),
)
@example(b"\r\n0\r\n\r\n", [1, 1, 1], [], UNSIGNED_TRAILER, "crc32", PLAIN)
def test_what_comes_out_is_what_went_in(
    payload: bytes, chunks: list[int], network: list[int], name: str, algorithm: str, style: Style
) -> None:
    framing, body = framed(cut(payload, chunks), name, algorithm, style)
    assert decoded(framing, *cut(body, network)) == payload


@pytest.mark.parametrize("name", FRAMINGS)
def test_a_body_may_come_byte_by_byte(name: str) -> None:
    framing, body = framed([b"hello", b" ", b"world"], name)
    assert decoded(framing, *(body[at : at + 1] for at in range(len(body)))) == b"hello world"


@settings(max_examples=300)
@given(
    name=st.sampled_from(FRAMINGS),
    style=st.sampled_from((PLAIN, MINIO_GO)),
    sizes=st.lists(st.integers(1, 9), max_size=4),
    position=st.floats(0, 1, exclude_max=True),
    change=st.integers(1, 255),
)
def test_no_changed_byte_changes_what_is_stored(
    name: str, style: Style, sizes: list[int], position: float, change: int
) -> None:
    payload = b"the quick brown fox"
    framing, body = framed(cut(payload, sizes), name, "crc32", style)
    at = int(position * len(body))
    changed = body[:at] + bytes([body[at] ^ change]) + body[at + 1 :]
    try:
        came_out = decoded(framing, changed)
    except SpError:
        return
    assert came_out == payload  # a hex digit's case, an extension of an unsigned chunk


@pytest.mark.parametrize("name", FRAMINGS)
def test_every_bit_flipped_is_refused_or_harmless(name: str) -> None:
    framing, body = framed([b"hello ", b"world"], name)
    harmless = set()
    for at in range(len(body)):
        for bit in range(8):
            changed = body[:at] + bytes([body[at] ^ 1 << bit]) + body[at + 1 :]
            try:
                assert decoded(framing, changed) == b"hello world"
            except SpError:
                continue
            harmless.add(chr(body[at]))
    assert all(character.isalpha() or character == "\r" for character in harmless), "the case of a hex digit or a name"


@pytest.mark.parametrize("name", FRAMINGS)
def test_a_body_that_is_cut_anywhere_is_incomplete(name: str) -> None:
    framing, body = framed([b"hello ", b"world"], name)
    for at in range(len(body)):
        with pytest.raises(BodyCutShort) as refused:
            decoded(framing, body[:at])
        assert refused.value.expected_bytes == 11


@pytest.mark.parametrize("name", FRAMINGS)
def test_bytes_after_the_end_are_refused(name: str) -> None:
    framing, body = framed([b"hello"], name)
    for more in (b"x", b"\r\n", b"0\r\n\r\n"):
        with pytest.raises(MalformedFraming):
            decoded(framing, body + more)
        with pytest.raises(MalformedFraming):
            decoded(framing, body, more)


@pytest.mark.parametrize("name", [SIGNED, SIGNED_TRAILER])
def test_chunks_that_change_places_are_refused(name: str) -> None:
    framing, body = framed([b"aaaa", b"bbbb"], name)
    first, second = body[:90], body[90:180]
    rest = body[180:]
    assert decoded(framing, first + second + rest) == b"aaaabbbb"
    for changed in (second + first + rest, first + first + rest):
        with pytest.raises(SignatureMismatch):
            decoded(framing, changed)
    with pytest.raises(PayloadSizeMismatch):
        decoded(framing, first + rest)


@pytest.mark.parametrize("size", [0, 4, 6, 5000])
@pytest.mark.parametrize("name", FRAMINGS)
def test_another_decoded_length_is_refused(name: str, size: int) -> None:
    framing, body = framed([b"hello"], name)
    with pytest.raises(PayloadSizeMismatch):
        decoded(Framing(size, framing.trailers, framing.seed), body)


@pytest.mark.parametrize(
    ("body", "refusal"),
    [
        (b"hello", BodyCutShort),
        (b"hello\r\n", MalformedFraming),
        (b"\r\n", MalformedFraming),
        (b"0x5\r\nhello\r\n0\r\n\r\n", MalformedFraming),
        (b"-5\r\nhello\r\n0\r\n\r\n", MalformedFraming),
        (b"+5\r\nhello\r\n0\r\n\r\n", MalformedFraming),
        (b" 5\r\nhello\r\n0\r\n\r\n", MalformedFraming),
        (b"5\nhello\r\n0\r\n\r\n", MalformedFraming),
        (b"5\r\nhello\n0\r\n\r\n", MalformedFraming),
        (b"5\r\nhello!\r\n0\r\n\r\n", MalformedFraming),
        (b"5\r\nhell\r\n0\r\n\r\n", MalformedFraming),
        (b"ffffffffffffffff\r\nhello", PayloadSizeMismatch),
        (b"00000000000000005\r\nhello", MalformedFraming),
        (b"5;" + b"x" * MAX_LINE_BYTES, MalformedFraming),
        (b"5\r\nhello\r\n0\r\nx:y\r\n\r\n", MalformedTrailer),
        (b"5\r\nhello\r\n0\r\nnonsense\r\n\r\n", MalformedTrailer),
        (b"5\r\nhello\r\n0\r\nx-amz-trailer-signature:00\r\n\r\n", MalformedTrailer),
        (b"5\r\nhello\r\n0\r\n" + b"x" * (MAX_LINE_BYTES + 1), MalformedFraming),
    ],
)
def test_a_broken_framing_is_refused_for_what_it_is(body: bytes, refusal: type[SpError]) -> None:
    with pytest.raises(refusal):
        decoded(Framing(5), body)
    with pytest.raises(refusal):
        decoded(Framing(5), *(body[at : at + 1] for at in range(len(body))))


@pytest.mark.parametrize(
    ("trailer", "refusal"),
    [
        ("", MalformedTrailer),
        ("x-amz-checksum-sha1:AAAA\r\n", MalformedTrailer),
        ("x-amz-checksum-crc32:NhCmhg==\r\nx-amz-checksum-crc32:NhCmhg==\r\n", MalformedTrailer),
        ("x-amz-checksum-crc32 NhCmhg==\r\n", MalformedTrailer),
        ("x-amz-checksum-crc32:NhCmhg==\r\nx-amz-meta-more:1\r\n", MalformedTrailer),
        ("x-amz-checksum-crc32:AAAAAA==\r\n", PayloadDigestMismatch),
    ],
)
def test_a_trailer_other_than_announced_is_refused(trailer: str, refusal: type[SpError]) -> None:
    with pytest.raises(refusal):
        decoded(Framing(5, ("x-amz-checksum-crc32",)), f"5\r\nhello\r\n0\r\n{trailer}\r\n".encode())


def test_names_of_trailers_have_no_case_and_values_may_have_blanks() -> None:
    body = b"5\r\nhello\r\n0\r\nX-Amz-Checksum-CRC32: NhCmhg== \r\n\r\n"
    assert decoded(Framing(5, ("x-amz-checksum-crc32",)), body) == b"hello"


@pytest.mark.parametrize("style", [PLAIN, MINIO_GO])
def test_a_signed_trailer_without_its_signature_is_refused(style: Style) -> None:
    framing, body = framed([b"hello"], SIGNED_TRAILER, style=style)
    start = body.index(b"x-amz-trailer-signature")
    with pytest.raises(MalformedTrailer):
        decoded(framing, body[:start] + b"\r\n\r\n")
    with pytest.raises(SignatureMismatch):
        decoded(framing, body[:start] + b"x-amz-trailer-signature:\xff\r\n\r\n")


@pytest.mark.parametrize("extension", [b"", b";chunk-signature=", b";chunk-signature=" + b"0" * 63, b";x=y"])
def test_a_chunk_without_a_signature_is_refused(extension: bytes) -> None:
    with pytest.raises(SignatureMismatch):
        decoded(Framing(5, (), SEED), b"5" + extension + b"\r\nhello\r\n")


def test_a_body_of_tiny_chunks_is_given_up_and_one_of_small_chunks_is_not() -> None:
    small = b"".join(b"40\r\n%s\r\n" % bytes(64) for _ in range(3 * FREE_CHUNKS))
    assert len(decoded(Framing(3 * 64 * FREE_CHUNKS), small + b"0\r\n\r\n")) == 3 * 64 * FREE_CHUNKS
    tiny = Decoder(Framing(1 << 20))
    assert tiny.feed(b"1\r\nx\r\n" * FREE_CHUNKS) == [b"x" * FREE_CHUNKS]
    with pytest.raises(MalformedFraming):
        tiny.feed(b"1\r\nx\r\n" * 200)


def test_a_large_piece_is_a_view_and_a_small_one_keeps_no_buffer_alive() -> None:
    framing = Framing(SMALL_BYTES * 4 + 1)
    large = Decoder(framing).feed(b"%x\r\n%s\r\n" % (SMALL_BYTES * 4, bytes(SMALL_BYTES * 4)))
    assert [type(piece) for piece in large] == [memoryview]
    tiny = Decoder(framing).feed(b"1\r\nx\r\n" * 1000)
    assert tiny == [b"x" * 1000]


# --- what others frame


def test_the_example_of_amazons_description_verifies() -> None:
    """sigv4-streaming.html and sigv4-streaming-trailers.html: 65 KiB of "a"."""
    key = Credential("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY").key("20130524")
    scope = "20130524/us-east-1/s3/aws4_request"

    def body(*signatures: str) -> bytes:
        chunks = zip((b"a" * 65536, b"a" * 1024, b""), signatures, strict=True)
        return b"".join(b"%x;chunk-signature=%s\r\n%s\r\n" % (len(p), s.encode(), p) for p, s in chunks)

    plain = body(
        "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
        "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
        "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
    )
    seed = ChunkSeed(key, "20130524T000000Z", scope, "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9")
    assert decoded(Framing(66560, (), seed), plain) == b"a" * 66560
    with_trailer = body(
        "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
        "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
        "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992",
    ).removesuffix(b"\r\n")
    trailer = (
        b"x-amz-checksum-crc32c:sOO8/Q==\r\n"
        b"x-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n\r\n"
    )
    seed = ChunkSeed(key, "20130524T000000Z", scope, "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e")
    assert decoded(Framing(66560, ("x-amz-checksum-crc32c",), seed), with_trailer + trailer) == b"a" * 66560


@pytest.mark.parametrize("size", [0, 1, 5, 100, 1000])
def test_botocores_framing_is_read(size: int) -> None:
    payload = bytes(range(256)) * 4
    wrapper = AwsChunkedWrapper(
        io.BytesIO(payload[:size]), checksum_cls=Crc32Checksum, checksum_name="x-amz-checksum-crc32", chunk_size=100
    )
    assert decoded(Framing(size, ("x-amz-checksum-crc32",)), wrapper.read()) == payload[:size]


def recorded(vector: dict[str, Any]) -> tuple[RequestHead, Framing, bytes]:
    method, target, _ = vector["target"].split(" ")
    head = RequestHead.of_target(method, target, [(name, value) for name, value in vector["headers"]])
    stamp = head.header("x-amz-date")
    signature = head.header("authorization").partition("Signature=")[2]
    seed = ChunkSeed(CREDENTIAL.key(stamp[:8]), stamp, f"{stamp[:8]}/us-east-1/s3/aws4_request", signature)
    framing = framing_of(head, BodyCheck(chunks=seed))
    assert framing is not None
    return head, framing, vector["body_latin1"].encode("latin-1")


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["client"])
def test_every_recorded_body_is_accepted(vector: dict[str, Any]) -> None:
    head, framing, body = recorded(vector)
    payload = decoded(framing, body)
    assert base64.b64encode(hashlib.md5(payload).digest()).decode() == head.header("content-md5")


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["client"])
def test_a_recorded_body_with_any_byte_changed_is_refused(vector: dict[str, Any]) -> None:
    _, framing, body = recorded(vector)
    payload = decoded(framing, body)
    for at in range(len(body)):
        changed = body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]
        with pytest.raises((SignatureMismatch, MalformedFraming, MalformedTrailer, PayloadSizeMismatch, BodyCutShort)):
            decoded(framing, changed)
    assert decoded(framing, body) == payload


# --- what a head says


def head(**headers: str) -> RequestHead:
    return RequestHead("PUT", "/b/k", "", tuple((name.replace("_", "-"), value) for name, value in headers.items()))


SIGNED_CHECK = BodyCheck(chunks=SEED)


def test_the_framing_is_decided_by_the_announced_hash_alone() -> None:
    assert framing_of(head(x_amz_content_sha256="UNSIGNED-PAYLOAD"), UNSIGNED) is None
    framed_head = head(x_amz_content_sha256=SIGNED, x_amz_decoded_content_length="5")
    assert framing_of(framed_head, SIGNED_CHECK) == Framing(5, (), SEED)
    unsigned = head(
        x_amz_content_sha256=UNSIGNED_TRAILER, x_amz_decoded_content_length="5", x_amz_trailer="X-Amz-Checksum-SHA1"
    )
    assert framing_of(unsigned, SIGNED_CHECK) == Framing(5, ("x-amz-checksum-sha1",), None)


@pytest.mark.parametrize(
    ("headers", "refusal"),
    [
        ({"x_amz_content_sha256": SIGNED}, MissingContentLength),
        ({"x_amz_content_sha256": SIGNED, "x_amz_decoded_content_length": "-5"}, MissingContentLength),
        ({"x_amz_content_sha256": SIGNED, "x_amz_decoded_content_length": "9" * 20}, MissingContentLength),
        ({"x_amz_content_sha256": "STREAMING-ELSE", "x_amz_decoded_content_length": "5"}, InvalidArgument),
        ({"x_amz_content_sha256": SIGNED_TRAILER, "x_amz_decoded_content_length": "5"}, MalformedTrailer),
        (
            {
                "x_amz_content_sha256": SIGNED,
                "x_amz_decoded_content_length": "5",
                "x_amz_trailer": "x-amz-checksum-crc32",
            },
            InvalidRequest,
        ),
        *(
            (
                {
                    "x_amz_content_sha256": UNSIGNED_TRAILER,
                    "x_amz_decoded_content_length": "5",
                    "x_amz_trailer": trailer,
                },
                InvalidRequest,
            )
            for trailer in ("x-amz-meta-a", "content-md5", "x-amz-checksum-crc32,x-amz-checksum-sha1")
        ),
    ],
)
def test_a_framing_that_cannot_be_read_is_refused_beforehand(headers: dict[str, str], refusal: type[SpError]) -> None:
    with pytest.raises(refusal):
        framing_of(head(**headers), SIGNED_CHECK)


# --- the whole way of a body


async def checked(framing: Framing, chunks: list[bytes]) -> tuple[bytes, CheckedBody]:
    async def body() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    async with CpuPool(2) as pool:
        made = CheckedBody(body(), BodyPlan(framing.size, (), framing), 1 << 30, pool)
        return b"".join([chunk async for chunk in made.chunks()]), made


@pytest.mark.parametrize("name", FRAMINGS)
@pytest.mark.parametrize("algorithm", CHECKSUMS)
async def test_a_large_body_comes_out_whole_with_its_checksum(name: str, algorithm: str) -> None:
    payload = bytes(range(256)) * 8192 + b"tail"
    framing, body = framed(cut(payload, [65536] * 40), name, algorithm)
    came_out, made = await checked(framing, cut(body, [CHUNK_BYTES, 70_000, 100]))
    assert came_out == payload
    expected = {} if name == SIGNED else {f"x-amz-checksum-{algorithm}": checksum(algorithm, payload)}
    assert made.trailing() == made.checksums() == expected


@pytest.mark.parametrize("name", [SIGNED_TRAILER, UNSIGNED_TRAILER])
async def test_a_wrong_checksum_in_the_trailer_is_refused_at_the_end(name: str) -> None:
    wrong = ("x-amz-checksum-crc64nvme", checksum("crc64nvme", b"other"))
    body = encoded([b"hello"], name, trailer=wrong, key=KEY, stamp=STAMP, seed=SEED.signature)
    with pytest.raises(PayloadDigestMismatch):
        await checked(Framing(5, (wrong[0],), None if name == UNSIGNED_TRAILER else SEED), [body])
    malformed = encoded([b"hello"], UNSIGNED_TRAILER, trailer=("x-amz-checksum-crc32", "?"))
    with pytest.raises(InvalidRequest):
        await checked(Framing(5, ("x-amz-checksum-crc32",)), [malformed])


@pytest.mark.parametrize("name", FRAMINGS)
async def test_large_pieces_are_decoded_off_the_loop(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    on_loop: list[bool] = []
    feed = Decoder.feed

    def watched(self: Decoder, chunk: bytes) -> Any:
        on_loop.append(threading.current_thread() is threading.main_thread())
        return feed(self, chunk)

    monkeypatch.setattr(Decoder, "feed", watched)
    framing, body = framed([bytes(100_000)], name)
    await checked(framing, [body[:95_000], body[95_000:]])
    assert on_loop == [False, True]
