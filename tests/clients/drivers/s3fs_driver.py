"""s3fs, on aiobotocore; pandas through it."""

import json
import os
from typing import Any

import pandas as pd
from s3fs import S3FileSystem

from tests.clients.drivers.serving import serve

options = {
    "key": os.environ["AWS_ACCESS_KEY_ID"],
    "secret": os.environ["AWS_SECRET_ACCESS_KEY"],
    "endpoint_url": os.environ["AWS_ENDPOINT_URL"],
    "client_kwargs": {"region_name": os.environ["AWS_REGION"]},
}
fs = S3FileSystem(**options)


def listing(bucket: str, prefix: str, delimiter: str) -> dict[str, list[str]]:
    where = f"{bucket}/{prefix}"
    found = fs.ls(where, detail=True) if delimiter else list(fs.find(where, detail=True).values())
    names = [(item["type"], item["name"].removeprefix(f"{bucket}/")) for item in found]
    return {
        "keys": [name for type_, name in names if type_ == "file"],
        "prefixes": [f"{name.rstrip('/')}/" for type_, name in names if type_ == "directory"],
    }


def data_frames(bucket: str, prefix: str, rows: int) -> None:
    """A data frame written as CSV and as Parquet, and read back; RuntimeError when it is not the same."""
    frame = pd.DataFrame({"number": range(rows), "name": [f"row {number} é" for number in range(rows)]})
    frame.to_csv(f"s3://{bucket}/{prefix}frame.csv", index=False, storage_options=options)
    frame.to_parquet(f"s3://{bucket}/{prefix}frame.parquet", storage_options=options)
    read = {
        "csv": pd.read_csv(f"s3://{bucket}/{prefix}frame.csv", storage_options=options),
        "parquet": pd.read_parquet(f"s3://{bucket}/{prefix}frame.parquet", storage_options=options),
    }
    for form, found in read.items():
        if not frame.equals(found.astype(frame.dtypes.to_dict())):
            raise RuntimeError(f"{form}: {found}")


def main(verb: str, bucket: str, *words: str) -> Any:
    fs.invalidate_cache()  # what other programs did meanwhile
    match verb, words:
        case "make_bucket", ():
            fs.mkdir(bucket)
        case "remove_bucket", ():
            fs.rmdir(bucket)
        case "put", (key, path):
            fs.put_file(path, f"{bucket}/{key}", chunksize=8 << 20)
        case "get", (key, path):
            fs.get_file(f"{bucket}/{key}", path)
        case "read_range", (key, start, stop):
            return fs.cat_file(f"{bucket}/{key}", start=int(start), end=int(stop))
        case "size", (key,):
            return fs.info(f"{bucket}/{key}")["size"]
        case "listing", (prefix, delimiter):
            return json.dumps(listing(bucket, prefix, delimiter))
        case "delete", (key,):
            fs.rm_file(f"{bucket}/{key}")
        case "delete_under", (prefix,):
            fs.rm(f"{bucket}/{prefix}", recursive=True)
        case "copy", (key, to):
            fs.cp_file(f"{bucket}/{key}", f"{bucket}/{to}")
        case "presign_get" | "presign_put", (key,):
            return fs.sign(f"{bucket}/{key}", client_method=verb[8:] + "_object")
        case "data_frames", (prefix, rows):
            data_frames(bucket, prefix, int(rows))
        case _:
            raise NotImplementedError(verb)
    return None


serve(main)
