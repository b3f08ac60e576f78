"""The clients that are libraries."""

from __future__ import annotations

from importlib.metadata import version
from typing import ClassVar
from urllib.parse import urlsplit

from tests.clients.installs import NodePackages, ProjectPackage, PythonPackage
from tests.clients.program import ChoosesChecksums, DeletesMany, Library, MakesBuckets, Presigns


class Boto3(MakesBuckets, DeletesMany, Presigns, ChoosesChecksums):
    """Its presigned URLs are Signature V2 unless told otherwise."""

    name = "boto3"
    package = ProjectPackage("boto3", version("boto3"))
    driver = "boto3_driver.py"


class Boto3SignatureV4(Presigns):
    name = "boto3 (s3v4)"
    package = ProjectPackage("boto3", version("boto3"))
    driver = "boto3_driver.py"

    def environment(self) -> dict[str, str]:
        return {**super().environment(), "DRIVER_SIGNATURE": "s3v4"}


class Boto3Https(Boto3):
    """Bodies are framed with a trailer there: over plain HTTP the checksum is in the head."""

    name = "boto3 (HTTPS)"
    over_tls = True


class MinioPy(MakesBuckets, DeletesMany, Presigns):
    name = "minio-py"
    package = PythonPackage("minio-py")
    driver = "minio_driver.py"
    cannot: ClassVar[dict[str, str]] = {"`..`": "refuses such a path"}


class PyArrow(MakesBuckets, DeletesMany):
    name = "pyarrow"
    package = PythonPackage("pyarrow")
    driver = "pyarrow_driver.py"
    cannot: ClassVar[dict[str, str]] = {
        "`//`": "refuses an empty part of a path",
        "`..`": "sends another path than it signs: one folder up",
        "leading `/`": "refuses an empty part of a path",
    }


class S3fs(MakesBuckets, DeletesMany, Presigns):
    name = "s3fs"
    package = PythonPackage("s3fs")
    driver = "s3fs_driver.py"

    def data_frames(self, bucket: str, prefix: str, rows: int) -> None:
        self.drive("data_frames", bucket, prefix, str(rows))


class Obstore(DeletesMany, Presigns):
    name = "obstore"
    package = PythonPackage("obstore")
    driver = "obstore_driver.py"
    cannot: ClassVar[dict[str, str]] = {
        "`//`": "refuses an empty part of a path",
        "`..`": "refuses such a path",
        "leading `/`": "takes the slash away",
    }


class AwsJs(MakesBuckets, DeletesMany, Presigns, ChoosesChecksums):
    name = "aws-sdk-js"
    package = NodePackages("aws-sdk-js")
    driver = "aws_sdk.cjs"
    interpreter = "node"

    def environment(self) -> dict[str, str]:
        return {**super().environment(), "NODE_PATH": str(self.package.folder / "node_modules")}


class S3Torch(Library):
    """Refuses an endpoint that is an address."""

    name = "s3torchconnector"
    package = PythonPackage("s3torchconnector")
    driver = "s3torch_driver.py"
    cannot: ClassVar[dict[str, str]] = {
        "copy of an odd name": "before a copy it asks for the size of the source, whose name it neither encodes nor "
        "signs encoded",
    }

    def environment(self) -> dict[str, str]:
        found = urlsplit(self.place.endpoint)
        return {**super().environment(), "AWS_ENDPOINT_URL": f"{found.scheme}://localhost:{found.port}"}
