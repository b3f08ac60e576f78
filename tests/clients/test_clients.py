"""Each client does each operation that it offers, on a network that runs."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.clients.commands import AwsCli, Rclone, Restic, S3cmd, S5cmd
from tests.clients.libraries import AwsJs, Boto3, Boto3SignatureV4, MinioPy, Obstore, PyArrow, S3fs, S3Torch
from tests.clients.operations import Bench, offered_by, shown
from tests.clients.program import Client

CLIENTS: tuple[type[Client], ...] = (
    *(Boto3, AwsCli, Rclone, S3cmd, S5cmd, MinioPy, PyArrow, AwsJs, S3fs, Obstore, S3Torch, Restic, Boto3SignatureV4),
)
pytestmark = pytest.mark.timeout(600)  # the first one that asks for a client also installs it


@pytest.mark.parametrize(
    ("client_class", "operation"),
    [
        pytest.param(client, operation, id=f"{client.name}: {shown(operation)}")
        for client, operation in offered_by(CLIENTS)
    ],
)
def test_a_client_does_what_it_offers(operation: Callable[[Bench], None], bench: Bench) -> None:
    operation(bench)
