"""The tables, one file per aggregate. Importing this package fills METADATA with all of them."""

from spdb.models.auth_keys import auth_keys
from spdb.models.columns import METADATA
from spdb.models.cursors import cursors
from spdb.models.deletions import deletions
from spdb.models.jobs import history, jobs, secondaries, spares
from spdb.models.multipart import multipart_parts, multipart_uploads
from spdb.models.objects import object_tags, objects
from spdb.models.peers import peers
from spdb.models.received import received, received_pieces
from spdb.models.resumables import resumables
from spdb.models.small_segments import small_segments
from spdb.models.swap_ins import swap_ins

__all__ = [
    "METADATA",
    "auth_keys",
    "cursors",
    "deletions",
    "history",
    "jobs",
    "multipart_parts",
    "multipart_uploads",
    "object_tags",
    "objects",
    "peers",
    "received",
    "received_pieces",
    "resumables",
    "secondaries",
    "small_segments",
    "spares",
    "swap_ins",
]
