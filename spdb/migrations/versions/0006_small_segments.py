"""Segments too small for a file each."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "small_segments",
        sa.Column("job_id", BIG, autoincrement=False, nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_small_segments_job_id"),
        sa.PrimaryKeyConstraint("job_id", name="pk_small_segments"),
    )
    if op.get_bind().dialect.name == "postgresql":  # else it tries to compress each payload of more than 2 KiB
        op.execute("ALTER TABLE small_segments ALTER COLUMN payload SET STORAGE EXTERNAL")


def downgrade() -> None:
    op.drop_table("small_segments")
