"""Multipart over HTTP: how clients spell it, what is refused by name, and who may."""

from __future__ import annotations

import base64
import time
import zlib
from collections.abc import AsyncIterator
from xml.etree.ElementTree import fromstring

import pytest
import pytest_asyncio

from gateway.multipart_requests import (
    copied_range,
    part_number_of,
    parts_query,
    upload_id_of,
    upload_order_of,
    uploads_query,
)
from gateway.request import RequestHead
from gateway.sign import sign_sigv4
from sp.domain.errors import InvalidRange, InvalidRequest, NoSuchUpload, ServiceUnavailable, SpError
from sp.domain.ids import Address, UploadId
from sp.domain.ledger import Action
from sp.domain.multipart import upload_id_text
from tests.unit.gateway_site import MIB, Reply, Site, anonymous, signed, site_with
from tests.unit.gateway_world import ALICE, BOB, OTHER_ACCESS_KEY, OTHER_SECRET_KEY

ID = upload_id_text(UploadId(1))


@pytest_asyncio.fixture
async def site() -> AsyncIterator[Site]:
    async with site_with(blank_interval_s=0.02) as made:
        yield made


def field(reply: Reply, name: str) -> str:
    found = [element.text or "" for element in fromstring(reply.body).iter() if element.tag.endswith("}" + name)]
    assert len(found) == 1, reply.body
    return found[0]


async def begun(site: Site, *headers: tuple[str, str], name: str = "k") -> None:
    reply = await site.ask("POST", f"/photos/{name}?uploads", b"", *headers)
    assert reply.status == 200, reply.body


async def sent(site: Site, number: int, body: bytes, *headers: tuple[str, str]) -> str:
    reply = await site.ask("PUT", f"/photos/k?partNumber={number}&uploadId={ID}", body, *headers)
    assert reply.status == 200, reply.body
    return reply["etag"]


def listed(*etags: str) -> bytes:
    rows = "".join(f"<Part><PartNumber>{n}</PartNumber><ETag>{e}</ETag></Part>" for n, e in enumerate(etags, 1))
    return f"<CompleteMultipartUpload>{rows}</CompleteMultipartUpload>".encode()


async def complete(site: Site, body: bytes, *headers: tuple[str, str]) -> Reply:
    return await site.ask("POST", f"/photos/k?uploadId={ID}", body, *headers)


# --- spelling -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("query", ["uploads", "uploads=", "x-id=CreateMultipartUpload&uploads"])
async def test_an_upload_begins_however_the_client_writes_it(site: Site, query: str) -> None:
    reply = await site.ask("POST", f"/photos/a%20b/%C3%BC?{query}")
    assert (reply.status, field(reply, "UploadId"), field(reply, "Key")) == (200, ID, "a b/ü")


@pytest.mark.parametrize("quote", ['"{}"', "{}", "&quot;{}&quot;", "&#34;{}&#34;", "\n  {}\n"])
@pytest.mark.parametrize("namespace", ["", ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'])
@pytest.mark.parametrize("order", ["<PartNumber>1</PartNumber>{}", "{}<PartNumber>1</PartNumber>"])
async def test_every_clients_spelling_of_the_list_is_read(site: Site, quote: str, namespace: str, order: str) -> None:
    await begun(site)
    etag = (await sent(site, 1, b"hello")).strip('"')
    part = order.format(f"<ETag>{quote.format(etag)}</ETag>")
    document = f"<CompleteMultipartUpload{namespace}><Part>{part}</Part></CompleteMultipartUpload>"
    reply = await complete(site, document.encode())
    assert (reply.status, field(reply, "Key")) == (200, "k"), reply.body
    assert (await site.ask("GET", "/photos/k")).body == b"hello"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "MalformedXML"),
        (b"<CompleteMultipartUpload/>", "MalformedXML"),
        (b"<Other/>", "MalformedXML"),
        (b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber></Part></CompleteMultipartUpload>", "MalformedXML"),
        (listed("a").replace(b">1<", b">one<"), "MalformedXML"),
        (b'<!DOCTYPE a [<!ENTITY b "c">]><CompleteMultipartUpload/>', "MalformedXML"),
        (b" " * (4 * MIB + 1), "MaxMessageLengthExceeded"),
        (listed(*["a" * 32] * 10_001), "MalformedXML"),
    ],
)
async def test_a_list_that_cannot_be_read_is_refused(site: Site, body: bytes, code: str) -> None:
    await begun(site)
    reply = await complete(site, body)
    assert (reply.status, reply.code) == (400, code)


