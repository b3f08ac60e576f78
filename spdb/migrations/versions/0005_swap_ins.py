"""Columns of sealed objects that other providers take over from one that leaves."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "swap_ins",
        sa.Column("job_id", BIG, nullable=False),
        sa.Column("redundancy_index", sa.SmallInteger(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=True),
        sa.Column("asker", sa.Text(), nullable=True),
        sa.Column("expires_at_s", BIG, nullable=True),
        sa.Column("expires_height", BIG, nullable=True),
        sa.Column("approval_signature", sa.LargeBinary(), nullable=True),
        sa.Column("integrity_hash", sa.LargeBinary(), nullable=True),
        sa.Column("signature", sa.LargeBinary(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due_at_ms", BIG, nullable=False),
        sa.Column("lease_owner", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("created_at_ms", BIG, nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_swap_ins_job_id"),
        sa.PrimaryKeyConstraint("job_id", "redundancy_index", name="pk_swap_ins"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_swap_ins_due", "swap_ins", ["due_at_ms"], unique=False)


def downgrade() -> None:
    op.drop_table("swap_ins")
