"""False alarms on the real store: over by itself, said so by a person, said so by the ERP."""

import asyncio
import dataclasses
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial

import pytest
from msgspec.structs import replace

from gateway.core.batch import Batch
from gateway.core.delivery import DeliveryState, StatusUpdate
from gateway.core.diagnosis import Diagnosis
from gateway.core.episode import EpisodeState
from gateway.core.errors import Missing, Refused
from gateway.core.ports import Store, Tx
from gateway.flow.diagnose import BASELINES, Diagnosing
from gateway.flow.feedback import apply
from gateway.flow.replay import Span, deliver
from gateway.flow.withdraw import withdraw
from tests.fakes import LevelDiagnoser, at, batch, block, cutter
from tests.growing import BOOK, HEALTHY, INNER, Shown, events, heard, seen, shown, the_order

SICK = [seen(0)] * 3
CLEAN = [seen(0, HEALTHY)] * 5


async def delivered(store: Store, number: str = "7") -> None:
    """Have the ERP get the order."""
    [claimed] = await store.write(lambda tx: tx.claim("main", at(10), timedelta(seconds=30), 1))
    there = replace(
        claimed.delivery, state=DeliveryState.DELIVERED, erp_number=number, sent=1, sending=None, lease_until=None
    )
    assert await store.write(lambda tx: tx.settle(claimed.delivery, there))


async def ruled(store: Store, key: str) -> tuple[str, EpisodeState]:
    """What was ruled on the trouble behind an order, and whether it is over."""
    episode = await store.read(lambda tx: tx.episode(key))
    assert episode is not None
    return episode.ruled, episode.state


async def keys(store: Store) -> list[str]:
    """The keys of all orders, the oldest first."""
    return await store.read(lambda tx: [stored.order.key for stored in reversed(tx.orders())])


async def test_a_trouble_that_is_over_by_itself_at_once_takes_its_order_back(store: Store) -> None:
    await shown(store, 0, *SICK, *CLEAN)
    stored = await the_order(store)
    assert stored.delivery.state is DeliveryState.WITHDRAWN
    assert stored.delivery.withdraw.startswith("False alarm: over by itself after 0 min")
    assert await ruled(store, stored.order.key) == ("false", EpisodeState.CLOSED)
    assert len(await events(store, "order.taken_back")) == 1


async def test_an_order_that_the_erp_has_is_to_be_cancelled_there(store: Store) -> None:
    await shown(store, 0, *SICK)
    await delivered(store)
    await shown(store, 20, *CLEAN)
    stored = await the_order(store)
    assert (stored.delivery.state, stored.delivery.task) == (DeliveryState.WAITING, "cancel")


@pytest.mark.parametrize(
    ("sick", "clean", "pause", "rpm"),
    [
        pytest.param([seen(0, severity=0.8)] * 3, CLEAN, 0, None, id="severe"),
        pytest.param(SICK, CLEAN, 15 * 60, None, id="long"),
        pytest.param(SICK, CLEAN, 0, 20.0, id="standing still"),
        pytest.param(SICK, [replace(CLEAN[0], present=())] * 5, 0, None, id="no longer measured"),
    ],
)
async def test_what_does_not_prove_it_false_leaves_the_order(
    store: Store, sick: list[Diagnosis], clean: list[Diagnosis], pause: float, rpm: float | None
) -> None:
    await shown(store, 0, *sick)
    await shown(store, 6 + pause, *clean, rpm=rpm)
    stored = await the_order(store)
    assert stored.delivery.withdraw == ""
    assert await ruled(store, stored.order.key) == ("", EpisodeState.CLOSED)


async def test_vibration_that_is_gone_altogether_is_a_machine_that_stands_still(store: Store) -> None:
    def with_level(verdicts: list[Diagnosis], level: float) -> list[Diagnosis]:
        return [replace(one, features={"vibration.velocity": level}) for one in verdicts]

    await shown(store, 0, *with_level(SICK, 1.0), *with_level(CLEAN[:4], -4.0), *with_level(CLEAN[:1], 0.5))
    assert (await the_order(store)).delivery.withdraw == ""


async def test_what_a_person_told_of_is_never_taken_back_by_the_machine(store: Store) -> None:
    await shown(store, 0, *SICK)
    await heard(store, "r1", seconds=8)
    await shown(store, 20, *CLEAN)
    assert (await the_order(store)).delivery.withdraw == ""


async def test_a_trouble_that_comes_and_goes_is_a_false_alarm_only_once(store: Store) -> None:
    await shown(store, 0, *SICK, *CLEAN, *SICK, *CLEAN)
    first, second = await store.read(lambda tx: list(reversed(tx.orders())))
    assert first.delivery.state is DeliveryState.WITHDRAWN
    assert second.delivery.withdraw == ""