async def test_a_list_of_ten_thousand_parts_is_read(site: Site) -> None:
    await begun(site)
    reply = await complete(site, listed(*["a" * 32] * 10_000))
    assert (reply.status, reply.code) == (400, "InvalidPart")


async def test_names_are_listed_encoded_where_the_client_asks_for_it(site: Site) -> None:
    await begun(site, name="a%20%C3%BC%01")
    reply = await site.ask("GET", "/photos?uploads&encoding-type=url")
    assert (field(reply, "Key"), field(reply, "EncodingType")) == ("a%20%C3%BC%01", "url")
    assert b"<Key>a \xc3\xbc&#x1;</Key>" in (await site.ask("GET", "/photos/?uploads=")).body
    assert (await site.ask("GET", "/photos?uploads&encoding-type=other")).code == "InvalidArgument"


# --- what a part and an end promise -------------------------------------------------------------------------------


async def test_a_part_is_answered_with_its_md5_and_its_checksum(site: Site) -> None:
    await begun(site, ("x-amz-checksum-algorithm", "CRC32"))
    crc = base64.b64encode(zlib.crc32(b"hello").to_bytes(4, "big")).decode()
    target = f"/photos/k?partNumber=1&uploadId={ID}"
    for headers in ([("x-amz-checksum-crc32", crc)], []):
        reply = await site.ask("PUT", target, b"hello", *headers)
        assert (reply["etag"], reply["x-amz-checksum-crc32"]) == ('"5d41402abc4b2a76b9719d911017c592"', crc)
    reply = await site.ask("PUT", target, b"hello", ("x-amz-checksum-crc32", "AAAAAA=="))
    assert (reply.status, reply.code) == (400, "BadDigest")
    sha1 = base64.b64encode(bytes(20)).decode()
    reply = await site.ask("PUT", target, b"hello", ("x-amz-checksum-sha1", sha1))
    assert (reply.status, reply.code) == (400, "InvalidRequest")


async def test_a_checksum_in_the_head_of_a_completion_is_the_objects_and_not_the_bodys(site: Site) -> None:
    await begun(site, ("x-amz-checksum-algorithm", "CRC32"), ("x-amz-checksum-type", "FULL_OBJECT"))
    etags = [await sent(site, 1, b"hello"), await sent(site, 2, b"world")]
    crc = base64.b64encode(zlib.crc32(b"helloworld").to_bytes(4, "big")).decode()
    wrong = await complete(site, listed(*etags), ("x-amz-checksum-crc32", "AAAAAA=="))
    assert (wrong.status, wrong.code) == (400, "BadDigest")
    other = await complete(site, listed(*etags), ("x-amz-checksum-type", "COMPOSITE"))
    assert (other.status, other.code) == (400, "InvalidRequest")
    right = await complete(site, listed(*etags), ("x-amz-checksum-crc32", crc), ("x-amz-checksum-type", "FULL_OBJECT"))
    assert (field(right, "ChecksumCRC32"), field(right, "ChecksumType")) == (crc, "FULL_OBJECT")
    head = await site.ask("HEAD", "/photos/k", b"", ("x-amz-checksum-mode", "ENABLED"))
    assert (head["x-amz-checksum-crc32"], head["etag"]) == (crc, field(right, "ETag"))
    assert "x-sp-etag" not in head.headers


async def test_an_upload_that_is_not_there_is_refused_before_its_part_is_sent(site: Site) -> None:
    async with site.connection() as connection:
        head = connection.head(
            "PUT",
            f"/photos/k?partNumber=1&uploadId={ID}",
            ("Content-Length", "5000000"),
            ("Expect", "100-continue"),
            sign=signed(None),
        )
        await connection.send(head)
        reply = await connection.reply()
        assert (reply.status, reply.code) == (404, "NoSuchUpload")
        assert await connection.closed()


