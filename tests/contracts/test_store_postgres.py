"""The store on PostgreSQL."""

import pytest

from gateway.core.errors import Unreachable
from gateway.store.settings import Settings
from tests.contracts.store import StoreContract
from tests.postgres import Server, postgres

__all__ = ["postgres"]


@pytest.mark.postgres
class TestPostgres(StoreContract):
    @pytest.fixture
    def settings(self, postgres: Server) -> Settings:
        return Settings(url=postgres.database())

    async def test_a_server_that_goes_away_is_unreachable_and_comes_back(self, postgres: Server) -> None:
        store = Settings(url=postgres.database()).open()
        await store.write(lambda tx: tx.put("a", b"1"))
        postgres.stop()
        try:
            for ask in (store.write, store.read):
                with pytest.raises(Unreachable):
                    await ask(lambda tx: tx.get("a"))
        finally:
            postgres.start()
        assert await store.write(lambda tx: tx.get("a")) == b"1"
        assert await store.read(lambda tx: tx.get("a")) == b"1"
        await store.close()
