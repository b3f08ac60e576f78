"""Tag sets of objects."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "object_tags",
        sa.Column("job_id", BIG, autoincrement=False, nullable=False),
        sa.Column("tags", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_object_tags_job_id"),
        sa.PrimaryKeyConstraint("job_id", name="pk_object_tags"),
    )


def downgrade() -> None:
    op.drop_table("object_tags")
