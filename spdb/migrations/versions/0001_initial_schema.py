"""The schema of the first release."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def where(condition: str) -> dict[str, Any]:
    """Keywords of a partial index, the same on both databases."""
    return {"sqlite_where": sa.text(condition), "postgresql_where": sa.text(condition)}


def upgrade() -> None:
    create_jobs()
    create_history()
    create_secondaries()
    create_spares()
    create_objects()
    create_deletions()
    create_received()
    create_received_pieces()
    create_peers()
    create_cursors()


def downgrade() -> None:
    op.drop_table("cursors")
    op.drop_table("peers")
    op.drop_table("received_pieces")
    op.drop_table("received")
    op.drop_table("deletions")
    op.drop_table("objects")
    op.drop_table("spares")
    op.drop_table("secondaries")
    op.drop_table("history")
    op.drop_table("jobs")


def create_jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", BIG, autoincrement=False, nullable=False),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("row_version", sa.Integer(), nullable=False),
        sa.Column("history_seq", sa.Integer(), nullable=False),
        sa.Column("bucket", NAME, nullable=False),
        sa.Column("object_name", NAME, nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("visibility", sa.SmallInteger(), nullable=False),
        sa.Column("headers", sa.Text(), nullable=False),
        sa.Column("max_segment_size", BIG, nullable=False),
        sa.Column("data_chunks", sa.Integer(), nullable=False),
        sa.Column("parity_chunks", sa.Integer(), nullable=False),
        sa.Column("max_payload_size", BIG, nullable=False),
        sa.Column("min_charge_size", BIG, nullable=False),
        sa.Column("delegated", sa.Boolean(), nullable=False),
        sa.Column("object_id", BIG, nullable=True),
        sa.Column("version", BIG, nullable=False),
        sa.Column("payload_size", BIG, nullable=True),
        sa.Column("root", sa.LargeBinary(), nullable=True),
        sa.Column("segment_checksums", sa.LargeBinary(), nullable=False),
        sa.Column("stored_at_ms", BIG, nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at_ms", BIG, nullable=True),
        sa.Column("given_up", sa.Boolean(), nullable=False),
        sa.Column("lease_owner", sa.Text(), nullable=False),
        sa.Column("lease_until_ms", BIG, nullable=False),
        sa.Column("due_at_ms", BIG, nullable=True),
        sa.Column("tx_hash", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("created_at_ms", BIG, nullable=False),
        sa.Column("updated_at_ms", BIG, nullable=False),
        sa.Column("collect", sa.SmallInteger(), nullable=False),
        sa.Column("marked_at_ms", BIG, nullable=True),
        sa.Column("collected_at_ms", BIG, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
    )
    create_jobs_indexes()


def create_jobs_indexes() -> None:
    op.create_index("ix_jobs_bucket", "jobs", ["bucket", "id"], unique=False)
    op.create_index("ix_jobs_collected", "jobs", ["collected_at_ms"], unique=False, **where("collect = 2"))
    op.create_index("ix_jobs_due", "jobs", ["due_at_ms", "id"], unique=False, **where("due_at_ms IS NOT NULL"))
    op.create_index(
        "ix_jobs_kept", "jobs", ["bucket", "object_name", "stored_at_ms"], unique=False, **where("collect = 0")
    )
    op.create_index("ix_jobs_name", "jobs", ["bucket", "object_name", "id"], unique=False)
    op.create_index("ix_jobs_object", "jobs", ["object_id", "version"], unique=False, **where("object_id IS NOT NULL"))
    op.create_index("ix_jobs_state", "jobs", ["state", "id"], unique=False)
    op.create_index("ix_jobs_to_collect", "jobs", ["marked_at_ms"], unique=False, **where("collect = 1"))
    op.create_index("ix_jobs_uploading", "jobs", ["lease_until_ms"], unique=False, **where("state < 2"))


def create_history() -> None:
    op.create_table(
        "history",
        sa.Column("job_id", BIG, nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("at_ms", BIG, nullable=False),
        sa.Column("from_state", sa.SmallInteger(), nullable=False),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_history_job_id"),
        sa.PrimaryKeyConstraint("job_id", "seq", name="pk_history"),
        sqlite_with_rowid=False,
    )


def create_secondaries() -> None:
    op.create_table(
        "secondaries",
        sa.Column("job_id", BIG, nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("redundancy_index", sa.SmallInteger(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("asker", sa.Text(), nullable=False),
        sa.Column("expires_at_s", BIG, nullable=False),
        sa.Column("expires_height", BIG, nullable=False),
        sa.Column("approval_signature", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("integrity_hash", sa.LargeBinary(), nullable=True),
        sa.Column("signature", sa.LargeBinary(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("started_at_ms", BIG, nullable=False),
        sa.Column("ended_at_ms", BIG, nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_secondaries_job_id"),
        sa.PrimaryKeyConstraint("job_id", "ordinal", name="pk_secondaries"),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_secondaries_column", "secondaries", ["job_id", "redundancy_index"], unique=True, **where("state <> 3")
    )
    op.create_index(
        "ix_secondaries_provider", "secondaries", ["job_id", "provider"], unique=True, **where("state <> 3")
    )


def create_spares() -> None:
    op.create_table(
        "spares",
        sa.Column("job_id", BIG, nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("asker", sa.Text(), nullable=False),
        sa.Column("expires_at_s", BIG, nullable=False),
        sa.Column("expires_height", BIG, nullable=False),
        sa.Column("approval_signature", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_spares_job_id"),
        sa.PrimaryKeyConstraint("job_id", "provider", name="pk_spares"),
        sqlite_with_rowid=False,
    )


def create_objects() -> None:
    op.create_table(
        "objects",
        sa.Column("bucket", NAME, nullable=False),
        sa.Column("object_name", NAME, nullable=False),
        sa.Column("job_id", BIG, nullable=False),
        sa.Column("updated_at_ms", BIG, nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_objects_job_id"),
        sa.PrimaryKeyConstraint("bucket", "object_name", name="pk_objects"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_objects_job_id", "objects", ["job_id"], unique=True)


def create_deletions() -> None:
    op.create_table(
        "deletions",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("bucket", NAME, nullable=False),
        sa.Column("object_name", NAME, nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("job_id", BIG, nullable=False),
        sa.Column("stored_at_ms", BIG, nullable=False),
        sa.Column("object_id", BIG, nullable=True),
        sa.Column("version", BIG, nullable=False),
        sa.Column("requested_at_ms", BIG, nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at_ms", BIG, nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_deletions"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_deletions_due", "deletions", ["next_attempt_at_ms", "id"], unique=False)
    op.create_index("ix_deletions_name", "deletions", ["bucket", "object_name"], unique=False)


def create_received() -> None:
    op.create_table(
        "received",
        sa.Column("object_id", BIG, nullable=False),
        sa.Column("version", BIG, nullable=False),
        sa.Column("redundancy_index", sa.SmallInteger(), nullable=False),
        sa.Column("bucket", NAME, nullable=False),
        sa.Column("object_name", NAME, nullable=False),
        sa.Column("payload_size", BIG, nullable=False),
        sa.Column("max_segment_size", BIG, nullable=False),
        sa.Column("data_chunks", sa.Integer(), nullable=False),
        sa.Column("parity_chunks", sa.Integer(), nullable=False),
        sa.Column("max_payload_size", BIG, nullable=False),
        sa.Column("min_charge_size", BIG, nullable=False),
        sa.Column("asker", sa.Text(), nullable=False),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("integrity_hash", sa.LargeBinary(), nullable=True),
        sa.Column("piece_checksums", sa.LargeBinary(), nullable=False),
        sa.Column("received_at_ms", BIG, nullable=False),
        sa.Column("updated_at_ms", BIG, nullable=False),
        sa.PrimaryKeyConstraint("object_id", "version", "redundancy_index", name="pk_received"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_received_unsealed", "received", ["updated_at_ms"], unique=False, **where("state < 2"))


def create_received_pieces() -> None:
    op.create_table(
        "received_pieces",
        sa.Column("object_id", BIG, nullable=False),
        sa.Column("version", BIG, nullable=False),
        sa.Column("redundancy_index", sa.SmallInteger(), nullable=False),
        sa.Column("segment", sa.Integer(), nullable=False),
        sa.Column("checksum", sa.LargeBinary(), nullable=False),
        sa.Column("size", BIG, nullable=False),
        sa.ForeignKeyConstraint(
            ["object_id", "version", "redundancy_index"],
            ["received.object_id", "received.version", "received.redundancy_index"],
            name="fk_received_pieces_object_id_version_redundancy_index",
        ),
        sa.PrimaryKeyConstraint("object_id", "version", "redundancy_index", "segment", name="pk_received_pieces"),
        sqlite_with_rowid=False,
    )


def create_peers() -> None:
    op.create_table(
        "peers",
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("frozen_until_ms", BIG, nullable=False),
        sa.Column("last_error", sa.Text(), nullable=False),
        sa.Column("last_success_ms", BIG, nullable=False),
        sa.Column("approvals_given", sa.Integer(), nullable=False),
        sa.Column("approvals_refused", sa.Integer(), nullable=False),
        sa.Column("updated_at_ms", BIG, nullable=False),
        sa.PrimaryKeyConstraint("provider", name="pk_peers"),
    )


def create_cursors() -> None:
    op.create_table(
        "cursors",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", BIG, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_cursors"),
    )
