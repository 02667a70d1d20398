"""What every store promises of a step and a look: all or nothing, many at once, an end."""

import asyncio
import threading
from collections.abc import Callable
from datetime import datetime

import pytest

from gateway.core.errors import Full, Unreachable
from gateway.core.ports import Store, Tx
from gateway.store.settings import Settings
from tests.fakes import batch, value


class Transactions:
    """Steps and looks."""

    async def test_a_step_gives_back_what_it_returns(self, store: Store) -> None:
        assert await store.write(lambda _: "done") == "done"

    async def test_what_was_written_is_there_after_opening_again(self, settings: Settings) -> None:
        first = settings.open()
        await first.write(lambda tx: tx.put("a", b"1"))
        await first.close()
        second = settings.open()
        assert await second.read(lambda tx: tx.get("a")) == b"1"
        await second.close()

    async def test_a_step_that_raises_takes_back_its_own_work_alone(self, store: Store) -> None:
        def bad(tx: Tx) -> None:
            tx.put("bad", b"1")
            raise ValueError("no")

        def good(number: int) -> Callable[[Tx], None]:
            return lambda tx: tx.put(f"good{number}", b"1")

        hold = threading.Event()
        held = asyncio.create_task(store.write(lambda _: hold.wait(10)))  # so that the others share a commit
        await asyncio.sleep(0)
        steps = [asyncio.create_task(store.write(step)) for step in (good(1), bad, good(2))]
        await asyncio.sleep(0)
        hold.set()
        outcomes = await asyncio.gather(held, *steps, return_exceptions=True)
        assert isinstance(outcomes[2], ValueError)
        kept = await store.read(lambda tx: [tx.get("good1"), tx.get("bad"), tx.get("good2")])
        assert kept == [b"1", None, b"1"]

    async def test_a_database_error_of_one_step_leaves_the_others(self, store: Store) -> None:
        naive = datetime(2026, 3, 18, 12)  # noqa: DTZ001 - the mistake under test
        tasks = [store.write(lambda tx, n=n: tx.put(str(n), b"")) for n in range(5)]
        bad = store.write(lambda tx: tx.note("naive", "time", naive))
        outcomes = await asyncio.gather(*tasks, bad, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes[:5]] == [type(None)] * 5
        assert "without a zone" in str(outcomes[5])
        assert await store.read(lambda tx: tx.get("4")) == b""

    async def test_200_producers_share_commits_and_lose_nothing(self, store: Store) -> None:
        async def produce(who: int) -> list[int]:
            return [
                await store.write(lambda tx: tx.append(batch(1, 0, value(f"M-{who}", "speed", 0, 1.0))))
                for _ in range(3)
            ]

        produced = await asyncio.gather(*(produce(who) for who in range(200)))
        numbers = [number for some in produced for number in some]
        assert len(set(numbers)) == 600
        assert (await store.read(lambda tx: tx.counts())).readings == 600

    async def test_500_updates_that_read_first_are_all_counted(self, store: Store, settings: Settings) -> None:
        other = settings.open()

        def add(tx: Tx) -> None:
            tx.put("sum", str(int(tx.get("sum") or b"0") + 1).encode())

        await asyncio.gather(*(one.write(add) for one in (store, other) for _ in range(250)))
        await other.close()
        assert await store.read(lambda tx: tx.get("sum")) == b"500"

    async def test_a_look_sees_one_moment_while_others_write(self, store: Store) -> None:
        looked, written = threading.Event(), threading.Event()

        def look(tx: Tx) -> tuple[bytes | None, bytes | None]:
            before = tx.get("a")
            looked.set()
            assert written.wait(10)
            return before, tx.get("a")

        await store.write(lambda tx: tx.put("a", b"old"))
        looking = asyncio.create_task(store.read(look))
        await asyncio.to_thread(looked.wait, 10)
        await store.write(lambda tx: tx.put("a", b"new"))
        written.set()
        assert await looking == (b"old", b"old")
        assert await store.read(lambda tx: tx.get("a")) == b"new"

    async def test_a_look_must_not_write(self, store: Store) -> None:
        with pytest.raises(RuntimeError, match="must not write"):
            await store.read(lambda tx: tx.put("a", b"1"))
        assert await store.read(lambda tx: tx.get("a")) is None

    async def test_a_cancelled_caller_breaks_nothing_for_the_others(self, store: Store) -> None:
        hold = threading.Event()
        held = asyncio.create_task(store.write(lambda _: hold.wait(10)))
        await asyncio.sleep(0)
        tasks = [asyncio.create_task(store.write(lambda tx, n=n: tx.put(str(n), b"1"))) for n in range(10)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        hold.set()
        await held
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert [isinstance(outcome, asyncio.CancelledError) for outcome in outcomes] == [True, False] * 5
        kept = await store.read(lambda tx: [tx.get(str(n)) for n in range(10)])
        assert kept == [None, b"1"] * 5

    async def test_when_too_many_wait_the_next_is_told_at_once(self, store: Store) -> None:
        hold, held = threading.Event(), threading.Event()

        def wait(_: Tx) -> bool:
            held.set()
            return hold.wait(10)

        first = asyncio.create_task(store.write(wait))
        await asyncio.to_thread(held.wait, 10)
        crowd = [asyncio.create_task(store.write(lambda tx: tx.cursor("x"))) for _ in range(2001)]
        await asyncio.sleep(0)
        with pytest.raises(Full):
            await crowd[-1]
        hold.set()
        await asyncio.gather(first, *crowd[:-1])
        assert await store.write(lambda _: 1) == 1

    async def test_too_many_looks_are_told_and_cancelled_ones_give_their_place_back(self, store: Store) -> None:
        hold = threading.Event()
        for _ in range(2):
            looks = [asyncio.create_task(store.read(lambda _: hold.wait(10))) for _ in range(257)]
            await asyncio.sleep(0)
            with pytest.raises(Full):
                await looks[-1]
            for look in looks[:-1]:
                look.cancel()
            await asyncio.gather(*looks, return_exceptions=True)
            hold.set()
            async with asyncio.timeout(10):
                while not await free(store):
                    pass
            hold.clear()
        hold.set()
        assert await store.read(lambda _: 1) == 1

    async def test_closing_writes_what_waits_and_then_refuses(self, settings: Settings) -> None:
        store = settings.open()
        tasks = [asyncio.create_task(store.write(lambda tx, n=n: tx.put(str(n), b"1"))) for n in range(50)]
        await asyncio.sleep(0)
        await store.close()
        await asyncio.gather(*tasks)
        await store.close()
        for ask in (store.write, store.read):
            with pytest.raises(Unreachable):
                await ask(lambda tx: tx.get("1"))
        again = settings.open()
        assert await again.read(lambda tx: tx.get("49")) == b"1"
        await again.close()


async def free(store: Store) -> bool:
    """Whether no look is in the way of a full house of looks."""
    outcomes = await asyncio.gather(*(store.read(lambda _: 1) for _ in range(256)), return_exceptions=True)
    return not any(isinstance(outcome, Full) for outcome in outcomes)
