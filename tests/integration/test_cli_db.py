"""`andon db` as a person calls it."""

import asyncio
import sqlite3
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.cli.db import cli
from gateway.core.errors import Refused
from gateway.store.schema import HEAD
from gateway.store.settings import Settings
from tests.contracts.store_rows import NOW, put

FILE = """
[site]
id = "SZ1"
[store]
path = "{path}"
[[asset]]
id = "M-1"
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = Settings(path=str(tmp_path / "data"))
    (tmp_path / "andon.toml").write_text(FILE.format(path=settings.path))
    return settings


def call(settings: Settings, *words: str) -> Result:
    config = str(Path(settings.path).parent / "andon.toml")
    return CliRunner().invoke(cli, [*words, "--config", config])


def test_current_says_what_is_missing_and_upgrade_makes_it(settings: Settings) -> None:
    before = call(settings, "current")
    assert (before.exit_code, "no database yet" in before.output) == (6, True)
    assert not settings.file.exists()
    assert call(settings, "upgrade").exit_code == 0
    after = call(settings, "current")
    assert (after.exit_code, after.output) == (0, f"{HEAD}\n")


def test_check_finds_a_trail_that_was_changed(settings: Settings) -> None:
    async def fill() -> None:
        store = settings.open()
        for n in range(3):
            await store.write(lambda tx, n=n: tx.note("order.made", f"K{n}", NOW))
        await store.close()

    asyncio.run(fill())
    assert call(settings, "check").exit_code == 0
    with sqlite3.connect(settings.file) as raw:
        raw.execute("UPDATE audit SET subject = 'K9' WHERE number = 2")
    raw.close()
    found = call(settings, "check")
    assert (found.exit_code, "line 2" in found.output) == (6, True)


def test_a_backup_taken_while_the_store_is_open_is_whole(settings: Settings, tmp_path: Path) -> None:
    target = tmp_path / "copy" / "andon.db"
    target.parent.mkdir()

    async def fill() -> Result:
        store = settings.open()
        await put(store, ("K1", "M-1"))
        result = await asyncio.to_thread(call, settings, "backup", str(target))
        await store.close()
        return result

    result = asyncio.run(fill())
    assert result.exit_code == 0, result.output
    assert sorted(found.name for found in target.parent.iterdir()) == ["andon.db"]
    with sqlite3.connect(target) as raw:
        assert raw.execute("SELECT key FROM orders").fetchall() == [("K1",)]
    raw.close()
    again = call(settings, "backup", str(target))
    assert isinstance(again.exception, Refused) and "exists already" in str(again.exception)
