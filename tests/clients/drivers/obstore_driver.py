"""obstore: Rust's object_store."""

import json
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import obstore
from obstore.store import S3Store

from tests.clients.drivers.serving import serve


def store_of(bucket: str) -> S3Store:
    return S3Store(
        bucket,
        endpoint=os.environ["AWS_ENDPOINT_URL"],
        region=os.environ["AWS_REGION"],
        access_key_id=os.environ["AWS_ACCESS_KEY_ID"],
        secret_access_key=os.environ["AWS_SECRET_ACCESS_KEY"],
        virtual_hosted_style_request=False,
        client_options={"allow_http": True},
    )


def listing(store: S3Store, prefix: str, delimiter: str) -> dict[str, list[str]]:
    if delimiter:
        found = obstore.list_with_delimiter(store, prefix)
        keys = [item["path"] for item in found["objects"]]
        return {"keys": keys, "prefixes": [f"{name}/" for name in found["common_prefixes"]]}
    return {"keys": [item["path"] for page in obstore.list(store, prefix) for item in page], "prefixes": []}


def download(store: S3Store, key: str, path: str) -> None:
    with Path(path).open("wb") as sink:
        for block in obstore.get(store, key).stream():
            sink.write(block)


def main(verb: str, bucket: str, *words: str) -> Any:
    store = store_of(bucket)
    match verb, words:
        case "put", (key, path):
            obstore.put(store, key, Path(path))
        case "get", (key, path):
            download(store, key, path)
        case "read_range", (key, start, stop):
            return bytes(obstore.get_range(store, key, start=int(start), end=int(stop)))
        case "size", (key,):
            return obstore.head(store, key)["size"]
        case "listing", (prefix, delimiter):
            return json.dumps(listing(store, prefix, delimiter))
        case "delete", (key,):
            obstore.delete(store, key)
        case "delete_under", (prefix,):
            obstore.delete(store, listing(store, prefix, "")["keys"])
        case "copy", (key, to):
            obstore.copy(store, key, to)
        case "presign_get" | "presign_put", (key,):
            return obstore.sign(store, "GET" if verb == "presign_get" else "PUT", key, timedelta(hours=1))
        case _:
            raise NotImplementedError(verb)
    return None


serve(main)
