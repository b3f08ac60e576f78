"""s3torchconnector's client: the AWS Common Runtime, through Mountpoint's library."""

import json
import os
from pathlib import Path
from typing import Any

from s3torchconnectorclient._mountpoint_s3_client import MountpointS3Client

from tests.clients.drivers.serving import serve

client = MountpointS3Client(
    os.environ["AWS_REGION"], endpoint=os.environ["AWS_ENDPOINT_URL"], force_path_style=True, max_attempts=5
)


def listing(bucket: str, prefix: str, delimiter: str) -> dict[str, list[str]]:
    pages = list(client.list_objects(bucket, prefix, delimiter))
    return {
        "keys": [item.key for page in pages for item in page.object_info],
        "prefixes": [name for page in pages for name in page.common_prefixes],
    }


def main(verb: str, bucket: str, *words: str) -> Any:
    match verb, words:
        case "put", (key, path):
            sink = client.put_object(bucket, key)
            sink.write(Path(path).read_bytes())
            sink.close()
        case "get", (key, path):
            with Path(path).open("wb") as file:
                for block in client.get_object(bucket, key):
                    file.write(block)
        case "read_range", (key, start, stop):
            return b"".join(client.get_object(bucket, key, int(start), int(stop)))
        case "size", (key,):
            return client.head_object(bucket, key).size
        case "listing", (prefix, delimiter):
            return json.dumps(listing(bucket, prefix, delimiter))
        case "delete", (key,):
            client.delete_object(bucket, key)
        case "copy", (key, to):
            client.copy_object(bucket, key, bucket, to)
        case _:
            raise NotImplementedError(verb)
    return None


serve(main)