async def test_a_completion_that_takes_long_begins_its_answer_and_ends_it_with_what_came_of_it(site: Site) -> None:
    await begun(site)
    document = listed(await sent(site, 1, b"hello"))
    multipart = site.world.multipart
    for refusal, expected in (
        (ServiceUnavailable("store", "EIO"), b"<Error><Code>Serv"),
        (None, b"<CompleteMultipart"),
    ):
        multipart.go_on.clear()
        multipart.refuse = refusal
        async with site.connection() as connection:
            target = f"/photos/k?uploadId={ID}"
            head = connection.head("POST", target, ("Content-Length", str(len(document))), sign=signed(document))
            await connection.send(head + document)
            answer = await connection.reader.readuntil(b"?>\n")
            assert answer.startswith(b"HTTP/1.1 200 ")
            assert (await connection.reader.readuntil(b" ")).endswith(b" ")
            multipart.go_on.set()
            rest = await connection.reader.readuntil(b"0\r\n\r\n")
            assert expected in rest
    assert multipart.completions == 1
    assert (await site.ask("GET", "/photos/k")).body == b"hello"


async def test_what_fails_at_once_has_its_own_status(site: Site) -> None:
    await begun(site)
    first, last = await sent(site, 1, b"tiny"), await sent(site, 2, b"hello")
    reply = await complete(site, listed(first, last))
    assert (reply.status, reply.code) == (400, "EntityTooSmall")
    assert b"<MinSizeAllowed>5</MinSizeAllowed><PartNumber>1</PartNumber>" in reply.body
    assert (await complete(site, listed(first, first))).code == "InvalidPart"
    assert (await complete(site, listed(last))).code == "InvalidPart"


# --- what is refused by name --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"x-amz-server-side-encryption": "AES256"}, 501),
        ({"x-amz-storage-class": "GLACIER"}, 501),
        ({"x-amz-object-lock-mode": "GOVERNANCE"}, 501),
        ({"if-none-match": "*"}, 501),
        ({"x-amz-checksum-algorithm": "MD4"}, 400),
        ({"x-amz-checksum-type": "COMPOSITE"}, 400),
        ({"x-amz-checksum-algorithm": "SHA256", "x-amz-checksum-type": "FULL_OBJECT"}, 400),
        ({"x-amz-checksum-algorithm": "CRC64NVME", "x-amz-checksum-type": "COMPOSITE"}, 400),
        ({"x-amz-checksum-algorithm": "CRC32", "x-amz-checksum-type": "NONE"}, 400),
        ({"x-amz-tagging": "aws:a=b"}, 400),
    ],
)
async def test_what_an_upload_cannot_be_is_refused_when_it_begins(
    site: Site, headers: dict[str, str], status: int
) -> None:
    reply = await site.ask("POST", "/photos/k?uploads", b"", *headers.items())
    assert reply.status == status, reply.body
    assert not site.world.multipart.uploads


@pytest.mark.parametrize(
    ("method", "query"),
    [("DELETE", "partNumber=1"), ("PUT", "partNumber=1"), ("PUT", "uploadId=1"), ("POST", "other"), ("PUT", "uploads")],
)
async def test_what_is_not_offered_is_not_taken_for_something_else(site: Site, method: str, query: str) -> None:
    await site.ask("PUT", "/photos/k", b"hello")
    assert (await site.ask(method, f"/photos/k?{query}")).status == 501
    assert (await site.ask("GET", "/photos/k")).body == b"hello"


async def test_an_upload_is_its_initiators_and_the_owners_and_needs_the_permission_of_a_put(site: Site) -> None:
    await begun(site)
    targets = [("POST", "?uploads"), ("GET", f"?uploadId={ID}"), ("DELETE", f"?uploadId={ID}")]
    for method, query in targets:
        for sign in (signed_by_bob, anonymous):
            assert (await site.ask(method, f"/photos/k{query}", sign=sign)).code == "AccessDenied"
    site.world.chain.allowed.add((BOB, "photos", None, Action.CREATE_OBJECT))
    site.world.gateway.access.view.forget()
    assert (await site.ask("POST", "/photos/other?uploads", sign=signed_by_bob)).status == 200
    for method, query in targets[1:]:
        assert (await site.ask(method, f"/photos/k{query}", sign=signed_by_bob)).code == "AccessDenied"
    second = upload_id_text(UploadId(2))
    assert site.world.multipart.uploads[UploadId(2)].order.account == BOB
    assert (await site.ask("DELETE", f"/photos/other?uploadId={second}")).status == 204, "the owner of the bucket may"


