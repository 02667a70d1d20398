"""The store on SQLite, and what only a file can suffer."""

from pathlib import Path

import pytest

from gateway.store.settings import Settings
from tests.contracts.store import StoreContract


class TestSqlite(StoreContract):
    @pytest.fixture
    def settings(self, tmp_path: Path) -> Settings:
        return Settings(path=str(tmp_path / "data"))