async def test_a_replay_of_deliveries_leaves_what_was_taken_back(store: Store) -> None:
    await shown(store, 0, *SICK, *CLEAN)
    span = Span(at(-10), at(1000))
    for dry_run in (True, False):
        [row] = await deliver(store, span, dry_run=dry_run, now=at(20), wake=lambda: None)
        assert (row.state, row.verdict) == ("WITHDRAWN", "taken back")


async def test_a_site_can_have_no_order_taken_back_by_itself(store: Store) -> None:
    never = dataclasses.replace(BOOK, false_within=timedelta(0))
    await store.write(Shown(0, *SICK, *CLEAN, book=never))
    assert (await the_order(store)).delivery.withdraw == ""


async def test_a_person_takes_an_order_back_and_the_machine_stays_silent_until_it_is_over(store: Store) -> None:
    await shown(store, 0, *SICK)
    [key] = await keys(store)
    done = await withdraw(store, key, "the sensor\nwas loose", "token:shift", lambda: at(7))
    assert (done.state, done.reason) == (DeliveryState.WITHDRAWN, "the sensor was loose")
    again = await withdraw(store, key, "other words", "token:shift", lambda: at(8))
    assert again == done
    assert await events(store, "order.taken_back") == ["token:shift: the sensor was loose"]
    await shown(store, 8, *[seen(0)] * 20)
    assert await keys(store) == [key]
    assert await ruled(store, key) == ("false", EpisodeState.OPEN)
    await shown(store, 60, *CLEAN, *SICK)
    assert await ruled(store, key) == ("false", EpisodeState.CLOSED)
    assert len(await keys(store)) == 2


async def test_a_ruled_trouble_that_gets_worse_is_a_new_one(store: Store) -> None:
    await shown(store, 0, *SICK)
    [key] = await keys(store)
    await withdraw(store, key, "it is nothing", "cli", lambda: at(7))
    await shown(store, 8, *[seen(0, severity=0.6)] * 5, *[seen(0, severity=0.71)] * 3)
    assert await ruled(store, key) == ("false", EpisodeState.CLOSED)
    assert len(await keys(store)) == 2


async def test_a_person_who_tells_of_what_another_ruled_out_gets_an_order(store: Store) -> None:
    await shown(store, 0, *SICK)
    [key] = await keys(store)
    await withdraw(store, key, "it is nothing", "cli", lambda: at(7))
    second = await heard(store, "r1", seconds=10)
    assert second not in {None, key}
    await shown(store, 20, *SICK, seen(0))
    assert await keys(store) == [key, second]
    confirmed = await store.read(lambda tx: tx.order(second or ""))
    assert confirmed is not None
    assert confirmed.order.diagnosis is not None


async def test_an_old_report_does_not_end_the_silence_of_what_was_ruled_out(store: Store) -> None:
    await shown(store, 0, *SICK)
    [key] = await keys(store)
    await withdraw(store, key, "it is nothing", "cli", lambda: at(7))
    told = await heard(store, "r1", seconds=-2 * 24 * 3600)
    await shown(store, 20, *SICK, seen(0))
    assert sorted(await keys(store)) == sorted([key, told or ""])
    assert await ruled(store, key) == ("false", EpisodeState.OPEN)


async def test_a_person_who_tells_of_what_the_erp_would_not_cancel_joins_that_order(store: Store) -> None:
    await shown(store, 0, *SICK)
    [key] = await keys(store)
    await delivered(store)
    await withdraw(store, key, "it is nothing", "cli", lambda: at(11))
    [claimed] = await store.write(lambda tx: tx.claim("main", at(12), timedelta(seconds=30), 1))
    begun = replace(claimed.delivery, state=DeliveryState.DELIVERED, withdraw="", reason="begun", lease_until=None)
    assert await store.write(lambda tx: tx.settle(claimed.delivery, begun))
    assert await heard(store, "r1", seconds=20) == key
    assert await ruled(store, key) == ("", EpisodeState.OPEN)


async def test_a_persons_order_that_is_taken_back_silences_the_machine_that_joined_it(store: Store) -> None:
    key = await heard(store, "r1", seconds=0) or ""
    await shown(store, 2, *SICK)
    await withdraw(store, key, "wrong machine", "cli", lambda: at(9))
    assert await ruled(store, key) == ("false", EpisodeState.CLOSED)
    await shown(store, 10, *[seen(0)] * 10)
    assert await keys(store) == [key]


