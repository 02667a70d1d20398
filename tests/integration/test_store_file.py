"""What only a SQLite file can suffer: no room, kill -9, damage, a commit that fails."""

import asyncio
import fcntl
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tomllib
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace
from sqlalchemy.exc import IntegrityError

from gateway.core.batch import Batch
from gateway.core.delivery import DeliveryState
from gateway.core.errors import Full, Misconfigured, Unreachable
from gateway.core.ports import Tx
from gateway.core.units import decode
from gateway.store.audit import verify
from gateway.store.salvage import suspect
from gateway.store.settings import SAMPLE, Settings
from gateway.store.store import SqlStore, Transaction, open_store
from tests.contracts.store_rows import NOW, claim, extraction, put, report
from tests.fakes import batch, block, value

APPENDER = """
import asyncio, sys
from gateway.store.settings import Settings
from tests.fakes import batch, value

async def produce(store, who):
    while True:
        number = await store.write(lambda tx: tx.append(batch(1, 0, value(f"M-{who}", "t", 0, 1.0))))
        sys.stdout.write(f"{number} M-{who}\\n")
        sys.stdout.flush()

async def main():
    store = Settings(path=sys.argv[1]).open()
    await asyncio.gather(*(produce(store, who) for who in range(20)))

asyncio.run(main())
"""

