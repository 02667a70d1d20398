"""Production orders in both stores."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.core.ports import Store
from gateway.store.settings import Settings
from tests.contracts.production_store import ProductionStoreContract
from tests.postgres import Server, postgres

__all__ = ["postgres"]


class TestSqlite(ProductionStoreContract):
    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[Store]:
        store = Settings(path=str(tmp_path)).open()
        yield store
        await store.close()


@pytest.mark.postgres
class TestPostgres(ProductionStoreContract):
    @pytest.fixture
    async def store(self, postgres: Server) -> AsyncIterator[Store]:
        store = Settings(url=postgres.database()).open()
        yield store
        await store.close()
