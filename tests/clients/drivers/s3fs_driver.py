"""s3fs, on aiobotocore."""

import json
import os
import sys

from s3fs import S3FileSystem

fs = S3FileSystem(
    key=os.environ["AWS_ACCESS_KEY_ID"],
    secret=os.environ["AWS_SECRET_ACCESS_KEY"],
    endpoint_url=os.environ["AWS_ENDPOINT_URL"],
    client_kwargs={"region_name": os.environ["AWS_REGION"]},
)


def listing(bucket: str, prefix: str, delimiter: str) -> dict[str, list[str]]:
    where = f"{bucket}/{prefix}"
    found = fs.ls(where, detail=True) if delimiter else list(fs.find(where, detail=True).values())
    names = [(item["type"], item["name"].removeprefix(f"{bucket}/")) for item in found]
    return {
        "keys": [name for type_, name in names if type_ == "file"],
        "prefixes": [f"{name.rstrip('/')}/" for type_, name in names if type_ == "directory"],
    }


def main(verb: str, bucket: str, *words: str) -> None:
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
            sys.stdout.buffer.write(fs.cat_file(f"{bucket}/{key}", start=int(start), end=int(stop)))
        case "size", (key,):
            print(fs.info(f"{bucket}/{key}")["size"])
        case "listing", (prefix, delimiter):
            print(json.dumps(listing(bucket, prefix, delimiter)))
        case "delete", (key,):
            fs.rm_file(f"{bucket}/{key}")
        case "delete_under", (prefix,):
            fs.rm(f"{bucket}/{prefix}", recursive=True)
        case "copy", (key, to):
            fs.cp_file(f"{bucket}/{key}", f"{bucket}/{to}")
        case "presign_get" | "presign_put", (key,):
            print(fs.sign(f"{bucket}/{key}", client_method=verb[8:] + "_object"))
        case _:
            sys.exit(f"unknown: {verb} {words}")


main(*sys.argv[1:])
