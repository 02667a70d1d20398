"""The store: tables, one writer with group commit, readers."""
