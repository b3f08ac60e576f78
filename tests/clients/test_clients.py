"""Each client does each operation that it offers, on a network that runs."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.clients.commands import AwsCli, AwsCliApi, Rclone, S3cmd, S5cmd
from tests.clients.driving import ClientFailed
from tests.clients.libraries import (
    AwsJs,
    Boto3,
    Boto3Https,
    Boto3SignatureV4,
    MinioPy,
    Obstore,
    PyArrow,
    S3fs,
    S3Torch,
)
from tests.clients.names import ODD_NAMES
from tests.clients.operations import OPERATIONS, Bench, Operation, offered_by
from tests.clients.program import Client
from tests.clients.system import Restic, S3fsFuse

CLIENTS: tuple[type[Client], ...] = (
    *(Boto3, Boto3SignatureV4, Boto3Https, AwsCli, AwsCliApi, AwsJs, S3fs, Rclone, S3cmd, S5cmd),
    *(MinioPy, PyArrow, Obstore, S3Torch, Restic, S3fsFuse),
)
pytestmark = pytest.mark.timeout(900)  # the first one that asks for a client waits until it is installed


def cells(operations: tuple[Operation, ...]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        ("client_class", "operation"),
        [
            pytest.param(client, operation, id=f"{client.name}: {operation.title}")
            for client, operation in offered_by(CLIENTS, operations)
        ],
    )


@cells(OPERATIONS)
def test_a_client_does_what_it_offers(
    operation: Operation, client_class: type[Client], bench: Bench, record_property: Callable[[str, object], None]
) -> None:
    if operation.title in client_class.cannot:
        with pytest.raises((ClientFailed, AssertionError)):
            operation.do(bench)
        record_property("said", "no")
    else:
        record_property("said", operation.do(bench))


@cells(ODD_NAMES)
def test_a_client_names_objects_as_they_are(
    operation: Operation, bench: Bench, record_property: Callable[[str, object], None]
) -> None:
    record_property("said", operation.do(bench))
