"""boto3's own managed transfers, with the sizes of the real S3: parts of 5 MiB and more, segments of 4 MiB."""

from __future__ import annotations

import hashlib
import io
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from boto3.s3.transfer import TransferConfig

from sp.domain.params import StorageParams
from tests.cluster.boto import Boto
from tests.cluster.conftest import BUCKET
from tests.cluster.network import KIB, Network
from tests.cluster.s3 import S3
from tests.vectors import payload

pytestmark = pytest.mark.asyncio(loop_scope="module")

MIB = 1024 * KIB
PLAN: dict[str, Any] = {"sps": 7, "params": StorageParams(max_segment_size=4 * MIB)}
CONFIG = TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB, max_concurrency=4)
BODY = payload(30 * MIB + 5)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def boto(network: Network, s3: S3) -> AsyncIterator[Boto]:
    made = Boto(network.sps[0], network.account)
    yield made
    made.close()


async def test_thirty_megabytes_in_parallel_parts_are_read_back_and_sealed(network: Network, boto: Boto) -> None:
    await boto.run(lambda client: client.upload_fileobj(io.BytesIO(BODY), BUCKET, "large", Config=CONFIG))
    found = await boto("get_object", Bucket=BUCKET, Key="large", ChecksumMode="ENABLED")
    assert hashlib.sha256(found["Body"]).digest() == hashlib.sha256(BODY).digest()
    assert found["ETag"].endswith('-7"')
    assert (found["ChecksumCRC32"][-2:], found["ChecksumType"]) == ("-7", "COMPOSITE")
    received = io.BytesIO()
    await boto.run(lambda client: client.download_fileobj(BUCKET, "large", received, Config=CONFIG))
    assert received.getvalue() == BODY
    await network.sealed(network.sps[0], BUCKET, "large")


async def test_a_large_object_is_copied_by_parts(network: Network, boto: Boto) -> None:
    await boto("put_object", Bucket=BUCKET, Key="source", Body=BODY[: 12 * MIB])
    source = {"Bucket": BUCKET, "Key": "source"}
    await boto.run(lambda client: client.copy(source, BUCKET, "copy", Config=CONFIG))
    found = await boto("get_object", Bucket=BUCKET, Key="copy")
    assert (found["Body"], found["ETag"][-3:]) == (BODY[: 12 * MIB], '-3"')


async def test_a_part_of_less_than_five_megabytes_may_only_be_the_last(network: Network, boto: Boto) -> None:
    where = {"Bucket": BUCKET, "Key": "small"}
    where["UploadId"] = (await boto("create_multipart_upload", **where))["UploadId"]
    parts = []
    for number, size in ((1, 5 * MIB - 1), (2, 5)):
        answer = await boto("upload_part", **where, PartNumber=number, Body=BODY[:size])
        parts.append({"PartNumber": number, "ETag": answer["ETag"]})
    end = {**where, "MultipartUpload": {"Parts": parts}}
    assert await boto.refusal("complete_multipart_upload", **end) == "EntityTooSmall"
    await boto("upload_part", **where, PartNumber=1, Body=BODY[: 5 * MIB])
    assert await boto.refusal("complete_multipart_upload", **end) == "InvalidPart"
    parts[0]["ETag"] = f'"{hashlib.md5(BODY[: 5 * MIB]).hexdigest()}"'
    await boto("complete_multipart_upload", **end)
    assert (await boto("get_object", Bucket=BUCKET, Key="small"))["Body"] == BODY[: 5 * MIB] + BODY[:5]
