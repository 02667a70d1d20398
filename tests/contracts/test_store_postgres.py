"""The store on PostgreSQL."""

import asyncio
import threading

import pytest
from sqlalchemy import make_url

from gateway.core.errors import Misconfigured, Unreachable
from gateway.core.ports import Store, Tx
from gateway.core.secret import SecretRef
from gateway.store.settings import Settings
from tests.contracts.store import StoreContract
from tests.postgres import Server, postgres

__all__ = ["postgres"]


@pytest.mark.postgres
class TestPostgres(StoreContract):
    @pytest.fixture
    def settings(self, postgres: Server) -> Settings:
        return Settings(url=postgres.database())

    async def test_a_step_that_lost_a_deadlock_is_run_again(self, postgres: Server, store: Store) -> None:
        await store.write(lambda tx: (tx.put("a", b"0"), tx.put("b", b"0")))
        turns: list[int] = []
        mine, theirs = threading.Event(), threading.Event()

        def step(tx: Tx) -> None:
            turns.append(1)
            tx.put("a", b"1")
            mine.set()
            assert theirs.wait(10)
            tx.put("b", b"1")

        def stranger() -> None:
            """Takes the rows the other way round, and takes no lock before: another program."""
            with postgres.stranger() as other:
                other.execute("set deadlock_timeout = '20s'")
                with other.transaction():
                    other.execute("update keepsakes set value = '2' where name = 'b'")
                    theirs.set()
                    assert mine.wait(10)
                    other.execute("update keepsakes set value = '2' where name = 'a'")

        await asyncio.gather(store.write(step), asyncio.to_thread(stranger))
        assert len(turns) >= 2
        assert await store.read(lambda tx: (tx.get("a"), tx.get("b"))) == (b"1", b"1")

    @pytest.mark.parametrize("name", ["nowhere", "nothing"])
    def test_a_server_or_database_that_is_not_there_is_named_at_the_start(self, postgres: Server, name: str) -> None:
        url = make_url(postgres.latest)
        url = url.set(database=name) if name == "nothing" else url.set(query={"host": "/nowhere"})
        with pytest.raises(Unreachable, match=name):
            Settings(url=url.render_as_string(hide_password=False)).open()

    def test_a_url_that_is_none_is_refused_without_being_printed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("STORE_URL", "//user:hunter2@host/name")
        for url, why in (
            ("mysql://user:hunter2@host/name", "mysql"),
            (SecretRef(env="STORE_URL"), "not a database URL"),
        ):
            with pytest.raises(Misconfigured, match=why) as refused:
                Settings(url=url).open()
            assert "hunter2" not in str(refused.value)

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
