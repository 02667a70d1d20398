"""Where everything is kept that must survive: SQLite by default, PostgreSQL by URL."""
