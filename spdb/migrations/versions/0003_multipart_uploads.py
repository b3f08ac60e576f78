"""Multipart uploads and their parts."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def where(condition: str) -> dict[str, Any]:
    """Keywords of a partial index, the same on both databases."""
    return {"sqlite_where": sa.text(condition), "postgresql_where": sa.text(condition)}


def upgrade() -> None:
    create_uploads()
    create_parts()


def downgrade() -> None:
    op.drop_table("multipart_parts")
    op.drop_table("multipart_uploads")


def create_uploads() -> None:
    op.create_table(
        "multipart_uploads",
        sa.Column("id", BIG, autoincrement=False, nullable=False),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("row_version", sa.Integer(), nullable=False),
        sa.Column("bucket", NAME, nullable=False),
        sa.Column("object_name", NAME, nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("visibility", sa.SmallInteger(), nullable=False),
        sa.Column("headers", sa.Text(), nullable=False),
        sa.Column("tags", sa.Text(), nullable=False),
        sa.Column("checksum_algorithm", sa.Text(), nullable=False),
        sa.Column("checksum_type", sa.Text(), nullable=False),
        sa.Column("attempts", BIG, nullable=False),
        sa.Column("lease_until_ms", BIG, nullable=False),
        sa.Column("job_id", BIG, nullable=True),
        sa.Column("payload_size", BIG, nullable=False),
        sa.Column("initiated_at_ms", BIG, nullable=False),
        sa.Column("ended_at_ms", BIG, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_multipart_uploads"),
    )
    table = "multipart_uploads"
    op.create_index("ix_multipart_uploads_open", table, ["bucket", "object_name", "id"], **where("state < 2"))
    op.create_index("ix_multipart_uploads_age", table, ["initiated_at_ms"], **where("state = 0"))
    op.create_index("ix_multipart_uploads_lease", table, ["lease_until_ms"], **where("state = 1"))
    op.create_index("ix_multipart_uploads_ended", table, ["ended_at_ms"], **where("state > 1"))


def create_parts() -> None:
    op.create_table(
        "multipart_parts",
        sa.Column("upload_id", BIG, nullable=False),
        sa.Column("attempt", BIG, nullable=False),
        sa.Column("part_number", sa.Integer(), nullable=False),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("size", BIG, nullable=False),
        sa.Column("md5", sa.LargeBinary(), nullable=False),
        sa.Column("checksums", sa.Text(), nullable=False),
        sa.Column("piece_size", BIG, nullable=False),
        sa.Column("piece_checksums", sa.LargeBinary(), nullable=False),
        sa.Column("lease_until_ms", BIG, nullable=False),
        sa.Column("stored_at_ms", BIG, nullable=False),
        sa.ForeignKeyConstraint(["upload_id"], ["multipart_uploads.id"], name="fk_multipart_parts_upload_id"),
        sa.PrimaryKeyConstraint("upload_id", "attempt", name="pk_multipart_parts"),
        sqlite_with_rowid=False,
    )
    table = "multipart_parts"
    op.create_index("ix_multipart_parts_stored", table, ["upload_id", "part_number"], unique=True, **where("state = 1"))
    op.create_index("ix_multipart_parts_lease", table, ["lease_until_ms"], **where("state = 0"))
    op.create_index("ix_multipart_parts_dead", table, ["upload_id", "attempt"], **where("state = 2"))
