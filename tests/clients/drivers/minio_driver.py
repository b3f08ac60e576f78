"""minio-py."""

import json
import os
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from minio import Minio
from minio.commonconfig import CopySource
from minio.deleteobjects import DeleteObject

from tests.clients.drivers.serving import serve

endpoint = urlsplit(os.environ["AWS_ENDPOINT_URL"])
client = Minio(
    endpoint.netloc,
    access_key=os.environ["AWS_ACCESS_KEY_ID"],
    secret_key=os.environ["AWS_SECRET_ACCESS_KEY"],
    secure=endpoint.scheme == "https",
)
HOUR = timedelta(hours=1)


def listing(bucket: str, prefix: str, delimiter: str) -> dict[str, list[str]]:
    found = list(client.list_objects(bucket, prefix=prefix, recursive=not delimiter))
    return {
        "keys": [item.object_name for item in found if not item.is_dir],
        "prefixes": [item.object_name for item in found if item.is_dir],
    }


def delete_under(bucket: str, prefix: str) -> None:
    gone = [DeleteObject(key) for key in listing(bucket, prefix, "")["keys"]]
    errors = list(client.remove_objects(bucket, gone))
    if errors:
        raise RuntimeError(str(errors))


def main(verb: str, bucket: str, *words: str) -> Any:
    match verb, words:
        case "make_bucket", ():
            client.make_bucket(bucket)
        case "remove_bucket", ():
            client.remove_bucket(bucket)
        case "put", (key, path):
            client.fput_object(bucket, key, path)
        case "get", (key, path):
            client.fget_object(bucket, key, path)
        case "read_range", (key, start, stop):
            answer = client.get_object(bucket, key, offset=int(start), length=int(stop) - int(start))
            return answer.read()
        case "size", (key,):
            return client.stat_object(bucket, key).size
        case "listing", (prefix, delimiter):
            return json.dumps(listing(bucket, prefix, delimiter))
        case "delete", (key,):
            client.remove_object(bucket, key)
        case "delete_under", (prefix,):
            delete_under(bucket, prefix)
        case "copy", (key, to):
            client.copy_object(bucket, to, CopySource(bucket, key))
        case "presign_get", (key,):
            return client.presigned_get_object(bucket, key, expires=HOUR)
        case "presign_put", (key,):
            return client.presigned_put_object(bucket, key, expires=HOUR)
        case _:
            raise NotImplementedError(verb)
    return None


serve(main)
