"""Runs the migrations on the connection that `gateway.store.schema.upgrade` hands in."""

from alembic import context

from gateway.store.tables import metadata

connection = context.config.attributes["connection"]
# The caller owns the transaction: a migration that fails leaves nothing behind, on SQLite too.
context.configure(connection=connection, target_metadata=metadata, render_as_batch=True, transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
