"""What cannot be digested is set aside with its reason, and the next still goes."""

import asyncio
import struct
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from gateway.core.asset import Asset, Plant, Site
from gateway.core.delivery import Capabilities, Delivered, DeliveryState, ErpRef, Idempotency, Outcome
from gateway.core.diagnosis import Diagnosis
from gateway.core.episode import Decision, EpisodeState
from gateway.core.order import WorkOrder
from gateway.core.ports import Diagnoser, Store
from gateway.core.report import Extraction, QualityReport
from gateway.core.window import Window
from gateway.flow.book import Book
from gateway.flow.deliver import Deliverer
from gateway.flow.desk import Desk
from gateway.flow.diagnose import CURSOR, NOT_JUDGED, Diagnosing
from gateway.flow.episode import Rules, told_episode
from gateway.flow.patience import Patience
from gateway.flow.reconcile import Reconciler
from gateway.flow.replay import Span, diagnose
from gateway.flow.settle import Policy
from gateway.flow.words import Listening
from tests.fakes import LevelDiagnoser, at, batch, block, cutter, journal

PLANT = Plant(Site(id="SZ1"), (Asset(id="M"),))
DESK = Desk(PLANT, b"secret", "main", "cfg")
TOLD = Extraction(
    id="", intent="defect_report", fine_intent="equipment_fault", asset="M", failure_modes=("NOI",), route="order",
    confidence=0.9, masked="pump is noisy",
)  # fmt: skip


def book(limit: float = 0.6) -> Book:
    return Book(PLANT, Rules(3, 5), b"secret", "main", limit, "en", "cfg")


def road(store: Store, diagnoser: Diagnoser, wake: asyncio.Event, pool: ThreadPoolExecutor, own: Book) -> Diagnosing:
    return Diagnosing(store, diagnoser, own, cutter, pool, lambda: at(0), wake, lambda: None, lambda *_: None)


async def diagnosed(store: Store, windows: int, diagnoser: Diagnoser, own: Book | None = None) -> None:
    """Run the diagnosis until the store has so many windows."""
    with ThreadPoolExecutor(1) as pool:
        wake = asyncio.Event()
        running = asyncio.create_task(road(store, diagnoser, wake, pool, own or book()).run())
        async with asyncio.timeout(20):
            while not running.done() and await store.read(lambda tx: len(tx.diagnoses(limit=1000))) < windows:
                wake.set()
                await asyncio.sleep(0.01)
        if running.done():
            running.result()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


class Chokes(LevelDiagnoser):
    """Breaks on a waveform of level 9, whatever stands beside it."""

    def diagnose(self, windows: Sequence[Window]) -> list[Diagnosis]:
        for window in windows:
            if struct.unpack("<f", window.waveforms[0].samples[:4])[0] == 9:
                raise ZeroDivisionError("Johnson")
        return super().diagnose(windows)


async def test_a_window_that_breaks_the_models_is_said_and_the_others_are_judged(store: Store) -> None:
    await journal(store, [1, 9, 1, 1, 0])
    await diagnosed(store, 5, Chokes())
    assert len(await store.read(lambda tx: tx.orders())) == 1
    bad = [seen for seen in await store.read(lambda tx: tx.diagnoses()) if seen.remarks[:1] == (NOT_JUDGED,)]
    assert [seen.start for seen in bad] == [at(2)]
    [line] = [line for line in await store.read(lambda tx: list(tx.audit())) if line.event == "window.not_judged"]
    assert "ZeroDivisionError" in line.detail
    assert "Johnson" not in line.detail
    assert await store.read(lambda tx: tx.cursor(CURSOR)) >= 4


class Unheard(LevelDiagnoser):
    """Gives a verdict that cannot be written down (no such asset name can be stored)."""

    def diagnose(self, windows: Sequence[Window]) -> list[Diagnosis]:
        return [
            replace(seen, remarks=("\ud800",)) if place == 1 else seen
            for place, seen in enumerate(super().diagnose(windows))
        ]


async def test_a_verdict_that_cannot_be_written_is_said_and_the_others_stand(store: Store) -> None:
    await journal(store, [1, 1, 1, 1, 0])
    await diagnosed(store, 5, Unheard())
    assert len(await store.read(lambda tx: tx.orders())) == 1
    bad = [seen for seen in await store.read(lambda tx: tx.diagnoses()) if seen.remarks[:1] == (NOT_JUDGED,)]
    assert len(bad) == 1


class StopsAfter(LevelDiagnoser):
    """Is killed in its second call."""

    calls = 0

    def diagnose(self, windows: Sequence[Window]) -> list[Diagnosis]:
        self.calls += 1
        if self.calls > 1:
            raise KeyboardInterrupt
        return super().diagnose(windows)


async def test_a_crash_between_two_loads_of_windows_loses_none_of_them(store: Store) -> None:
    await journal(store, [0] * 50)
    with ThreadPoolExecutor(1) as pool:
        killed = road(store, StopsAfter(), asyncio.Event(), pool, book())
        with pytest.raises(KeyboardInterrupt):
            await killed._step(cutter(), 0)
    assert len(await store.read(lambda tx: tx.diagnoses(limit=1000))) == 32
    await diagnosed(store, 50, LevelDiagnoser())
    assert len(await store.read(lambda tx: tx.diagnoses(limit=1000))) == 50


