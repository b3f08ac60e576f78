"""Called by Alembic: run the revisions on the connection that `upgrade` hands over."""

from alembic import context

from spdb.models import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
with context.begin_transaction():
    context.run_migrations()
