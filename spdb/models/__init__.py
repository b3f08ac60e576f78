"""The tables, one file per aggregate. Importing this package fills METADATA with all of them."""

from spdb.models.columns import METADATA
from spdb.models.cursors import cursors
from spdb.models.deletions import deletions
from spdb.models.jobs import history, jobs, secondaries, spares
from spdb.models.objects import objects
from spdb.models.peers import peers
from spdb.models.received import received, received_pieces

__all__ = [
    "METADATA",
    "cursors",
    "deletions",
    "history",
    "jobs",
    "objects",
    "peers",
    "received",
    "received_pieces",
    "secondaries",
    "spares",
]
