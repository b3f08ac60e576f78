"""boto3, with its own transfer manager."""

import json
import os
from typing import Any

import boto3
from botocore.config import Config

from tests.clients.drivers.serving import serve

signature = os.environ.get("DRIVER_SIGNATURE")
s3 = boto3.client("s3", config=Config(signature_version=signature) if signature else Config())
only_required = Config(request_checksum_calculation="when_required", response_checksum_validation="when_required")
s3_without_checksums = boto3.client("s3", config=only_required)


def listing(bucket: str, prefix: str, delimiter: str) -> dict[str, list[str]]:
    pages: list[dict[str, Any]] = list(
        s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix, Delimiter=delimiter)
    )
    return {
        "keys": [item["Key"] for page in pages for item in page.get("Contents", [])],
        "prefixes": [item["Prefix"] for page in pages for item in page.get("CommonPrefixes", [])],
    }


def delete_under(bucket: str, prefix: str) -> None:
    gone = {"Objects": [{"Key": key} for key in listing(bucket, prefix, "")["keys"]]}
    errors = s3.delete_objects(Bucket=bucket, Delete=gone).get("Errors")
    if errors:
        raise RuntimeError(str(errors))


def put_with_checksum(bucket: str, key: str, path: str, algorithm: str, kind: str) -> str:
    chosen = {"ChecksumAlgorithm": algorithm, "ChecksumType": kind}
    s3.upload_file(path, bucket, key, ExtraArgs={name: value for name, value in chosen.items() if value})
    told: str = s3.head_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED")[f"Checksum{algorithm}"]
    return told


def main(verb: str, bucket: str, *words: str) -> Any:
    match verb, words:
        case "make_bucket", ():
            s3.create_bucket(Bucket=bucket)
        case "remove_bucket", ():
            s3.delete_bucket(Bucket=bucket)
        case "put", (key, path):
            s3.upload_file(path, bucket, key)
        case "get", (key, path):
            s3.download_file(bucket, key, path)
        case "read_range", (key, start, stop):
            answer = s3.get_object(Bucket=bucket, Key=key, Range=f"bytes={start}-{int(stop) - 1}")
            return answer["Body"].read()
        case "size", (key,):
            return s3.head_object(Bucket=bucket, Key=key)["ContentLength"]
        case "listing", (prefix, delimiter):
            return json.dumps(listing(bucket, prefix, delimiter))
        case "delete", (key,):
            s3.delete_object(Bucket=bucket, Key=key)
        case "delete_under", (prefix,):
            delete_under(bucket, prefix)
        case "copy", (key, to):
            s3.copy({"Bucket": bucket, "Key": key}, bucket, to)
        case "presign_get" | "presign_put", (key,):
            return s3.generate_presigned_url(verb[8:] + "_object", Params={"Bucket": bucket, "Key": key})
        case "put_with_checksum", (key, path, algorithm, kind):
            return put_with_checksum(bucket, key, path, algorithm, kind)
        case "put_without_checksum", (key, path):
            s3_without_checksums.upload_file(path, bucket, key)
        case _:
            raise NotImplementedError(verb)
    return None


serve(main)