@pytest.mark.parametrize("moment", [datetime.max.replace(tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)])
async def test_a_block_of_the_latest_time_there_is_can_be_journalled_and_the_line_goes_on(
    store: Store, moment: datetime
) -> None:
    bad = replace(block("M", 0, 0.0, seconds=2), sourced_at=moment)
    await store.write(lambda tx: tx.append(batch(1, 2, bad)))
    await journal(store, [0, 1, 1, 1, 0], first=1)
    await diagnosed(store, 6, LevelDiagnoser())
    assert len(await store.read(lambda tx: tx.orders())) == 1
    assert await store.read(lambda tx: tx.cursor(CURSOR)) >= 5


# words


class Reads:
    """An interpreter that does as told for each text."""

    engine = "told"

    def __init__(self, **texts: Extraction | Exception) -> None:
        self._texts = texts

    def interpret(self, report: QualityReport, plant: Plant) -> Extraction:
        said = self._texts[report.text]
        if isinstance(said, Exception):
            raise said
        return replace(said, id=report.id)


async def told(store: Store, reads: Reads, *reports: tuple[str, str], moment: datetime | None = None) -> None:
    for name, text in reports:
        report = QualityReport(id=name, text=text, reported_at=moment or at(0))
        await store.write(lambda tx, report=report: tx.take_report(report, at(0)))
    with ThreadPoolExecutor(1) as pool:
        listening = Listening(store, reads, DESK, pool, lambda: at(0), asyncio.Event(), lambda: None, lambda _: None)
        for _ in range(5):
            if not await listening.step():
                return
    raise AssertionError("the same reports again and again")


@pytest.mark.parametrize("said", [ValueError("Johnson"), replace(TOLD, masked="\ud800")])
async def test_a_report_that_nobody_can_digest_goes_to_review_and_the_next_becomes_an_order(
    store: Store, said: Extraction | Exception
) -> None:
    await told(store, Reads(bad=said, good=TOLD), ("r1", "bad"), ("r2", "good"))
    [waiting] = await store.read(lambda tx: tx.reports(route="review"))
    assert waiting.report.id == "r1"
    assert waiting.extraction is not None
    assert waiting.extraction.why[0] == "failed"
    assert waiting.extraction.why[1] in {"ValueError", "UnicodeEncodeError"}
    [stored] = await store.read(lambda tx: tx.orders())
    assert stored.order.source.id == "r2"
    trail = await store.read(lambda tx: [line.detail for line in tx.audit()])
    assert not any("Johnson" in line for line in trail)


async def test_what_a_person_ruled_is_not_read_over_by_a_second_process(store: Store) -> None:
    await told(store, Reads(text=TOLD), ("r1", "text"))
    report = QualityReport(id="r1", text="text", reported_at=at(0))
    late = replace(TOLD, id="r1", route="review")
    key = await store.write(lambda tx: DESK.conclude(tx, report, late, at(1)))
    held = await store.read(lambda tx: tx.report("r1"))
    assert held is not None and held.extraction is not None
    assert (held.extraction.route, held.order_key) == ("order", key)
    assert key is not None


# one trouble, one order


async def orders(store: Store) -> int:
    return len(await store.read(lambda tx: tx.orders(limit=1000)))


async def test_a_machines_unsure_trouble_that_people_confirm_is_one_order_also_when_it_gets_surer(store: Store) -> None:
    unsure = book(limit=2.0)
    await journal(store, [1, 1, 1])
    await diagnosed(store, 3, LevelDiagnoser(), unsure)
    [episode] = await store.read(lambda tx: tx.episodes())
    assert (episode.state, episode.decision) == (EpisodeState.OPEN, Decision.NOTE)
    await told(store, Reads(text=TOLD), ("r1", "text"))
    await told(store, Reads(text=TOLD), ("r2", "text"))
    await journal(store, [1, 1, 1], first=3)
    await diagnosed(store, 6, LevelDiagnoser())
    assert await orders(store) == 1
    [episode] = await store.read(lambda tx: tx.episodes())
    assert episode.reports == ("r1", "r2")


async def test_a_report_stamped_next_century_swallows_no_later_one(store: Store) -> None:
    await told(store, Reads(text=TOLD), ("r1", "text"), moment=datetime(2100, 1, 1, tzinfo=UTC))
    await told(store, Reads(text=TOLD), ("r2", "text"))
    await told(store, Reads(text=TOLD), ("r3", "text"), moment=datetime.min.replace(tzinfo=UTC))
    assert await orders(store) == 3


async def test_a_lot_is_known_again_among_many_open_troubles(store: Store) -> None:
    lot = replace(TOLD, asset=None, failure_modes=(), defects=("BURR",), batch="L7")
    others = {f"t{number}": replace(lot, batch=f"X{number}") for number in range(150)}
    await told(store, Reads(lot=lot), ("first", "lot"))
    with ThreadPoolExecutor(1) as pool:
        for text in others:
            report = QualityReport(id=text, text=text, reported_at=at(60))
            await store.write(lambda tx, report=report: tx.take_report(report, at(60)))
        reads = Reads(**others)
        listening = Listening(store, reads, DESK, pool, lambda: at(0), asyncio.Event(), lambda: None, lambda _: None)
        while await listening.step():
            pass
    await told(store, Reads(lot=lot), ("again", "lot"), moment=at(120))
    assert await orders(store) == 151


