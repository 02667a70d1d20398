"""An order grows with its trouble: windows and words on the real store."""

from datetime import timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from gateway.core.capsule import read
from gateway.core.delivery import DeliveryState, StatusUpdate
from gateway.core.episode import EpisodeState
from gateway.core.ports import Store, Tx
from gateway.flow import grow
from gateway.store.settings import Settings
from tests.fakes import at
from tests.growing import BOOK, HEALTHY, INNER, OUTER, TOLD, Heard, Shown, events, heard, seen, shown, the_order


async def test_a_trouble_that_gets_severe_raises_the_priority_of_its_order_once(store: Store) -> None:
    await shown(store, 0, *[seen(0, severity=0.3)] * 3)
    first = (await the_order(store)).order
    assert (first.priority, first.impact, first.version) == (3, "incipient", 1)
    await shown(store, 6, *[seen(0, severity=0.8)] * 20)
    order = (await the_order(store)).order
    assert (order.version, order.priority, order.impact) == (2, 2, "degraded")
    assert (order.key, order.title, order.failure_mode) == (first.key, first.title, first.failure_mode)
    assert order.description.startswith(first.description)
    assert "It grew, 2026-03-18 20:00:08+08:00: bearing outer race defect, confidence 90%, severity 80%." in (
        order.description.splitlines()
    )
    assert order.diagnosis is not None
    assert order.diagnosis.end == at(8)
    told = f"version 2: description, priority, impact, diagnosis capsule {order.capsule}"
    assert await events(store, "order.grown") == [told]


async def test_a_trouble_that_stays_as_it_is_changes_no_order(store: Store) -> None:
    await shown(store, 0, *[seen(0)] * 60)
    assert (await the_order(store)).order.version == 1


class Counting:
    """A transaction that counts what it is asked for."""

    def __init__(self, tx: Tx, asked: list[str]) -> None:
        self._tx, self._asked = tx, asked

    def __getattr__(self, name: str) -> object:
        self._asked.append(name)
        return getattr(self._tx, name)


async def test_a_window_that_tells_nothing_new_asks_the_store_for_no_order(store: Store) -> None:
    await shown(store, 0, *[seen(0)] * 3)
    asked: list[str] = []
    await store.write(lambda tx: Shown(6, seen(0))(Counting(tx, asked)))  # type: ignore[arg-type]  # the port, counted
    assert asked == ["put_diagnosis", "episodes", "put_episode"]


async def test_a_newer_finding_waits_for_its_time_and_is_then_told_below_the_old_name(store: Store) -> None:
    await shown(store, 0, *[seen(0)] * 3, *[seen(0, INNER)] * 20)
    assert (await the_order(store)).order.version == 1
    await shown(store, 6 + grow.GAP.total_seconds(), seen(0, INNER), seen(0, INNER))
    order = (await the_order(store)).order
    assert (order.version, order.failure_mode) == (2, "bearing_outer_race")
    assert "outer race" in order.title
    assert "inner race" in order.description.splitlines()[-2]


async def test_a_person_who_hears_what_the_machine_reported_makes_its_order_more_urgent(store: Store) -> None:
    await shown(store, 0, *[seen(0)] * 3)
    first = (await the_order(store)).order
    urgent = replace(TOLD, machine_down=True, priority=1, due=at(3600), batch="L7", components=("seal",))
    assert await heard(store, "r1", urgent) == first.key
    order = (await the_order(store)).order
    assert (order.version, order.priority, order.impact, order.asset_down) == (2, 1, "critical", True)
    assert (order.activity, order.due, order.effect) == ("corrective-immediate", at(3600), "NOI")
    assert order.product is not None
    assert (order.product.batch, order.component, order.source.kind) == ("L7", "bearing", "machine")
    lines = order.description.splitlines()
    assert "Reported too, 2026-03-18 20:01:00+08:00: pump is noisy" in lines
    assert "The machine is down." in lines
    assert {piece.kind for piece in order.evidence} >= {"report"}
    assert order.diagnosis == first.diagnosis


async def test_the_same_words_again_are_a_witness_and_no_new_version(store: Store) -> None:
    await heard(store, "r1")
    await heard(store, "r2", seconds=120)
    await heard(store, "r3", replace(TOLD, masked="now it smokes"), seconds=180)
    await heard(store, "r4", replace(TOLD, masked="now it smokes"), seconds=240)
    order = (await the_order(store)).order
    assert order.version == 2
    assert order.description.splitlines()[0] == "pump is noisy"
    [episode] = await store.read(lambda tx: tx.episodes())
    assert episode.reports == ("r1", "r2", "r3", "r4")


async def test_a_machine_confirms_a_persons_order(store: Store) -> None:
    await heard(store, "r1", seconds=0)
    first = (await the_order(store)).order
    await shown(store, 10, *[seen(0, severity=0.9)] * 10)
    order = (await the_order(store)).order
    assert (order.version, order.key, order.title, order.source) == (2, first.key, first.title, first.source)
    assert (order.priority, order.component, order.failure_mode) == (2, "bearing", "NOI")
    assert order.diagnosis is not None
    assert order.diagnosis.fault is OUTER
    assert any(line.startswith("Condition monitoring confirms it") for line in order.description.splitlines())


async def test_a_person_lifts_what_the_machine_was_not_sure_of_and_the_machine_then_confirms_it(store: Store) -> None:
    unsure = [seen(0, confidence=0.55)] * 3
    await shown(store, 0, *unsure)
    assert await store.read(lambda tx: tx.orders()) == []
    key = await heard(store, "r1", seconds=10)
    await shown(store, 20, seen(0))
    order = (await the_order(store)).order
    assert (order.key, order.version, order.source.kind) == (key, 2, "report")
    assert order.diagnosis is not None