def signed_by_bob(head: RequestHead) -> list[tuple[str, str]]:
    return sign_sigv4(head, OTHER_ACCESS_KEY, OTHER_SECRET_KEY, int(time.time()))


# --- pure ---------------------------------------------------------------------------------------------------------


def head_of(query: str = "", **headers: str) -> RequestHead:
    return RequestHead("GET", "/b/k", query, tuple((name.replace("_", "-"), value) for name, value in headers.items()))


@pytest.mark.parametrize(
    "text", ["", "1", "g" * 16, "0" * 15, "0" * 17, "8" + "0" * 15, "00000000000000A1", "0x" + "0" * 14]
)
def test_an_upload_id_that_we_never_gave_is_of_no_upload(text: str) -> None:
    with pytest.raises(NoSuchUpload):
        upload_id_of(text)


def test_an_upload_id_is_read_as_it_is_shown() -> None:
    for number in (0, 10, 2**63 - 1):
        assert upload_id_of(upload_id_text(UploadId(number))) == number


@pytest.mark.parametrize("text", ["0", "10001", "-1", "", "1.0", "٣", "1" * 30])
def test_a_part_number_is_from_one_to_ten_thousand(text: str) -> None:
    with pytest.raises(SpError):
        part_number_of(text)
    assert [part_number_of(good) for good in ("1", "10000", "007")] == [1, 10_000, 7]


def test_the_range_of_a_copy_must_lie_in_its_source() -> None:
    assert copied_range(head_of(), 10) == (0, 10)
    assert copied_range(head_of(x_amz_copy_source_range="bytes=0-9"), 10) == (0, 10)
    assert copied_range(head_of(x_amz_copy_source_range="bytes=3-3"), 10) == (3, 4)
    with pytest.raises(InvalidRange):
        copied_range(head_of(x_amz_copy_source_range="bytes=0-10"), 10)
    for text in ("bytes=5-", "bytes=-5", "bytes=6-5", "0-9", "bytes=0-9,11-12"):
        with pytest.raises(SpError):
            copied_range(head_of(x_amz_copy_source_range=text), 10)


def test_limits_of_lists_are_cut_and_markers_checked() -> None:
    assert parts_query(head_of("max-parts=5000&part-number-marker=7")).limit == 1000
    assert parts_query(head_of()).after == 0
    query = uploads_query(head_of(f"uploads&key-marker=a&upload-id-marker={ID}&max-uploads=3"), "b")
    assert (query.key_marker, query.id_marker, query.limit) == ("a", 1, 3)
    assert uploads_query(head_of("uploads&upload-id-marker=nothing"), "b").id_marker is None
    for wrong in ("max-parts=-1", "max-parts=a", "part-number-marker=x"):
        with pytest.raises(SpError):
            parts_query(head_of(wrong))
    with pytest.raises(SpError):
        uploads_query(head_of("uploads&key-marker=a&upload-id-marker=nothing"), "b")


@pytest.mark.parametrize(
    ("algorithm", "kind"), [("CRC32", "COMPOSITE"), ("sha256", "COMPOSITE"), ("CRC64NVME", "FULL_OBJECT")]
)
def test_an_algorithm_has_the_type_that_goes_with_it(algorithm: str, kind: str) -> None:
    order = upload_order_of(head_of(x_amz_checksum_algorithm=algorithm), "b", "k", Address(ALICE))
    assert (order.checksum_algorithm, order.checksum_type) == (algorithm.lower(), kind)
    with pytest.raises(InvalidRequest):
        upload_order_of(head_of(x_amz_checksum_type=kind), "b", "k", Address(ALICE))