async def test_a_machines_trouble_is_confirmed_behind_many_open_reports_about_the_machine(store: Store) -> None:
    later = [
        told_episode(f"K{number}", TOLD, QualityReport(id=f"r{number}", text="x", reported_at=at(100)))
        for number in range(120)
    ]
    await store.write(lambda tx: [tx.put_episode(episode) for episode in later])
    await journal(store, [1, 1, 1, 1])
    await diagnosed(store, 4, LevelDiagnoser())
    assert await orders(store) == 1


# replay


async def replayed(store: Store, levels: Callable[[], Diagnoser] = LevelDiagnoser, since: float = -10) -> list[str]:
    with ThreadPoolExecutor(1) as pool:
        span = Span(at(since), at(10_000))
        done = await diagnose(store, levels(), book(), cutter(), span, pool, dry_run=False, now=at(20_000))
    return [found.verdict for found in done.troubles]


async def test_a_replay_that_opens_a_trouble_which_is_a_candidate_live_makes_the_only_order(store: Store) -> None:
    await journal(store, [1, 1])
    await diagnosed(store, 2, LevelDiagnoser())  # a candidate, begun at 0
    more = [
        batch(3, 6, block("M", 4, 1.0, seconds=2)),
        batch(4, 8, block("M", 6, 1.0, seconds=2)),
    ]
    for each in more:
        await store.write(lambda tx, each=each: tx.append(each))
    assert await replayed(store, since=2.5) == ["ordered"]
    await journal(store, [1, 1, 1], first=4)
    await diagnosed(store, 7, LevelDiagnoser())
    assert await orders(store) == 1


async def test_a_candidate_that_was_dropped_is_no_known_trouble(store: Store) -> None:
    class Better(LevelDiagnoser):
        def diagnose(self, windows: Sequence[Window]) -> list[Diagnosis]:
            sick = [replace(seen, confidence=0.9) for seen in super().diagnose(windows)]
            return [replace(seen, fault=self.FAULTS[1]) for seen in sick]

    await journal(store, [1, 0, 0, 0])
    await diagnosed(store, 4, LevelDiagnoser())
    assert await orders(store) == 0
    assert await replayed(store, Better) == ["ordered"]


async def test_a_replay_looks_at_every_window_of_a_long_block(store: Store) -> None:
    whole = batch(1, 400, block("M", 0, 0.0, seconds=400))
    await store.write(lambda tx: tx.append(whole))
    with ThreadPoolExecutor(1) as pool:
        span = Span(at(-10), at(1000))
        done = await diagnose(store, LevelDiagnoser(), book(), cutter(), span, pool, dry_run=True, now=at(2000))
    assert done.windows == 200


# an adapter against its contract


class Breaks:
    """An ERP adapter that breaks on every order of asset M, and delivers the others."""

    name = "main"

    def __init__(self, idempotency: Idempotency) -> None:
        self.capabilities = Capabilities(idempotency=idempotency, deadline=timedelta(seconds=1))

    async def verify(self) -> list[str]:
        return []

    async def deliver(self, orders: Sequence[WorkOrder]) -> list[Outcome]:
        if any(order.asset == "M" for order in orders):
            raise KeyError("Johnson")
        return [Delivered(ErpRef(order.key, "1")) for order in orders]

    async def find(self, key: str) -> list[ErpRef]:
        return []

    async def status(self, ref: ErpRef) -> ErpRef:
        return ref

    async def close(self) -> None:
        return


@pytest.mark.parametrize("idempotency", [Idempotency.HEADER, Idempotency.LOOKUP])
async def test_an_order_that_breaks_the_adapter_is_parked_in_the_end_and_the_others_go(
    store: Store, idempotency: Idempotency
) -> None:
    texts = {"bad": TOLD, "good": replace(TOLD, asset=None, failure_modes=(), defects=("BURR",), batch="L7")}
    await told(store, Reads(**texts), ("r1", "bad"), ("r2", "good"))
    clock = [at(0)]
    erp, policy = Breaks(idempotency), Policy(doubts=3)

    def now() -> datetime:
        return clock[0]

    patience = Patience(now, timedelta(seconds=1))
    deliverer = Deliverer(store, erp, now, asyncio.Event(), policy, patience)
    reconciler = Reconciler(store, erp, now, policy, patience)
    for _ in range(30):
        await deliverer.step()
        await reconciler.step()
        clock[0] += timedelta(minutes=2)
    states = {row.order.source.id: row.delivery for row in await store.read(lambda tx: tx.orders())}
    assert states["r2"].state is DeliveryState.DELIVERED
    assert states["r1"].state is DeliveryState.PARKED
    assert "KeyError" in states["r1"].reason
    assert "Johnson" not in states["r1"].reason
