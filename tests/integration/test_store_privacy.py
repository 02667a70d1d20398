"""The store is for its owner alone: it holds what people said and the tokens of the line's sessions."""

import asyncio
import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from gateway.store.backup import backup
from gateway.store.settings import Settings
from gateway.store.store import open_store
from tests.fakes import batch, block, value

TOKEN = b"session-token-of-the-line"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def open_mask() -> Iterator[None]:
    """As bad as can be: everything new is for everybody."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("open_mask")
async def test_folder_database_and_what_lies_beside_it_are_for_the_owner_alone(tmp_path: Path) -> None:
    settings = Settings(path=str(tmp_path / "data"))
    store = settings.open()
    await store.write(lambda tx: tx.put("line.cell.session", TOKEN))
    assert mode(tmp_path / "data") == 0o700
    beside = sorted(settings.file.parent.glob("andon.db*"))
    assert len(beside) >= 2
    assert {mode(path) for path in beside} == {0o600}
    await store.close()


@pytest.mark.usefixtures("open_mask")
async def test_a_rescued_database_is_as_private_as_the_first(tmp_path: Path) -> None:
    settings = Settings(path=str(tmp_path / "data"))
    settings.file.parent.mkdir()
    settings.file.write_bytes(b"no database at all, " * 400)
    store = open_store(settings)
    await store.close()
    assert mode(settings.file) == 0o600


@pytest.mark.usefixtures("open_mask")
async def test_a_backup_is_private_and_leaves_the_line_s_memory_out(tmp_path: Path) -> None:
    settings = Settings(path=str(tmp_path / "data"))
    store = settings.open()
    await store.write(lambda tx: (tx.put("line.cell.session", TOKEN), tx.put("baselines", b"kept")))
    await store.write(lambda tx: tx.append(batch(1, 0, value("M", "t", 0, 1.0))))
    copy = tmp_path / "copy.db"
    backup(settings, copy)
    await store.close()
    assert mode(copy) == 0o600
    assert TOKEN in settings.file.read_bytes()
    assert TOKEN not in copy.read_bytes()
    with closing(sqlite3.connect(copy)) as raw:
        assert raw.execute("SELECT name FROM keepsakes").fetchall() == [("baselines",)]
        assert raw.execute("SELECT count(*) FROM journal").fetchone() == (1,)


async def test_readings_can_be_dropped_by_hand(tmp_path: Path) -> None:
    (tmp_path / "andon.toml").write_text(f'[store]\npath = "{tmp_path}/data"\nwhen_full = "stop_intake"\n')
    store = Settings(path=str(tmp_path / "data")).open()
    for second in range(20):
        await store.write(lambda tx, second=second: tx.append(batch(1, second, block("M", second, 1.0, seconds=50))))
    before = await store.read(lambda tx: tx.held())
    command = [
        sys.executable,
        "-m",
        "gateway.cli.main",
        "db",
        "trim",
        "-c",
        str(tmp_path / "andon.toml"),
        "--to",
        "1kB",
    ]
    run = partial(subprocess.run, command, capture_output=True, text=True, check=False, timeout=60)
    done = await asyncio.to_thread(run)
    assert done.returncode == 0, done.stderr
    held = await store.read(lambda tx: tx.held())  # the store that was open all the time sees it
    assert held.size <= 1000 < before.size
    assert held.dropped == 20 - held.values > 0
    assert await store.write(lambda tx: tx.append(batch(1, 0, value("M", "t", 0, 1.0)))) == 21
    assert (await store.read(lambda tx: tx.held())).values == held.values + 1
    events = [line.event for line in await store.read(lambda tx: list(tx.audit()))]
    await store.close()
    assert events == ["journal.trimmed"]
