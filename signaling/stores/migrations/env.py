"""Run by Alembic. The connection comes from `upgrade`, already in its transaction."""

from alembic import context

from signaling.stores.schema import metadata

context.configure(
    connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True
)
context.run_migrations()
