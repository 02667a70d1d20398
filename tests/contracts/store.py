"""What every store promises: one suite for SQLite and PostgreSQL."""

from collections.abc import AsyncIterator

import pytest

from gateway.core.ports import Store
from gateway.store.settings import Settings
from tests.contracts.store_journal import Journal
from tests.contracts.store_outbox import Outbox
from tests.contracts.store_records import Records
from tests.contracts.store_transactions import Transactions
from tests.contracts.store_versions import Versions


class StoreContract(Transactions, Journal, Records, Outbox, Versions):
    """Inherited by each store; a subclass gives the fixture `settings` for an empty database."""

    @pytest.fixture
    def settings(self) -> Settings:
        raise NotImplementedError

    @pytest.fixture
    async def store(self, settings: Settings) -> AsyncIterator[Store]:
        store = settings.open()
        yield store
        await store.close()
