"""minio-py."""

import json
import os
import sys
from datetime import timedelta
from urllib.parse import urlsplit

from minio import Minio
from minio.commonconfig import CopySource
from minio.deleteobjects import DeleteObject

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
        sys.exit(str(errors))


def main(verb: str, bucket: str, *words: str) -> None:
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
            sys.stdout.buffer.write(answer.read())
        case "size", (key,):
            print(client.stat_object(bucket, key).size)
        case "listing", (prefix, delimiter):
            print(json.dumps(listing(bucket, prefix, delimiter)))
        case "delete", (key,):
            client.remove_object(bucket, key)
        case "delete_under", (prefix,):
            delete_under(bucket, prefix)
        case "copy", (key, to):
            client.copy_object(bucket, to, CopySource(bucket, key))
        case "presign_get", (key,):
            print(client.presigned_get_object(bucket, key, expires=HOUR))
        case "presign_put", (key,):
            print(client.presigned_put_object(bucket, key, expires=HOUR))
        case _:
            sys.exit(f"unknown: {verb} {words}")


main(*sys.argv[1:])
