"""The road from the journal to the order, on the real store, with a diagnoser that reads levels."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from gateway.core.asset import Asset, Plant, Site
from gateway.core.delivery import DeliveryState, StatusUpdate
from gateway.core.episode import Decision, EpisodeState
from gateway.core.ports import Store
from gateway.core.report import Extraction, QualityReport
from gateway.flow.book import Book
from gateway.flow.desk import Desk
from gateway.flow.diagnose import CURSOR, Diagnosing
from gateway.flow.episode import Rules
from gateway.flow.receive import take_status
from gateway.flow.replay import Span, deliver, diagnose
from gateway.flow.words import Listening
from gateway.store.settings import Settings
from tests.fakes import LevelDiagnoser, at, cutter, journal

PLANT = Plant(Site(id="SZ1"), (Asset(id="M", line="A"), Asset(id="N")))
BOOK = Book(PLANT, Rules(3, 5), b"secret", "main", 0.6, "en", "cfg")
DESK = Desk(PLANT, b"secret", "main", "cfg")
TOLD = Extraction(
    id="r1",
    intent="defect_report",
    fine_intent="equipment_fault",
    asset="M",
    failure_modes=("NOI",),
    route="order",
    confidence=0.9,
    masked="pump is noisy",
)


async def diagnosed(store: Store, windows: int) -> None:
    """Run the diagnosis until the store has so many."""
    with ThreadPoolExecutor(1) as pool:
        wake = asyncio.Event()
        running = asyncio.create_task(
            Diagnosing(
                store, LevelDiagnoser(), BOOK, cutter, pool, lambda: at(0), wake, lambda: None, lambda *_: None
            ).run()
        )
        async with asyncio.timeout(20):
            while await store.read(lambda tx: len(tx.diagnoses(limit=1000))) < windows:
                wake.set()
                await asyncio.sleep(0.01)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


class Fixed:
    """An interpreter that says the same of every report."""

    engine = "fixed"

    def __init__(self, told: Extraction) -> None:
        self._told = told

    def interpret(self, report: QualityReport, plant: Plant) -> Extraction:
        return replace(self._told, id=report.id)


async def told(store: Store, name: str, extraction: Extraction, seconds: float = 0) -> None:
    """Take a report in and have it read."""
    report = QualityReport(id=name, text="pump is noisy", reported_at=at(seconds))
    await store.write(lambda tx: tx.take_report(report, at(seconds)))
    with ThreadPoolExecutor(1) as pool:
        wake = asyncio.Event()
        listening = Listening(
            store, Fixed(extraction), DESK, pool, lambda: at(seconds), wake, lambda: None, lambda _: None
        )
        while await listening.step():
            pass


async def test_a_defect_becomes_one_order_with_its_evidence_and_audit_line(store: Store) -> None:
    await journal(store, [0, 0, 1, 1, 1, 1, 1])
    await diagnosed(store, 7)
    [stored] = await store.read(lambda tx: tx.orders())
    assert stored.order.failure_mode == "bearing_outer_race"
    assert stored.order.iso_mode == "VIB"
    assert {item.kind for item in stored.order.evidence} == {"waveform"}
    raw = await store.read(lambda tx: tx.blob(stored.order.evidence[0].sha256))
    assert raw is not None
    assert len(raw[0]) == 800
    events = await store.read(lambda tx: [line.event for line in tx.audit()])
    assert events.count("order.made") == 1


async def test_a_bearing_that_is_read_as_two_races_is_one_trouble(store: Store) -> None:
    await journal(store, [1, 2, 1, 2, 1, 1, 2, 2, 2])
    await diagnosed(store, 9)
    assert len(await store.read(lambda tx: tx.orders())) == 1
    [episode] = await store.read(lambda tx: tx.episodes())
    assert episode.hits == 9


async def test_one_bad_window_is_no_trouble(store: Store) -> None:
    await journal(store, [0, 1, 0, 0, 1, 0, 0, 0])
    await diagnosed(store, 8)
    assert await store.read(lambda tx: tx.orders()) == []


async def test_a_trouble_that_comes_back_after_it_was_over_is_a_new_order(store: Store) -> None:
    await journal(store, [1, 1, 1, *[0] * 5, 1, 1, 1])
    await diagnosed(store, 11)
    orders = await store.read(lambda tx: tx.orders())
    assert len({stored.order.key for stored in orders}) == 2
    states = await store.read(lambda tx: [episode.state for episode in tx.episodes()])
    assert sorted(states) == [EpisodeState.CLOSED, EpisodeState.OPEN]


@pytest.mark.parametrize("stop", range(1, 9))
async def test_a_restart_anywhere_changes_nothing(store: Store, tmp_path: Path, stop: int) -> None:
    levels = [0, 1, 1, 1, 1, 0, 0, 3, 3]
    await journal(store, levels[:stop])
    await diagnosed(store, stop)
    await journal(store, levels[stop:], first=stop)
    await diagnosed(store, len(levels))
    whole = Settings(path=str(tmp_path / "whole")).open()
    await journal(whole, levels)
    await diagnosed(whole, len(levels))
    keys = [await each.read(lambda tx: [stored.order.key for stored in tx.orders()]) for each in (store, whole)]
    hits = [await each.read(lambda tx: [episode.hits for episode in tx.episodes()]) for each in (store, whole)]
    await whole.close()
    assert keys[0] == keys[1]
    assert len(keys[0]) == 1
    assert hits[0] == hits[1]


async def test_the_cursor_moves_on_with_the_diagnoses(store: Store) -> None:
    await journal(store, [0] * 6)
    await diagnosed(store, 6)
    assert await store.read(lambda tx: tx.cursor(CURSOR)) >= 5


async def test_a_report_becomes_one_order_however_often_it_is_read(store: Store) -> None:
    await told(store, "r1", TOLD)
    await told(store, "r1", TOLD)
    [stored] = await store.read(lambda tx: tx.orders())
    assert stored.order.source.id == "r1"
    assert stored.order.description.startswith("pump is noisy\nEvidence ")


async def test_the_same_trouble_told_twice_is_appended_to_the_open_order(store: Store) -> None:
    await told(store, "r1", TOLD)
    await told(store, "r2", TOLD, seconds=600)
    [stored] = await store.read(lambda tx: tx.orders())
    [episode] = await store.read(lambda tx: tx.episodes())
    assert episode.reports == ("r1", "r2")
    second = await store.read(lambda tx: tx.report("r2"))
    assert second is not None
    assert second.order_key == stored.order.key


async def test_a_person_who_hears_the_bearing_that_the_machine_reported_makes_no_second_order(store: Store) -> None:
    await journal(store, [1, 1, 1])
    await diagnosed(store, 3)
    await told(store, "r1", TOLD, seconds=60)
    [stored] = await store.read(lambda tx: tx.orders())
    assert stored.order.source.kind == "machine"


async def test_a_machine_that_confirms_what_a_person_told_first_makes_no_second_order(store: Store) -> None:
    await told(store, "r1", TOLD)
    await journal(store, [1, 1, 1, 1])
    await diagnosed(store, 4)
    [stored] = await store.read(lambda tx: tx.orders())
    assert stored.order.source.kind == "report"
    decisions = await store.read(lambda tx: {episode.source: episode.decision for episode in tx.episodes()})
    assert decisions == {"machine": Decision.JOINED, "report": Decision.ORDER}
    events = await store.read(lambda tx: [line.event for line in tx.audit()])
    assert events.count("episode.witness") == 1


async def test_a_third_witness_finds_the_first_order_through_the_machine(store: Store) -> None:
    await told(store, "r1", TOLD)
    await journal(store, [1, 1, 1])
    await diagnosed(store, 3)
    await told(store, "r2", replace(TOLD, failure_modes=("OHE",)), seconds=60)
    [stored] = await store.read(lambda tx: tx.orders())
    second = await store.read(lambda tx: tx.report("r2"))
    assert second is not None
    assert second.order_key == stored.order.key


async def test_a_trouble_that_goes_on_after_the_persons_order_was_closed_gets_an_order_of_its_own(store: Store) -> None:
    await told(store, "r1", TOLD)
    await journal(store, [1, 1, 1])
    await diagnosed(store, 3)
    [stored] = await store.read(lambda tx: tx.orders())
    closed = StatusUpdate(key=stored.order.key, number="1", status="Closed")
    assert await take_status(store, closed, "e1", "hash", lambda: at(7))
    await journal(store, [1, 1], first=3)
    await diagnosed(store, 5)
    kinds = await store.read(lambda tx: sorted(row.order.source.kind for row in tx.orders()))
    assert kinds == ["machine", "report"]


async def test_another_trouble_of_the_same_asset_is_another_order(store: Store) -> None:
    await told(store, "r1", TOLD)
    await told(store, "r2", replace(TOLD, failure_modes=("LEAK",)))
    assert len(await store.read(lambda tx: tx.orders())) == 2


async def test_what_is_not_sure_goes_to_review_and_orders_nothing(store: Store) -> None:
    await told(store, "r1", replace(TOLD, route="review", asset=None, why=("asset_unresolved",)))
    assert await store.read(lambda tx: tx.orders()) == []
    [waiting] = await store.read(lambda tx: tx.reports(route="review"))
    assert waiting.report.id == "r1"


async def replayed(store: Store, *, dry_run: bool, levels: type[LevelDiagnoser] = LevelDiagnoser) -> list[str]:
    with ThreadPoolExecutor(1) as pool:
        done = await diagnose(
            store, levels(), BOOK, cutter(), Span(at(-10), at(1000)), pool, dry_run=dry_run, now=at(2000)
        )
    return [found.verdict for found in done.troubles]


async def test_a_replay_of_known_trouble_orders_nothing(store: Store) -> None:
    await journal(store, [0, 1, 1, 1, 0])
    await diagnosed(store, 5)
    assert await replayed(store, dry_run=True) == ["known"]
    assert await replayed(store, dry_run=False) == ["known"]
    assert len(await store.read(lambda tx: tx.orders())) == 1


async def test_a_dry_run_says_what_would_be_ordered_and_a_real_one_orders_it_once(store: Store) -> None:
    await journal(store, [0, 1, 1, 1, 0])
    assert await replayed(store, dry_run=True) == ["would order"]
    assert await store.read(lambda tx: tx.orders()) == []
    assert await replayed(store, dry_run=False) == ["ordered"]
    assert await replayed(store, dry_run=False) == ["known"]
    await diagnosed(store, 5)  # the live road comes late to the same windows
    assert len(await store.read(lambda tx: tx.orders())) == 1


async def test_a_replay_of_deliveries_lets_only_the_parked_wait_again(store: Store) -> None:
    await told(store, "r1", TOLD)
    await told(store, "r2", replace(TOLD, failure_modes=("LEAK",)))
    [claimed] = await store.write(lambda tx: tx.claim("main", at(10), timedelta(seconds=30), 1))
    parked = replace(claimed.delivery, state=DeliveryState.PARKED, reason="unknown asset", lease_until=None)
    assert await store.write(lambda tx: tx.settle(claimed.delivery, parked))
    span = Span(at(-10), at(1000))
    dry = await deliver(store, span, dry_run=True, now=at(20), wake=lambda: None)
    assert sorted(row.verdict for row in dry) == ["waits in its lane", "would be sent"]
    wet = await deliver(store, span, dry_run=False, now=at(20), wake=lambda: None)
    assert sorted(row.verdict for row in wet) == ["waits again", "waits in its lane"]


async def test_an_order_that_the_erp_closed_ends_its_episode_and_the_next_report_is_a_new_trouble(store: Store) -> None:
    await told(store, "r1", TOLD)
    [stored] = await store.read(lambda tx: tx.orders())
    closed = StatusUpdate(key=stored.order.key, number="1", status="Closed", closing_code="NO_FAULT")
    assert await take_status(store, closed, "e1", "hash", lambda: at(60))
    assert not await take_status(store, closed, "e1", "hash", lambda: at(61))
    assert await store.read(lambda tx: tx.episodes(live=True)) == []
    await told(store, "r2", TOLD, seconds=600)
    assert len(await store.read(lambda tx: tx.orders())) == 2
