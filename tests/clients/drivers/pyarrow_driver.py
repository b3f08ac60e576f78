"""pyarrow's S3FileSystem, which is the AWS SDK for C++."""

import json
import os
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pyarrow.fs import FileSelector, FileType, S3FileSystem

from tests.clients.drivers.serving import serve

endpoint = urlsplit(os.environ["AWS_ENDPOINT_URL"])
s3 = S3FileSystem(
    access_key=os.environ["AWS_ACCESS_KEY_ID"],
    secret_key=os.environ["AWS_SECRET_ACCESS_KEY"],
    region=os.environ["AWS_REGION"],
    endpoint_override=endpoint.netloc,
    scheme=endpoint.scheme,
    tls_ca_file_path=os.environ.get("SSL_CERT_FILE"),
    connect_timeout=30,  # its own limits, 1 and 3 s, are short for a busy machine
    request_timeout=60,
    allow_bucket_creation=True,
    allow_bucket_deletion=True,
)


def listing(bucket: str, prefix: str, delimiter: str) -> dict[str, list[str]]:
    found = s3.get_file_info(FileSelector(f"{bucket}/{prefix}", allow_not_found=True, recursive=not delimiter))
    names = [(item.type, item.path.removeprefix(f"{bucket}/")) for item in found]
    folders = [f"{name}/" for type_, name in names if type_ == FileType.Directory]
    return {
        "keys": [name for type_, name in names if type_ == FileType.File],
        "prefixes": folders if delimiter else [],
    }


def main(verb: str, bucket: str, *words: str) -> Any:
    match verb, words:
        case "make_bucket", ():
            s3.create_dir(bucket)
        case "remove_bucket", ():
            s3.delete_dir(bucket)
        case "put", (key, path):
            with Path(path).open("rb") as source, s3.open_output_stream(f"{bucket}/{key}") as sink:
                shutil.copyfileobj(source, sink, 1 << 20)
        case "get", (key, path):
            with s3.open_input_stream(f"{bucket}/{key}") as source, Path(path).open("wb") as sink:
                shutil.copyfileobj(source, sink, 1 << 20)
        case "read_range", (key, start, stop):
            with s3.open_input_file(f"{bucket}/{key}") as source:
                return source.read_at(int(stop) - int(start), int(start))
        case "size", (key,):
            return s3.get_file_info(f"{bucket}/{key}").size
        case "listing", (prefix, delimiter):
            return json.dumps(listing(bucket, prefix, delimiter))
        case "delete", (key,):
            s3.delete_file(f"{bucket}/{key}")
        case "delete_under", (prefix,):
            s3.delete_dir(f"{bucket}/{prefix}")
        case "copy", (key, to):
            s3.copy_file(f"{bucket}/{key}", f"{bucket}/{to}")
        case _:
            raise NotImplementedError(verb)
    return None


serve(main)
