"""The clients that are libraries."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from urllib.parse import urlsplit

from tests.clients.installs import NodePackages, ProjectPackage, PythonPackage
from tests.clients.program import DeletesMany, Library, MakesBuckets, Presigns


class Boto3(MakesBuckets, DeletesMany, Presigns):
    name = "boto3"
    package = ProjectPackage("boto3", version("boto3"))
    driver = "boto3_driver.py"

    def put_with_checksum(self, bucket: str, key: str, path: Path, algorithm: str) -> str:
        """The checksum that the gateway then tells."""
        return self.drive("put_with_checksum", bucket, key, str(path), algorithm).decode().strip()


class Boto3SignatureV4(Presigns):
    """Its presigned URLs are Signature V2 unless told otherwise."""

    name = "boto3 (s3v4)"
    package = ProjectPackage("boto3", version("boto3"))
    driver = "boto3_driver.py"

    def environment(self) -> dict[str, str]:
        return {**super().environment(), "DRIVER_SIGNATURE": "s3v4"}


class MinioPy(MakesBuckets, DeletesMany, Presigns):
    name = "minio-py"
    package = PythonPackage("minio==7.2.20")
    driver = "minio_driver.py"


class PyArrow(MakesBuckets, DeletesMany):
    name = "pyarrow"
    package = PythonPackage("pyarrow==26.0.1")
    driver = "pyarrow_driver.py"
    cannot_name = ("//",)


class S3fs(MakesBuckets, DeletesMany, Presigns):
    name = "s3fs"
    package = PythonPackage("s3fs==2026.9.0")
    driver = "s3fs_driver.py"


class Obstore(DeletesMany, Presigns):
    name = "obstore"
    package = PythonPackage("obstore==0.12.1")
    driver = "obstore_driver.py"
    cannot_name = ("//",)


class AwsJs(MakesBuckets, DeletesMany, Presigns):
    name = "aws-sdk-js"
    package = NodePackages(
        (
            "@aws-sdk/client-s3@3.1173.0",
            "@aws-sdk/lib-storage@3.1173.0",
            "@aws-sdk/s3-request-presigner@3.1164.0",
        )
    )
    driver = "aws_sdk.cjs"
    interpreter = "node"

    def environment(self) -> dict[str, str]:
        return {**super().environment(), "NODE_PATH": str(self.package.folder / "node_modules")}


class S3Torch(Library):
    """Refuses an endpoint that is an address, and before a copy asks for its source without encoding the name."""

    name = "s3torchconnector"
    package = PythonPackage("s3torchconnectorclient==1.5.0")
    driver = "s3torch_driver.py"
    copies_from = "from/plain.bin"

    def environment(self) -> dict[str, str]:
        port = urlsplit(self.place.endpoint).port
        return {**super().environment(), "AWS_ENDPOINT_URL": f"http://localhost:{port}"}