async def test_withdrawing_what_is_not_there_or_over_is_refused(store: Store) -> None:
    with pytest.raises(Missing):
        await withdraw(store, "AN0", "why", "cli", lambda: at(0))
    await shown(store, 0, *SICK)
    [key] = await keys(store)
    with pytest.raises(Refused, match="say why"):
        await withdraw(store, key, " \n ", "cli", lambda: at(7))
    update = StatusUpdate(key=key, number="7", status="Closed")
    await store.write(lambda tx: apply(tx, update, at(8)))
    with pytest.raises(Refused, match="come to its end"):
        await withdraw(store, key, "why", "cli", lambda: at(9))


@pytest.mark.parametrize(
    ("status", "code", "then"),
    [("Closed", "no_fault", "false"), ("Cancelled", None, "cancelled"), ("Cancelled", "NO_FAULT", "false")],
)
async def test_a_trouble_that_the_erp_rules_out_is_not_ordered_again_while_it_lasts(
    store: Store, status: str, code: str | None, then: str
) -> None:
    await shown(store, 0, *SICK)
    [key] = await keys(store)
    update = StatusUpdate(key=key, number="7", status=status, closing_code=code)
    assert await store.write(lambda tx: apply(tx, update, at(8), ("NO_FAULT",)))
    await shown(store, 10, *[seen(0)] * 10)
    assert await keys(store) == [key]
    assert await ruled(store, key) == (then, EpisodeState.OPEN)
    assert await store.read(lambda tx: tx.kept("repaired/")) == {}


async def test_a_false_code_that_comes_late_is_a_label(store: Store) -> None:
    key = await heard(store, "r1", seconds=0) or ""
    closed = StatusUpdate(key=key, number="7", status="Closed")
    await store.write(lambda tx: apply(tx, closed, at(8), ("NO_FAULT",)))
    assert await ruled(store, key) == ("", EpisodeState.CLOSED)
    coded = replace(closed, closing_code="NO_FAULT")
    await store.write(lambda tx: apply(tx, coded, at(9), ("NO_FAULT",)))
    assert await ruled(store, key) == ("false", EpisodeState.CLOSED)


async def test_the_erps_word_that_our_own_withdrawal_was_heard_changes_nothing(store: Store) -> None:
    await shown(store, 0, *SICK)
    [key] = await keys(store)
    await delivered(store)
    await withdraw(store, key, "it is nothing", "cli", lambda: at(11))
    update = StatusUpdate(key=key, number="7", status="Closed")
    await store.write(lambda tx: apply(tx, update, at(12)))
    await shown(store, 20, *[seen(0)] * 10)
    assert await keys(store) == [key]


def appended(one: Batch, tx: Tx) -> int:
    """Journal a batch."""
    return tx.append(one)


class Learning(LevelDiagnoser):
    """A diagnoser that says which assets it has forgotten."""

    def __init__(self) -> None:
        self.forgotten: list[str] = []

    def reset(self, asset: str) -> None:
        self.forgotten.append(asset)

    def baselines(self) -> bytes:
        return ",".join(self.forgotten).encode()


async def test_what_is_normal_is_learnt_anew_by_the_first_window_after_a_repair(store: Store) -> None:
    await shown(store, -20, *SICK)
    [key] = await keys(store)
    update = StatusUpdate(key=key, number="7", status="Closed")
    await store.write(lambda tx: apply(tx, update, at(4)))
    models = Learning()
    with ThreadPoolExecutor(1) as pool:
        wake = asyncio.Event()
        job = Diagnosing(store, models, BOOK, cutter, pool, lambda: at(0), wake, lambda: None, lambda *_: None)
        running = asyncio.create_task(job.run())
        async with asyncio.timeout(20):
            for number, there in ((1, []), (2, []), (3, ["M"]), (4, ["M"])):
                each = batch(number, 2 * number, block("M", 2 * (number - 1), 0, seconds=2))
                await store.write(partial(appended, each))
                while job.windows < number:
                    wake.set()
                    await asyncio.sleep(0.01)
                assert models.forgotten == there
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert await store.read(lambda tx: (tx.kept("repaired/"), tx.get(BASELINES))) == ({}, b"M")
    assert await events(store, "baseline.forgotten") == ["its order was carried out"]


async def test_a_sharper_name_does_not_wake_a_ruled_trouble(store: Store) -> None:
    await shown(store, 0, *SICK)
    [key] = await keys(store)
    await withdraw(store, key, "it is nothing", "cli", lambda: at(7))
    await shown(store, 10, *[seen(0, INNER)] * 10)
    assert await keys(store) == [key]
