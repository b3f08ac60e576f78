"""Multipart uploads through a whole network: what is read back is what was sent, and nothing else stays."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import itertools
import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import pytest_asyncio

from sp.domain.errors import StoreFailed
from sp.domain.ids import UploadId
from sp.domain.multipart import CompletedPart, Completion, UploadState
from spdb.multipart import MultipartUploads
from spdb.open import shared_database
from tests.cluster.boto import Boto
from tests.cluster.conftest import BUCKET
from tests.cluster.network import Network
from tests.cluster.s3 import S3
from tests.vectors import payload

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.usefixtures("no_upload_left_afterwards")]

PLAN: dict[str, Any] = {
    "sps": 7,
    "manual_chores": True,
    "changes": {
        "uploader": {"staged_piece_bytes": 100_000, "min_part_bytes": 300_000, "completed_keep_ms": 0},
        "gateway": {"blank_interval_s": 0.05},
    },
}
"""Small pieces and parts, so that small uploads have many; the segments are 64 KiB."""

PARTS = [payload(350_000), bytes(reversed(payload(300_001))), payload(7)]
WHOLE = b"".join(PARTS)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def boto(network: Network, s3: S3) -> AsyncIterator[Boto]:
    made = Boto(network.sps[0], network.account)
    yield made
    made.close()


@pytest_asyncio.fixture(loop_scope="module")
async def no_upload_left_afterwards(nothing_left_afterwards: None, network: Network, boto: Boto) -> AsyncIterator[None]:
    """A test that failed in the middle of its upload must not fail those behind it."""
    yield
    await network.restart_as_planned()
    for upload in (await boto("list_multipart_uploads", Bucket=BUCKET)).get("Uploads", []):
        await boto("abort_multipart_upload", Bucket=BUCKET, Key=upload["Key"], UploadId=upload["UploadId"])


@dataclass
class Sending:
    """One upload, as a client sees it. etags: of the parts sent so far, by number"""

    boto: Boto
    key: str
    id: str
    etags: dict[int, str] = field(default_factory=dict)

    @property
    def where(self) -> dict[str, str]:
        return {"Bucket": BUCKET, "Key": self.key, "UploadId": self.id}

    async def part(self, number: int, body: bytes) -> None:
        answer = await self.boto("upload_part", **self.where, PartNumber=number, Body=body)
        self.etags[number] = answer["ETag"]

    def listed(self, *numbers: int) -> dict[str, Any]:
        parts = [{"PartNumber": n, "ETag": self.etags[n]} for n in numbers or sorted(self.etags)]
        return {"MultipartUpload": {"Parts": parts}}

    async def complete(self, *numbers: int) -> dict[str, Any]:
        return await self.boto("complete_multipart_upload", **self.where, **self.listed(*numbers))

    async def abort(self) -> None:
        await self.boto("abort_multipart_upload", **self.where)


async def begun(boto: Boto, key: str = "k", **more: Any) -> Sending:
    answer = await boto("create_multipart_upload", Bucket=BUCKET, Key=key, **more)
    return Sending(boto, key, answer["UploadId"])


async def sent(boto: Boto, key: str = "k", **more: Any) -> Sending:
    """All PARTS, the last one first, and at once."""
    sending = await begun(boto, key, **more)
    await asyncio.gather(*(sending.part(number, PARTS[number - 1]) for number in (3, 1, 2)))
    return sending


async def read(boto: Boto, key: str = "k", **more: Any) -> dict[str, Any]:
    return await boto("get_object", Bucket=BUCKET, Key=key, **more)


async def staged(network: Network) -> list[str]:
    return [key for key in await network.sps[0].keys() if key.startswith("m")]


async def uploads_of(network: Network) -> MultipartUploads:
    parts = network.sps[0].parts
    assert parts is not None
    fresh = itertools.count(1)
    return MultipartUploads(await shared_database(parts), parts.clock, lambda: UploadId(next(fresh)))


# --- objects ------------------------------------------------------------------------------------------------------


async def test_parts_sent_out_of_order_are_one_object_that_is_sealed(network: Network, boto: Boto) -> None:
    sending = await sent(boto, ContentType="image/png", Metadata={"name": "Zurich"}, Tagging="a=b&c=d")
    done = await sending.complete()
    digests = b"".join(hashlib.md5(part).digest() for part in PARTS)
    assert done["ETag"] == f'"{hashlib.md5(digests).hexdigest()}-3"'
    assert sending.etags[1] == f'"{hashlib.md5(PARTS[0]).hexdigest()}"'
    for _ in ("at once", "sealed"):
        found = await read(boto)
        assert (found["Body"], found["ETag"]) == (WHOLE, done["ETag"])
        assert (found["ContentType"], found["Metadata"], found["TagCount"]) == ("image/png", {"name": "Zurich"}, 2)
        assert not [name for name in found["ResponseMetadata"]["HTTPHeaders"] if name == "x-sp-etag"]
        part = await read(boto, Range="bytes=299990-350010")
        assert part["Body"] == WHOLE[299_990:350_011]
        await network.sealed(network.sps[0], BUCKET, "k")
    (entry,) = (await boto("list_objects_v2", Bucket=BUCKET))["Contents"]
    assert (entry["ETag"], entry["Size"]) == (done["ETag"], len(WHOLE))
    assert (await read(boto, IfMatch=done["ETag"]))["Body"] == WHOLE


async def test_the_object_is_cut_and_hashed_as_a_single_put_of_the_same_bytes(network: Network, boto: Boto) -> None:
    await (await sent(boto, "parts")).complete()
    await boto("put_object", Bucket=BUCKET, Key="whole", Body=WHOLE)
    await network.sealed(network.sps[0], BUCKET, "parts")
    await network.sealed(network.sps[0], BUCKET, "whole")
    by_parts, at_once = [await network.chain.head_object(BUCKET, name) for name in ("parts", "whole")]
    assert by_parts.checksums == at_once.checksums
    assert len(by_parts.checksums) == 7


async def test_a_part_sent_again_with_other_bytes_is_the_one_that_counts(network: Network, boto: Boto) -> None:
    sending = await sent(boto)
    first = sending.etags[2]
    await sending.part(2, b"z" * 300_000)
    assert sending.etags[2] != first
    wrong = {"MultipartUpload": {"Parts": [{"PartNumber": 2, "ETag": first}]}}
    assert await boto.refusal("complete_multipart_upload", **sending.where, **wrong) == "InvalidPart"
    await sending.complete()
    assert (await read(boto))["Body"] == PARTS[0] + b"z" * 300_000 + PARTS[2]


async def test_the_same_part_sent_at_once_is_one_of_those_whole(network: Network, boto: Boto) -> None:
    sending = await begun(boto)
    bodies = [bytes([number]) * 310_000 for number in range(6)]
    answers = await asyncio.gather(*(boto("upload_part", **sending.where, PartNumber=1, Body=body) for body in bodies))
    assert len({answer["ETag"] for answer in answers}) == 6
    listed = await boto("list_parts", **sending.where)
    sending.etags[1] = listed["Parts"][0]["ETag"]
    await sending.complete()
    found = (await read(boto))["Body"]
    assert found in bodies
    assert f'"{hashlib.md5(found).hexdigest()}"' == sending.etags[1]


async def test_an_overwrite_by_parts_shows_the_old_content_until_it_is_complete(network: Network, boto: Boto) -> None:
    await boto("put_object", Bucket=BUCKET, Key="k", Body=b"old")
    sending = await sent(boto)
    assert (await read(boto))["Body"] == b"old"
    await sending.complete()
    assert (await read(boto))["Body"] == WHOLE
    await network.sealed(network.sps[0], BUCKET, "k")


async def test_parts_of_nothing_are_an_empty_object(network: Network, boto: Boto) -> None:
    sending = await begun(boto)
    await sending.part(1, b"")
    await sending.complete()
    assert (await read(boto))["Body"] == b""


async def test_a_checksum_of_the_whole_object_is_checked_and_kept(network: Network, boto: Boto) -> None:
    right = base64.b64encode(zlib.crc32(WHOLE).to_bytes(4, "big")).decode()
    sending = await sent(boto, ChecksumAlgorithm="CRC32", ChecksumType="FULL_OBJECT")
    end = {**sending.where, **sending.listed(), "ChecksumType": "FULL_OBJECT", "MpuObjectSize": len(WHOLE)}
    assert await boto.refusal("complete_multipart_upload", **end, ChecksumCRC32="AAAAAA==") == "BadDigest"
    assert await boto.refusal("complete_multipart_upload", **{**end, "MpuObjectSize": 5}) == "IncompleteBody"
    done = await boto("complete_multipart_upload", **end, ChecksumCRC32=right)
    assert (done["ChecksumCRC32"], done["ChecksumType"]) == (right, "FULL_OBJECT")
    found = await read(boto, ChecksumMode="ENABLED")  # boto3 verifies it
    assert (found["ChecksumCRC32"], found["Body"]) == (right, WHOLE)


@pytest.mark.parametrize("algorithm", ["SHA256", "CRC32C", "CRC64NVME"])
async def test_a_part_without_the_uploads_checksum_gets_one(
    network: Network, s3: S3, algorithm: str, boto: Boto
) -> None:
    sending = await begun(boto, ChecksumAlgorithm=algorithm)
    query = f"partNumber=1&uploadId={sending.id}"
    answer = await s3.call("PUT", f"/{BUCKET}/k", query, body=PARTS[0])
    assert answer.status == 200, answer.body
    shown = answer.headers[f"x-amz-checksum-{algorithm.lower()}"]
    listed = await boto("list_parts", **sending.where)
    assert (listed["Parts"][0][f"Checksum{algorithm}"], listed["ChecksumAlgorithm"]) == (shown, algorithm)
    sending.etags[1] = {name.lower(): value for name, value in answer.headers.items()}["etag"]
    done = await sending.complete()
    assert (
        done[f"Checksum{algorithm}"] == shown if algorithm == "CRC64NVME" else done[f"Checksum{algorithm}"][-2:] == "-1"
    )


# --- refusals -----------------------------------------------------------------------------------------------------


async def test_what_is_wrong_with_the_list_is_said_and_the_upload_goes_on(network: Network, boto: Boto) -> None:
    sending = await sent(boto)
    await sending.part(4, b"small")
    sending.etags[9] = sending.etags[1]

    async def refusal(*numbers: int) -> str:
        return await boto.refusal("complete_multipart_upload", **sending.where, **sending.listed(*numbers))

    assert await refusal(2, 1) == "InvalidPartOrder"
    assert await refusal(1, 9) == "InvalidPart"
    assert await refusal(1, 3, 4) == "EntityTooSmall"
    await sending.complete(1, 2, 4)
    assert (await read(boto))["Body"] == PARTS[0] + PARTS[1] + b"small"


async def test_an_upload_that_never_was_or_is_another_objects_is_not_found(network: Network, boto: Boto) -> None:
    sending = await sent(boto)
    for changed in ({"UploadId": "0" * 15 + "1"}, {"UploadId": "no id"}, {"Key": "other"}):
        where = {**sending.where, **changed}
        assert await boto.refusal("upload_part", **where, PartNumber=1, Body=b"x") == "NoSuchUpload"
        assert await boto.refusal("list_parts", **where) == "NoSuchUpload"
        assert await boto.refusal("abort_multipart_upload", **where) == "NoSuchUpload"
        assert await boto.refusal("complete_multipart_upload", **where, **sending.listed()) == "NoSuchUpload"
    for number in (0, 10_001):
        refusal = await boto.refusal("upload_part", **sending.where, PartNumber=number, Body=b"x")
        assert refusal == "InvalidArgument"
    await sending.abort()


async def test_a_part_whose_bytes_are_not_the_promised_ones_does_not_replace_the_former(
    network: Network, s3: S3, boto: Boto
) -> None:
    sending = await sent(boto)
    md5 = base64.b64encode(hashlib.md5(b"other").digest()).decode()
    query = f"partNumber=1&uploadId={sending.id}"
    answer = await s3.call("PUT", f"/{BUCKET}/k", query, headers={"content-md5": md5}, body=b"x" * 200_000)
    assert (answer.status, answer.code) == (400, "BadDigest")
    await network.settle(network.sps[0])
    await sending.complete()
    assert (await read(boto))["Body"] == WHOLE


async def test_a_completion_on_a_condition_that_does_not_hold_changes_nothing(network: Network, boto: Boto) -> None:
    await boto("put_object", Bucket=BUCKET, Key="k", Body=b"old")
    sending = await sent(boto)
    end = {**sending.where, **sending.listed()}
    assert await boto.refusal("complete_multipart_upload", **end, IfNoneMatch="*") == "PreconditionFailed"
    assert (await read(boto))["Body"] == b"old"
    await boto("delete_object", Bucket=BUCKET, Key="k")
    await boto("complete_multipart_upload", **end, IfNoneMatch="*")
    assert (await read(boto))["Body"] == WHOLE
    assert (await boto("complete_multipart_upload", **end, IfNoneMatch="*"))["ETag"], "it is the same request again"


async def test_strangers_can_do_nothing_with_an_upload(network: Network, s3: S3, boto: Boto) -> None:
    sending = await sent(boto)
    nobody = S3(s3.session, s3.sp, None)
    for method, path, query in (
        ("POST", f"/{BUCKET}/k", "uploads"),
        ("PUT", f"/{BUCKET}/k", f"partNumber=1&uploadId={sending.id}"),
        ("GET", f"/{BUCKET}/k", f"uploadId={sending.id}"),
        ("GET", f"/{BUCKET}", "uploads"),
        ("POST", f"/{BUCKET}/k", f"uploadId={sending.id}"),
        ("DELETE", f"/{BUCKET}/k", f"uploadId={sending.id}"),
    ):
        body = (
            b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>a</ETag></Part></CompleteMultipartUpload>"
        )
        answer = await nobody.call(method, path, query, body=body if query.startswith("uploadId") else b"")
        assert (answer.status, answer.code) == (403, "AccessDenied"), (method, query, answer.body)
    await sending.complete()


# --- lists and copies ---------------------------------------------------------------------------------------------


async def test_parts_are_listed_in_pages(network: Network, boto: Boto) -> None:
    sending = await sent(boto)
    await sending.part(7, b"seven")

    def listed(client: Any) -> list[tuple[int, int, str]]:
        pages = client.get_paginator("list_parts").paginate(**sending.where, PaginationConfig={"PageSize": 2})
        return [(part["PartNumber"], part["Size"], part["ETag"]) for page in pages for part in page["Parts"]]

    sizes = {1: len(PARTS[0]), 2: len(PARTS[1]), 3: len(PARTS[2]), 7: 5}
    assert await boto.run(listed) == [(number, sizes[number], sending.etags[number]) for number in (1, 2, 3, 7)]
    await sending.abort()


async def test_uploads_are_listed_by_pages_and_folders(network: Network, boto: Boto) -> None:
    begun_ones = [await begun(boto, key) for key in ("a/2", "a/1", "b", "a/1", "ü x")]
    expected = sorted(((s.key, s.id) for s in begun_ones), key=lambda pair: (pair[0].encode(), pair[1]))

    def listed(client: Any, **given: Any) -> tuple[list[tuple[str, str]], list[str]]:
        pages = list(
            client.get_paginator("list_multipart_uploads").paginate(
                Bucket=BUCKET, PaginationConfig={"PageSize": 1}, **given
            )
        )
        found = [(upload["Key"], upload["UploadId"]) for page in pages for upload in page.get("Uploads", [])]
        return found, [prefix["Prefix"] for page in pages for prefix in page.get("CommonPrefixes", [])]

    assert await boto.run(listed) == (expected, [])
    keys = [key for key, _ in expected]
    assert keys == ["a/1", "a/1", "a/2", "b", "ü x"]
    found, folders = await boto.run(lambda client: listed(client, Delimiter="/"))
    assert ([key for key, _ in found], folders) == (["b", "ü x"], ["a/"])
    found, folders = await boto.run(lambda client: listed(client, Prefix="a/1"))
    assert [key for key, _ in found] == ["a/1", "a/1"]
    for sending in begun_ones:
        await sending.abort()
    assert await boto.run(listed) == ([], [])


async def test_parts_are_copied_from_other_objects_whole_and_by_range(network: Network, boto: Boto) -> None:
    await boto("put_object", Bucket=BUCKET, Key="source", Body=WHOLE)
    sending = await begun(boto)
    source = {"Bucket": BUCKET, "Key": "source"}
    copied = await boto(
        "upload_part_copy", **sending.where, PartNumber=1, CopySource=source, CopySourceRange="bytes=5-400004"
    )
    sending.etags[1] = copied["CopyPartResult"]["ETag"]
    assert sending.etags[1] == f'"{hashlib.md5(WHOLE[5:400_005]).hexdigest()}"'
    copied = await boto("upload_part_copy", **sending.where, PartNumber=2, CopySource=source)
    sending.etags[2] = copied["CopyPartResult"]["ETag"]
    wrong = {**sending.where, "PartNumber": 3, "CopySource": source}
    too_far = await boto.refusal("upload_part_copy", **wrong, CopySourceRange=f"bytes=0-{len(WHOLE)}")
    assert too_far == "InvalidRange"
    assert await boto.refusal("upload_part_copy", **wrong, CopySourceRange="bytes=5-") == "InvalidArgument"
    assert await boto.refusal("upload_part_copy", **wrong, CopySourceIfMatch="other") == "PreconditionFailed"
    missing = {**wrong, "CopySource": {"Bucket": BUCKET, "Key": "nothing"}}
    assert await boto.refusal("upload_part_copy", **missing) == "NoSuchKey"
    await sending.complete()
    assert (await read(boto))["Body"] == WHOLE[5:400_005] + WHOLE


# --- ends ---------------------------------------------------------------------------------------------------------


async def test_completing_twice_answers_the_same_and_puts_once(network: Network, boto: Boto) -> None:
    sending = await sent(boto)
    first = await sending.complete()
    job = await network.job(network.sps[0], BUCKET, "k")
    await boto("put_object", Bucket=BUCKET, Key="k", Body=b"newer")
    again = await sending.complete()
    assert (again["ETag"], again["Location"]) == (first["ETag"], first["Location"])
    assert (await read(boto))["Body"] == b"newer"
    assert (await network.job(network.sps[0], BUCKET, "k")).id > job.id
    assert await boto.refusal("complete_multipart_upload", **sending.where, **sending.listed(1)) == "InvalidPart"
    assert await boto.refusal("upload_part", **sending.where, PartNumber=1, Body=b"x") == "NoSuchUpload"


async def test_completions_at_once_answer_the_same_and_put_once(network: Network, boto: Boto) -> None:
    sending = await sent(boto)
    hanging = network.sps[0].pieces.hang("commit")
    requests = [asyncio.create_task(sending.complete()) for _ in range(4)]
    await hanging.reached.wait()
    hanging.release()
    network.sps[0].pieces.heal()
    answers = await asyncio.gather(*requests)
    assert len({answer["ETag"] for answer in answers}) == 1
    uploads = await uploads_of(network)
    upload = await uploads.find(UploadId(int(sending.id, 16)))
    assert upload.state is UploadState.COMPLETED
    assert upload.job_id == (await network.job(network.sps[0], BUCKET, "k")).id
    assert (await read(boto))["Body"] == WHOLE


async def test_a_long_completion_keeps_its_client_waiting_and_tells_the_end_in_the_body(
    network: Network, s3: S3, boto: Boto
) -> None:
    sending = await sent(boto)
    rows = "".join(
        f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"
        for number, etag in sorted(sending.etags.items())
    )
    document = f"<CompleteMultipartUpload>{rows}</CompleteMultipartUpload>".encode()
    pieces = network.sps[0].pieces
    for failure in (StoreFailed("disk", "EIO"), None):
        hanging = pieces.hang("commit")
        if failure is not None:
            pieces.fail_next("commit", failure)
        path, query = f"/{BUCKET}/k", f"uploadId={sending.id}"
        headers = dict(s3.signed("POST", path, query, {}, document))
        url = f"{s3.sp.endpoint}{path}?{query}"
        async with s3.session.post(url, headers=headers, data=document) as answer:
            assert answer.status == 200
            early = await answer.content.readexactly(len('<?xml version="1.0" encoding="UTF-8"?>\n') + 3)
            assert early.startswith(b"<?xml")
            assert early.endswith(b"\n   "), "blanks while it waits"
            hanging.release()
            pieces.heal() if failure is None else None
            rest = (await answer.content.read()).strip()
        pieces.heal()
        expected = b"<Error><Code>ServiceUnavailable</Code>" if failure else b"<CompleteMultipartUploadResult "
        assert rest.startswith(expected), rest
    assert (await read(boto))["Body"] == WHOLE


async def test_a_completion_goes_on_though_its_client_is_gone(network: Network, s3: S3, boto: Boto) -> None:
    sending = await sent(boto)
    hanging = network.sps[0].pieces.hang("commit")
    asked = Completion(tuple(CompletedPart(n, e.strip('"')) for n, e in sorted(sending.etags.items())))
    rows = "".join(f"<Part><PartNumber>{p.number}</PartNumber><ETag>{p.etag}</ETag></Part>" for p in asked.parts)
    request = asyncio.create_task(
        s3.call(
            "POST",
            f"/{BUCKET}/k",
            f"uploadId={sending.id}",
            body=f"<CompleteMultipartUpload>{rows}</CompleteMultipartUpload>".encode(),
        )
    )
    await hanging.reached.wait()
    request.cancel()
    await asyncio.wait([request])
    again = asyncio.create_task(sending.complete())
    hanging.release()
    network.sps[0].pieces.heal()
    assert (await again)["ETag"].endswith('-3"')
    assert (await read(boto))["Body"] == WHOLE


async def test_an_abort_in_the_middle_of_a_completion_ends_it(network: Network, boto: Boto) -> None:
    sending = await sent(boto)
    hanging = network.sps[0].pieces.hang("commit")
    completing = asyncio.create_task(boto.refusal("complete_multipart_upload", **sending.where, **sending.listed()))
    await hanging.reached.wait()
    await sending.abort()
    hanging.release()
    network.sps[0].pieces.heal()
    assert await completing == "NoSuchUpload"
    assert await boto.refusal("get_object", Bucket=BUCKET, Key="k") == "NoSuchKey"


async def test_an_aborted_upload_leaves_nothing(network: Network, boto: Boto) -> None:
    sending = await sent(boto)
    assert len(await staged(network)) == 4 + 4 + 1
    await sending.abort()
    assert await boto.refusal("list_parts", **sending.where) == "NoSuchUpload"
    assert await boto.refusal("complete_multipart_upload", **sending.where, **sending.listed()) == "NoSuchUpload"
    await network.settle(network.sps[0])
    assert await staged(network) == []
    assert "multipart_uploads" not in await network.sps[0].rows()


async def test_the_collector_takes_what_was_replaced_or_left_out_and_no_part_that_counts(
    network: Network, boto: Boto
) -> None:
    sending = await sent(boto)
    await sending.part(2, b"y" * 300_000)
    await sending.part(8, b"left out")
    await network.settle(network.sps[0])
    assert len(await staged(network)) == 4 + 3 + 1 + 1
    await sending.complete(1, 2, 3)
    await network.settle()
    assert await staged(network) == []
    assert (await read(boto))["Body"] == PARTS[0] + b"y" * 300_000 + PARTS[2]


async def test_an_upload_that_is_too_old_is_collected_and_its_client_told(network: Network, boto: Boto) -> None:
    sending = await sent(boto)
    await network.sps[0].restart({"uploader": {"multipart_keep_ms": 0}})
    again = Boto(network.sps[0], network.account)
    await network.settle(network.sps[0])
    assert await staged(network) == []
    assert await again.refusal("complete_multipart_upload", **sending.where, **sending.listed()) == "NoSuchUpload"
    again.close()


async def test_a_part_that_was_cut_off_leaves_nothing_and_the_former_counts(
    network: Network, s3: S3, boto: Boto
) -> None:
    sending = await sent(boto)
    count = len(await staged(network))
    pieces = network.sps[0].pieces
    pieces.fail_after(puts=2)
    query = f"partNumber=1&uploadId={sending.id}"
    answer = await s3.call("PUT", f"/{BUCKET}/k", query, body=b"x" * 500_000)
    assert answer.status == 503, answer.body
    pieces.heal()
    await network.settle(network.sps[0])
    assert len(await staged(network)) == count
    await sending.complete()
    assert (await read(boto))["Body"] == WHOLE


async def test_a_staged_piece_that_rots_is_never_put(network: Network, boto: Boto) -> None:
    sending = await sent(boto)
    uploads = await uploads_of(network)
    stored = await uploads.parts(UploadId(int(sending.id, 16)))
    network.sps[0].pieces.corrupt(stored[1].key(2), at=7)
    assert await boto.refusal("complete_multipart_upload", **sending.where, **sending.listed()) == "InternalError"
    assert await boto.refusal("get_object", Bucket=BUCKET, Key="k") == "NoSuchKey"
    await sending.part(2, PARTS[1])
    await sending.complete()
    assert (await read(boto))["Body"] == WHOLE


async def test_a_restart_in_the_middle_of_a_completion_leaves_the_upload_completable(
    network: Network, boto: Boto
) -> None:
    sending = await sent(boto)
    sp = network.sps[0]
    hanging = sp.pieces.hang("commit")
    request = asyncio.create_task(sending.complete())
    await hanging.reached.wait()
    stopping = asyncio.create_task(sp.stop())
    hanging.release()
    sp.pieces.heal()
    await asyncio.wait([request, stopping])
    request.exception()
    await sp.start()
    again = Boto(sp, network.account)
    end = {**sending.where, **sending.listed()}
    await again("complete_multipart_upload", **end)
    assert (await read(again))["Body"] == WHOLE
    again.close()


async def test_a_completion_whose_process_was_killed_is_taken_up_again(network: Network, boto: Boto) -> None:
    """What SIGKILL leaves: the claim of a dead process, with its lease, and a job that is uploading."""
    sending = await sent(boto)
    uploads = await uploads_of(network)
    asked = Completion(tuple(CompletedPart(n, e.strip('"')) for n, e in sorted(sending.etags.items())))
    upload_id = UploadId(int(sending.id, 16))
    await uploads.claim(upload_id, asked, 1, 0)
    await network.settle(network.sps[0])
    assert (await uploads.find(upload_id)).state is UploadState.OPEN
    await sending.complete()
    assert (await read(boto))["Body"] == WHOLE


async def test_a_part_whose_process_was_killed_leaves_nothing(network: Network, boto: Boto) -> None:
    sending = await begun(boto)
    uploads = await uploads_of(network)
    part = await uploads.begin_part(UploadId(int(sending.id, 16)), 1, 100_000, 0)
    for piece in range(3):
        await network.sps[0].pieces.put(part.key(piece), b"x" * 100_000)
    await network.settle(network.sps[0])
    assert await staged(network) == []
    await sending.abort()