async def test_every_version_follows_from_the_one_before_and_its_capsule(store: Store) -> None:
    await shown(store, 0, *[seen(0, severity=0.3)] * 3, *[seen(0, severity=0.8)] * 3)
    key = await heard(store, "r1", replace(TOLD, machine_down=True, priority=1))

    def look(tx: Tx) -> None:
        stored = tx.order(key or "")
        assert stored is not None
        assert stored.order.version == 3
        for version in (2, 3):
            before, after = tx.order_version(stored.order.key, version - 1), tx.order_version(stored.order.key, version)
            assert before is not None
            assert after is not None
            assert after.capsule is not None
            kept = tx.blob(after.capsule)
            assert kept is not None
            assert grow.again(before, read(kept[0]), after.capsule) == after

    await store.read(look)


@pytest.mark.parametrize("stop", range(1, 12))
async def test_a_crash_between_any_two_windows_leads_to_the_same_versions(tmp_path: Path, stop: int) -> None:
    verdicts = [*[seen(0, severity=0.3)] * 4, *[seen(0, INNER, 0.6)] * 4, *[seen(0, INNER, 0.8)] * 4]
    ends = []
    for name, parts in (("whole", [(0, 12)]), ("cut", [(0, stop), (max(0, stop - 2), 12)])):
        opened = Settings(path=str(tmp_path / name)).open()
        for first, last in parts:
            await opened.write(Shown(2 * first, *verdicts[first:last]))
        ends.append(await opened.read(lambda tx: [stored.order for stored in tx.orders()]))
        await opened.close()
    assert ends[0] == ends[1]
    assert ends[0][0].version == 3


async def _to(store: Store, state: DeliveryState) -> None:
    [claimed] = await store.write(lambda tx: tx.claim("main", at(10), timedelta(seconds=30), 1))
    if state is DeliveryState.SENDING:
        return
    number = "7" if state is DeliveryState.DELIVERED else None
    settled = replace(claimed.delivery, state=state, lease_until=None, erp_number=number, sent=1 if number else None)
    assert await store.write(lambda tx: tx.settle(claimed.delivery, settled))


@pytest.mark.parametrize(
    ("state", "then"),
    [
        (DeliveryState.SENDING, DeliveryState.SENDING),
        (DeliveryState.UNCERTAIN, DeliveryState.UNCERTAIN),
        (DeliveryState.PARKED, DeliveryState.PARKED),
        (DeliveryState.DELIVERED, DeliveryState.WAITING),
    ],
)
async def test_a_witness_is_heard_wherever_the_order_is_on_its_way(
    store: Store, state: DeliveryState, then: DeliveryState
) -> None:
    key = await heard(store, "r1", seconds=0)
    await _to(store, state)
    assert await heard(store, "r2", replace(TOLD, masked="it smokes")) == key
    stored = await the_order(store)
    assert (stored.order.version, stored.delivery.version, stored.delivery.state) == (2, 2, then)


@pytest.mark.parametrize("end", ["done", "cancelled", "withdrawn"])
async def test_a_witness_of_an_order_that_is_over_tells_of_a_new_trouble(store: Store, end: str) -> None:
    """Also when nobody has ended the episode yet."""
    key = await heard(store, "r1", seconds=0) or ""
    if end == "withdrawn":
        await store.write(lambda tx: tx.withdraw_order(key, "mistake", at(20)))
    else:
        update = StatusUpdate(key=key, number="7", status="X", state="done" if end == "done" else "cancelled")
        await store.write(lambda tx: tx.put_status(update, at(20)))
    second = await heard(store, "r2", replace(TOLD, masked="it smokes"))
    assert second not in {key, None}
    old = await store.read(lambda tx: (tx.episode(key), tx.order(key)))
    assert old[0] is not None
    assert old[0].state is EpisodeState.CLOSED
    assert old[1] is not None
    assert old[1].order.version == 1
    assert await heard(store, "r3", replace(TOLD, masked="still"), seconds=90) == second


async def test_a_machine_whose_order_is_over_goes_on_as_a_new_trouble(store: Store) -> None:
    await shown(store, 0, *[seen(0, severity=0.3)] * 3)
    key = (await the_order(store)).order.key
    update = StatusUpdate(key=key, number="7", status="X", state="done")
    await store.write(lambda tx: tx.put_status(update, at(20)))
    await shown(store, 30, *[seen(0, severity=0.8)] * 4)
    assert len(await store.read(lambda tx: tx.orders())) == 2


async def test_words_without_end_do_not_flood_the_erp_and_an_emergency_still_gets_through(store: Store) -> None:
    for number in range(40):
        told = replace(TOLD, masked=f"noise number {number}")
        await store.write(Heard(f"r{number}", told, number))
    assert (await the_order(store)).order.version == grow.MOST
    await heard(store, "last", replace(TOLD, machine_down=True, priority=1))
    assert (await the_order(store)).order.version == grow.MOST + 1


async def test_two_gateways_with_one_secret_make_the_same_orders(tmp_path: Path) -> None:
    ends = []
    for name in ("one", "other"):
        opened = Settings(path=str(tmp_path / name)).open()
        await shown(opened, 0, *[seen(0, severity=0.3)] * 3, seen(0, severity=0.8), *[seen(0, HEALTHY)] * 2)
        await heard(opened, "r1")
        ends.append(await opened.read(lambda tx: [(row.order, row.delivery.version) for row in tx.orders()]))
        await opened.close()
    assert ends[0] == ends[1]
    assert ends[0][0][1] == 3
    assert BOOK.secret == b"secret"