FILLER = """
import asyncio, json, os, subprocess, sys
from gateway.core.errors import Full
from gateway.store.settings import Settings
from tests.contracts.store_rows import NOW, report

async def main():
    folder = sys.argv[1]
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], check=True)
    store = Settings(path=folder + "/data").open()
    kept, told = set(), []

    async def produce(who):
        for n in range(20):
            name = f"{who}-{n}"
            step = lambda tx: (tx.take_report(report(name), NOW), tx.keep(os.urandom(3000), "x"))
            try:
                await store.write(step)
                kept.add(name)
            except Full as full:
                told.append(str(full))

    await asyncio.gather(*(produce(who) for who in range(50)))
    refused, told[:] = len(told), []
    subprocess.run(["mount", "-o", "remount,size=20m", folder], check=True)
    await asyncio.gather(*(produce(who) for who in range(100, 110)))
    held = {one.report.id for one in await store.read(lambda tx: tx.reports(limit=5000))}
    await store.close()
    print(json.dumps([len(kept), refused, len(told), held == kept]))

asyncio.run(main())
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(path=str(tmp_path / "data"))


@pytest.fixture
async def store(settings: Settings) -> AsyncIterator[SqlStore]:
    store = open_store(settings)
    yield store
    await store.close()


async def test_a_commit_that_fails_is_put_again_one_by_one_and_only_the_culprit_fails(store: SqlStore) -> None:
    def orphan(tx: Tx) -> None:
        """Pass every statement, and fail at COMMIT only."""
        assert isinstance(tx, Transaction)
        tx._db.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
        tx._db.exec_driver_sql(
            "INSERT INTO outbox (key, erp, lane, state, attempt, due_at) VALUES ('none', 'e', 'l', 'WAITING', 0, '')"
        )

    def keep(number: int) -> Callable[[Tx], None]:
        return lambda tx: tx.put(str(number), b"1")

    steps = [keep(1), keep(2), orphan, keep(3)]
    outcomes = await asyncio.gather(*(store.write(step) for step in steps), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [type(None), type(None), IntegrityError, type(None)]
    assert await store.read(lambda tx: [tx.get("1"), tx.get("2"), tx.get("3")]) == [b"1"] * 3


async def test_a_full_disk_is_said_nothing_is_corrupt_and_it_goes_on_when_there_is_room(
    store: SqlStore, settings: Settings
) -> None:
    def pages(most: int) -> Callable[[Tx], int]:
        def step(tx: Tx) -> int:
            assert isinstance(tx, Transaction)
            held: int = tx._db.exec_driver_sql("PRAGMA page_count").scalar_one()
            tx._db.exec_driver_sql(f"PRAGMA max_page_count = {held + most}").scalar_one()
            return held

        return step

    big = os.urandom(40_000)
    await store.write(pages(25))
    outcomes = await asyncio.gather(
        *(store.write(lambda tx, n=n: tx.keep(big + bytes([n]), "x")) for n in range(10)), return_exceptions=True
    )
    kept = [outcome for outcome in outcomes if isinstance(outcome, str)]
    assert 0 < len(kept) < 10
    assert all(isinstance(outcome, Full) for outcome in outcomes if not isinstance(outcome, str))
    await store.write(pages(10_000))
    for n in range(10):
        await store.write(lambda tx, n=n: tx.keep(big + bytes([n]), "x"))
    assert all([await store.read(lambda tx, name=name: tx.blob(name)) for name in kept])
    await store.close()
    with sqlite3.connect(settings.file) as raw:
        assert raw.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert raw.execute("SELECT count(*) FROM blobs").fetchone() == (10,)
    raw.close()


def test_a_disk_that_is_really_full_loses_nothing_and_is_used_again_when_there_is_room(tmp_path: Path) -> None:
    alone = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "--map-root-user"]
    if subprocess.run([*alone, "mount", "-t", "tmpfs", "tmpfs", str(tmp_path)], check=False).returncode != 0:
        pytest.skip("needs the right to mount a small file system in a namespace of its own")
    command = [*alone, sys.executable, "-c", FILLER, str(tmp_path)]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=Path(__file__).parents[2], timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    kept, refused, refused_with_room, the_same = json.loads(done.stdout)
    assert kept > 200 and refused > 100 and refused_with_room == 0 and the_same


async def test_another_process_that_holds_the_write_lock_is_waited_for_and_then_unreachable(
    store: SqlStore, settings: Settings
) -> None:
    def hurry(tx: Tx) -> None:
        assert isinstance(tx, Transaction)
        tx._db.exec_driver_sql("PRAGMA busy_timeout = 50")

    await store.write(hurry)
    other = sqlite3.connect(settings.file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    outcomes = await asyncio.gather(
        *(store.write(lambda tx: tx.put("a", b"")) for _ in range(20)), return_exceptions=True
    )
    assert all(isinstance(outcome, Unreachable) and not isinstance(outcome, Full) for outcome in outcomes)
    other.execute("ROLLBACK")
    other.close()
    await store.write(lambda tx: tx.put("a", b""))


@pytest.mark.kill
async def test_what_was_acknowledged_survives_kill_9(settings: Settings) -> None:
    acknowledged: dict[int, str] = {}
    for lines in (1, 40, 200, 400, 900):
        acknowledged |= await asyncio.to_thread(append_until_killed, settings, lines)
    store = settings.open()
    kept: dict[int, str] = {}
    while page := await store.read(partial(behind, max(kept, default=0))):
        kept |= {number: found.readings[0].asset for number, found in page}
    await store.close()
    assert len(acknowledged) > 1500
    assert acknowledged.items() <= kept.items()


def append_until_killed(settings: Settings, lines: int) -> dict[int, str]:
    """Start a process that appends, kill it after some acknowledgements; gives them all."""
    command = [sys.executable, "-c", APPENDER, settings.path]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])
    assert child.stdout is not None
    told = [child.stdout.readline() for _ in range(lines)]
    child.send_signal(signal.SIGKILL)
    told += child.stdout.readlines()
    child.wait(10)
    child.stdout.close()
    whole = [line.split() for line in told if line.endswith("\n")]
    return {int(number): asset for number, asset in whole}


def behind(number: int, tx: Tx) -> list[tuple[int, Batch]]:
    return tx.batches_after(number, limit=5000)


# damage


def record(tx: Tx) -> None:
    for n in range(60):
        tx.append(batch(n, n, block("M-1", n, 1.0, 20), value("M-1", "t", n, n)))
        tx.note("order.made", f"K{n}", NOW)


async def fill(settings: Settings) -> None:
    """Orders in several states, a report, a trail and a long journal."""
    store = settings.open()
    await put(store, *((f"K{n}", f"M-{n}") for n in range(20)))
    await claim(store, limit=5)
    await store.write(lambda tx: tx.take_report(report("r1"), NOW))
    await store.write(lambda tx: tx.read_report(extraction("r1"), "K1"))
    await store.write(record)
    await store.write(lambda tx: tx.advance("flow", 60))
    await store.close()


def spoil(file: Path, tables: tuple[str, ...], *, whole: bool) -> None:
    """Overwrite pages of tables: the root alone, or all but the root."""
    raw = sqlite3.connect(file)
    size = raw.execute("PRAGMA page_size").fetchone()[0]
    spoilt = []
    for table in tables:
        root = raw.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()[0]
        if whole:
            spoilt.append(root)
        else:
            content = file.read_bytes()
            pages = [content[start : start + size] for start in range(0, len(content), size)]
            # 13 marks a leaf of a table; only rows of the journal name their source.
            leaves = [number for number, page in enumerate(pages, 1) if page[0] == 13 and b"fake" in page]
            spoilt.append(leaves[len(leaves) // 2])
    raw.close()
    with file.open("r+b") as handle:
        for page in spoilt:
            handle.seek((page - 1) * size)
            handle.write(b"\xff" * size)
    suspect(file).touch()


async def test_a_file_that_is_no_database_is_set_aside(settings: Settings) -> None:
    settings.file.parent.mkdir()
    settings.file.write_bytes(b"not a database at all " * 500)
    store = settings.open()
    assert await store.read(lambda tx: tx.orders()) == []
    [told] = await store.read(lambda tx: list(tx.audit()))
    assert told.event == "store.salvaged"
    await store.close()
    [aside] = settings.file.parent.glob("andon.db.damaged-*")
    assert aside.read_bytes().startswith(b"not a database")


async def test_a_damaged_journal_costs_no_order_and_numbers_go_on(settings: Settings) -> None:
    await fill(settings)
    spoil(settings.file, ("journal",), whole=True)
    store = settings.open()
    orders = await store.read(lambda tx: tx.orders(limit=100))
    assert sorted(one.order.key for one in orders) == sorted(f"K{n}" for n in range(20))
    assert sum(one.delivery.state is DeliveryState.SENDING for one in orders) == 5
    kept = await store.read(lambda tx: tx.report("r1"))
    assert kept is not None and kept.order_key == "K1"
    lines = await store.read(lambda tx: list(tx.audit()))
    assert verify(lines) is None and lines[-1].event == "store.salvaged"
    assert await store.write(lambda tx: tx.append(batch(1, 1, value("M", "t", 1, 1)))) > 60
    await store.close()


async def test_rows_before_and_behind_the_damage_are_saved(settings: Settings) -> None:
    await fill(settings)
    spoil(settings.file, ("journal",), whole=False)
    store = settings.open()
    numbers = [number for number, _ in await store.read(lambda tx: tx.batches_after(0))]
    assert numbers[0] == 1 and numbers[-1] == 60 and 40 < len(numbers) < 60
    await store.close()


async def test_an_order_whose_delivery_was_lost_is_uncertain(settings: Settings) -> None:
    await fill(settings)
    spoil(settings.file, ("outbox",), whole=True)
    store = settings.open()
    orders = await store.read(lambda tx: tx.orders(limit=100))
    assert len(orders) == 20
    assert {one.delivery.state for one in orders} == {DeliveryState.UNCERTAIN}
    assert {(one.delivery.erp, one.delivery.lane == one.order.asset) for one in orders} == {("erp", True)}
    await store.close()


async def test_an_order_keeps_its_versions_through_a_rescue(settings: Settings) -> None:
    await fill(settings)
    store = settings.open()
    first = (await store.read(lambda tx: tx.orders(limit=100)))[0].order
    grown = replace(first, version=2, title="grown")
    assert await store.write(lambda tx: tx.change_order(grown, NOW))
    await store.close()
    spoil(settings.file, ("outbox",), whole=True)
    store = settings.open()
    held = await store.read(lambda tx: tx.order(first.key))
    assert held is not None
    assert (held.order, held.delivery.version) == (grown, 2)
    assert await store.read(lambda tx: tx.order_version(first.key, 1)) == first
    assert await store.write(lambda tx: tx.change_order(replace(grown, version=3), NOW))
    await store.close()


async def test_a_damaged_file_that_another_process_uses_is_left_alone(settings: Settings) -> None:
    await fill(settings)
    spoil(settings.file, ("outbox",), whole=True)
    with (settings.file.parent / "andon.lock").open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_SH)
        with pytest.raises(Misconfigured, match="another process"):
            settings.open()
    await settings.open().close()


async def test_a_rescue_that_was_cut_off_is_finished(settings: Settings) -> None:
    await fill(settings)
    settings.file.rename(settings.file.with_name("andon.db.saved"))
    store = settings.open()
    assert len(await store.read(lambda tx: tx.orders(limit=100))) == 20
    await store.close()
    settings.file.with_name("andon.db.saved").write_bytes(b"half")
    store = settings.open()
    assert len(await store.read(lambda tx: tx.orders(limit=100))) == 20
    await store.close()
    assert not settings.file.with_name("andon.db.saved").exists()


async def test_damage_that_a_look_meets_is_remembered_for_the_next_start(settings: Settings) -> None:
    await fill(settings)
    spoil(settings.file, ("reports",), whole=True)
    suspect(settings.file).unlink()
    store = settings.open()
    with pytest.raises(Misconfigured, match="damaged"):
        await store.read(lambda tx: tx.report("r1"))
    assert suspect(settings.file).exists()
    await store.close()
    store = settings.open()
    assert await store.read(lambda tx: tx.report("r1")) is None
    assert len(await store.read(lambda tx: tx.orders(limit=100))) == 20
    await store.close()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Misconfigured, match="file"):
        Settings(path=str(tmp_path / "file" / "data")).open()


def test_a_database_that_is_a_folder_is_said_in_our_words(settings: Settings) -> None:
    settings.file.mkdir(parents=True)
    with pytest.raises(Unreachable, match="CANTOPEN"):
        settings.open()


def test_a_sample_of_the_settings_is_read() -> None:
    read = msgspec.convert(tomllib.loads(SAMPLE)["store"], Settings, dec_hook=decode)
    assert read == Settings()
