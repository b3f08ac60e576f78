"""Resumable uploads, and keys that applications sign with."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "resumables",
        sa.Column("bucket", NAME, nullable=False),
        sa.Column("object_name", NAME, nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("job_id", BIG, nullable=False),
        sa.Column("segment_checksums", sa.LargeBinary(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("held_until_ms", BIG, nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_resumables_job_id"),
        sa.PrimaryKeyConstraint("bucket", "object_name", "account", name="pk_resumables"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_resumables_job_id", "resumables", ["job_id"], unique=True)
    op.create_table(
        "auth_keys",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("domain", sa.Text(), nullable=False),
        sa.Column("public_key", sa.Text(), nullable=False),
        sa.Column("expires_at_ms", BIG, nullable=False),
        sa.PrimaryKeyConstraint("account", "domain", "public_key", name="pk_auth_keys"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_auth_keys_expires_at_ms", "auth_keys", ["expires_at_ms"], unique=False)


def downgrade() -> None:
    op.drop_table("auth_keys")
    op.drop_table("resumables")
