"""What every store promises: one suite for SQLite and PostgreSQL."""

import asyncio
import math
import random
import threading
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta, timezone

import msgspec
import pytest

from gateway.core.delivery import Delivery, DeliveryState, ProductionOrder, StatusUpdate
from gateway.core.diagnosis import Contribution, Diagnosis, Fault
from gateway.core.episode import Episode, EpisodeState
from gateway.core.errors import Conflict, Full, Unreachable
from gateway.core.order import SourceRef, WorkOrder
from gateway.core.ports import Claimed, Store, Tx
from gateway.core.reading import Quality, Reading
from gateway.core.report import Extraction, QualityReport
from gateway.flow.settle import delivered, refused
from gateway.store.audit import verify
from gateway.store.settings import Settings
from tests.fakes import at, batch, block, frame, line, value

LEASE = timedelta(seconds=30)
NOW = at(0)


def order(key: str, asset: str | None = "M-1", detected_at: datetime = NOW) -> WorkOrder:
    return WorkOrder(
        key=key,
        version=1,
        work_type="maintenance",
        activity="condition-based",
        title="Bearing",
        description="外圈故障",
        language="zh",
        hierarchy=(),
        asset=asset,
        component=None,
        priority=2,
        impact="degraded",
        asset_down=False,
        failure_mode="bearing_outer_race",
        iso_mode="VIB",
        detection="condition monitoring",
        detected_at=detected_at,
        source=SourceRef("machine", "e"),
    )


def diagnosis(asset: str, seconds: float, severity: float = 0.5) -> Diagnosis:
    told = {str(fault): 1 / len(Fault) for fault in Fault}
    names = (Contribution("vibration", 1.5, "bpfo", None),)
    return Diagnosis(asset, at(seconds), at(seconds + 2), Fault.IMBALANCE, 0.8, 0.9, severity, told, names)


def episode(key: str, asset: str, seconds: float, state: EpisodeState = EpisodeState.OPEN) -> Episode:
    return Episode(
        key=key,
        asset=asset,
        family="rotor",
        failure_mode="imbalance",
        source="machine",
        state=state,
        started_at=at(seconds),
        last_at=at(seconds),
    )


def report(name: str, text: str = "3号泵漏油") -> QualityReport:
    return QualityReport(id=name, text=text, reported_at=NOW, asset_hint="M-1")


def extraction(name: str, route: str = "order") -> Extraction:
    return msgspec.convert(
        {"id": name, "intent": "defect_report", "fine_intent": None, "asset": "M-1", "route": route}, Extraction
    )


def settled(claimed: Claimed, state: DeliveryState, due_at: datetime = NOW) -> Delivery:
    return msgspec.structs.replace(claimed.delivery, state=state, due_at=due_at, lease_until=None)


def version(key: str, number: int) -> WorkOrder:
    return msgspec.structs.replace(order(key, key[0]), version=number, title=f"title {number}")


async def settle_as(store: Store, settled: Delivery, claimed: Claimed) -> bool:
    return await store.write(lambda tx: tx.settle(claimed.delivery, settled))


class StoreContract:
    """Inherited by each store; a subclass gives the fixture `settings` for an empty database."""

    @pytest.fixture
    def settings(self) -> Settings:
        raise NotImplementedError

    @pytest.fixture
    async def store(self, settings: Settings) -> AsyncIterator[Store]:
        store = settings.open()
        yield store
        await store.close()

    # one transaction

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

    # journal

    async def test_a_batch_comes_back_as_it_was(self, store: Store) -> None:
        items = (
            block("M-1", 0, 1.5),
            frame("M-2", 0, 40.0),
            line("M-3", 0, "轴承温度高 \x00"),
            value("M-4", "speed", 0, None),
        )
        odd = Reading("M-5", "t", "on", "", Quality.UNCERTAIN, None, None, at(1), "why")
        whole = msgspec.structs.replace(batch(1, 1, *items), readings=(*batch(1, 1, *items).readings, odd))
        many = batch(2, 2, *(value("M-6", "speed", n / 100, n) for n in range(500)))
        numbers = await store.write(lambda tx: [tx.append(whole), tx.append(many)])
        assert await store.read(lambda tx: tx.batches_after(0)) == list(zip(numbers, [whole, many], strict=True))

    async def test_a_value_that_is_no_number_stays_so(self, store: Store) -> None:
        await store.write(lambda tx: tx.append(batch(1, 0, value("M", "t", 0, math.nan))))
        [(_, back)] = await store.read(lambda tx: tx.batches_after(0))
        number = back.readings[0].value
        assert isinstance(number, float) and math.isnan(number)

    async def test_batches_are_found_by_the_time_of_their_values(self, store: Store) -> None:
        hours = [batch(n, 3600 * n, value("M", "t", 3600 * n, n)) for n in range(5)]
        numbers = await store.write(lambda tx: [tx.append(one) for one in hours])
        found = await store.read(lambda tx: tx.batches(at(3600), at(3 * 3600)))
        assert [number for number, _ in found] == numbers[1:3]
        page = await store.read(lambda tx: tx.batches(at(0), at(10**6), after=numbers[0], limit=2))
        assert [number for number, _ in page] == numbers[1:3]

    async def test_a_waveform_counts_until_its_last_sample(self, store: Store) -> None:
        await store.write(lambda tx: tx.append(batch(1, 10, block("M", 0, 1.0, seconds=10))))
        assert len(await store.read(lambda tx: tx.batches(at(5), at(6)))) == 1
        assert len(await store.read(lambda tx: tx.batches(at(11), at(12)))) == 0

    async def test_a_cursor_never_goes_back(self, store: Store) -> None:
        assert await store.read(lambda tx: tx.cursor("flow")) == 0
        for number in (5, 9, 7):
            await store.write(lambda tx, number=number: tx.advance("flow", number))
        assert await store.read(lambda tx: tx.cursor("flow")) == 9

    async def test_trimming_takes_the_oldest_and_keeps_what_is_not_read_yet(self, store: Store) -> None:
        one = batch(1, 0, block("M", 0, 1.0, seconds=50))
        numbers = await store.write(lambda tx: [tx.append(one) for _ in range(10)])
        assert await store.write(lambda tx: tx.trim(10**9, numbers[-1])) == 0
        assert await store.write(lambda tx: tx.trim(0, numbers[4])) == 4
        assert await store.write(lambda tx: tx.trim(0, numbers[4])) == 0
        left = await store.read(lambda tx: tx.batches_after(0))
        assert [number for number, _ in left] == numbers[4:]
        assert (await store.read(lambda tx: tx.counts())).readings == 6

    async def test_trimming_stops_at_the_budget_and_numbers_never_come_again(self, store: Store) -> None:
        noise = random.Random(1).randbytes(10_000)
        one = msgspec.structs.replace(block("M", 0, 1.0), samples=noise)
        numbers = await store.write(lambda tx: [tx.append(batch(1, 0, one)) for _ in range(10)])
        gone = await store.write(lambda tx: tx.trim(5 * len(noise) + 3000, 10**9))
        assert 0 < gone < 10
        while await store.write(lambda tx: tx.trim(0, 10**9)):
            pass
        assert (await store.read(lambda tx: tx.counts())).readings == 0
        assert await store.write(lambda tx: tx.append(batch(1, 0, one))) > numbers[-1]
        assert (await store.read(lambda tx: tx.counts())).readings == 1

    async def test_trimming_spares_diagnoses_of_the_time_that_is_still_recorded(self, store: Store) -> None:
        def fill(tx: Tx) -> None:
            for n in range(20):
                tx.append(batch(n, n, value("M", "t", n, n)))
                tx.put_diagnosis(diagnosis("M", n))

        await store.write(fill)
        await store.write(lambda tx: tx.trim(0, 11))
        left = await store.read(lambda tx: tx.diagnoses(limit=100))
        assert [seen.start for seen in left] == [at(n) for n in range(19, 9, -1)]

    # blobs

    async def test_the_same_content_is_kept_once(self, store: Store) -> None:
        content = bytes(range(256)) * 4000
        names = [await store.write(lambda tx: tx.keep(content, "image/png")) for _ in range(2)]
        assert names[0] == names[1] and len(names[0]) == 64
        assert await store.read(lambda tx: tx.blob(names[0])) == (content, "image/png")
        assert await store.read(lambda tx: tx.blob("0" * 64)) is None

    # reports

    async def test_a_report_is_taken_once(self, store: Store) -> None:
        assert await store.write(lambda tx: tx.take_report(report("r1"), NOW))
        assert not await store.write(lambda tx: tx.take_report(report("r1"), at(5)))
        with pytest.raises(Conflict):
            await store.write(lambda tx: tx.take_report(report("r1", "something else"), at(5)))
        kept = await store.read(lambda tx: tx.report("r1"))
        assert kept is not None and kept.report == report("r1") and kept.received_at == NOW

    async def test_reports_leave_their_queues_when_they_are_read_and_reviewed(self, store: Store) -> None:
        for n in range(4):
            await store.write(lambda tx, n=n: tx.take_report(report(f"r{n}"), at(n)))
        unread = await store.read(lambda tx: tx.reports(unread=True))
        assert [one.report.id for one in unread] == ["r0", "r1", "r2", "r3"]
        await store.write(lambda tx: tx.read_report(extraction("r0", "review"), None))
        await store.write(lambda tx: tx.read_report(extraction("r1", "review"), None))
        await store.write(lambda tx: tx.read_report(extraction("r2"), "K"))
        review = await store.read(lambda tx: tx.reports(route="review"))
        assert [one.report.id for one in review] == ["r0", "r1"]
        await store.write(lambda tx: tx.review_done("r0"))
        assert [one.report.id for one in await store.read(lambda tx: tx.reports(route="review"))] == ["r1"]
        assert [one.report.id for one in await store.read(lambda tx: tx.reports())] == ["r3", "r2", "r1", "r0"]
        done = await store.read(lambda tx: tx.report("r0"))
        assert done is not None and done.reviewed and done.extraction == extraction("r0", "review")
        led = await store.read(lambda tx: tx.reports(route="order"))
        assert [one.order_key for one in led] == ["K"]

    async def test_reading_an_unknown_report_is_a_mistake(self, store: Store) -> None:
        with pytest.raises(LookupError):
            await store.write(lambda tx: tx.read_report(extraction("nobody"), None))

    # diagnoses and episodes

    async def test_a_window_is_diagnosed_once(self, store: Store) -> None:
        first, again = diagnosis("M", 0), diagnosis("M", 0, severity=0.9)
        assert await store.write(lambda tx: tx.put_diagnosis(first))
        assert not await store.write(lambda tx: tx.put_diagnosis(again))
        assert await store.write(lambda tx: tx.put_diagnosis(diagnosis("N", 2)))
        assert await store.read(lambda tx: tx.diagnoses("M")) == [first]
        assert [one.asset for one in await store.read(lambda tx: tx.diagnoses())] == ["N", "M"]

    async def test_episodes_are_found_by_asset_life_and_time(self, store: Store) -> None:
        for one in (episode("a", "M", 0), episode("b", "M", 10, EpisodeState.CLOSED), episode("c", "N", 20)):
            await store.write(lambda tx, one=one: tx.put_episode(one))
        await store.write(lambda tx: tx.put_episode(episode("a", "M", 30)))
        look = store.read
        assert [one.key for one in await look(lambda tx: tx.episodes())] == ["a", "c", "b"]
        assert [one.key for one in await look(lambda tx: tx.episodes("M"))] == ["a", "b"]
        assert [one.key for one in await look(lambda tx: tx.episodes(live=True))] == ["a", "c"]
        assert [one.key for one in await look(lambda tx: tx.episodes(since=at(15)))] == ["a", "c"]
        assert await look(lambda tx: tx.episode("a")) == episode("a", "M", 30)
        assert await look(lambda tx: tx.episode("z")) is None

    # orders and their delivery

    async def test_an_order_is_put_once_with_its_delivery(self, store: Store) -> None:
        assert await store.write(lambda tx: tx.put_order(order("K1"), "erp", NOW))
        other = msgspec.structs.replace(order("K1"), title="another")
        assert not await store.write(lambda tx: tx.put_order(other, "erp", NOW))
        kept = await store.read(lambda tx: tx.order("K1"))
        assert kept is not None and kept.order == order("K1")
        assert (kept.delivery.state, kept.delivery.attempt, kept.delivery.lane) == (DeliveryState.WAITING, 0, "M-1")
        assert await store.read(lambda tx: tx.order("K2")) is None

    async def test_one_order_of_a_lane_goes_out_the_oldest_first(self, store: Store) -> None:
        await put(store, ("A1", "A"), ("A2", "A"), ("B1", "B"), ("N1", None), ("N2", None))
        first = await claim(store)
        assert [one.order.key for one in first] == ["A1", "B1", "N1", "N2"]
        told = first[0].delivery
        assert (told.state, told.attempt, told.since, told.lease_until) == (DeliveryState.SENDING, 1, NOW, NOW + LEASE)
        assert await claim(store) == []
        assert await settle(store, first[0], DeliveryState.DELIVERED)
        assert [one.order.key for one in await claim(store)] == ["A2"]

    async def test_the_limit_holds_and_another_erp_has_its_own_lanes(self, store: Store) -> None:
        await put(store, ("A1", "A"), ("B1", "B"), ("C1", "C"))
        await store.write(lambda tx: tx.put_order(order("A2", "A"), "mes", NOW))
        assert [one.order.key for one in await claim(store, limit=2)] == ["A1", "B1"]
        assert [one.order.key for one in await claim(store, erp="mes")] == ["A2"]

    async def test_new_orders_travel_with_the_oldest_of_their_lane_where_they_may(self, store: Store) -> None:
        await put(store, *((f"{lane}{n}", lane) for n in range(4) for lane in "AB"))
        [tried] = await claim(store, limit=1)
        await settle(store, tried, DeliveryState.WAITING)

        def deep(limit: int) -> Callable[[Tx], list[str]]:
            return lambda tx: [one.order.key for one in tx.claim("erp", at(1), LEASE, limit, depth=3)]

        assert await store.write(deep(2)) == ["A0", "B0", "B1", "B2"]  # A0 was tried before and goes alone
        assert await store.write(deep(2)) == []

    async def test_a_change_never_travels_with_the_new_orders_of_its_lane(self, store: Store) -> None:
        await put(store, ("A1", "A"), ("A2", "A"))
        await put(store, ("B1", "B"))
        for one in await claim(store):
            assert await settle_as(store, delivered(one.delivery, "7", at(1)).delivery, one)
        [other] = await claim(store, now=at(1))
        assert await settle_as(store, delivered(other.delivery, "8", at(1)).delivery, other)
        await put(store, ("A3", "A"), ("B2", "B"), ("A4", "A"))
        for key in ("A1", "A2"):
            assert await store.write(lambda tx, key=key: tx.change_order(version(key, 2), at(2)))

        def deep(*, new: bool) -> Callable[[Tx], list[str]]:
            return lambda tx: [one.order.key for one in tx.claim("erp", at(3), LEASE, 9, depth=3, new=new)]

        assert await store.write(deep(new=True)) == ["B2"]
        assert await store.write(deep(new=False)) == ["A1"]

    async def test_of_the_doubtful_orders_of_a_lane_the_oldest_is_looked_into_first(self, store: Store) -> None:
        await put(store, ("A1", "A"), ("A2", "A"), ("B1", "B"))
        taken = await store.write(lambda tx: tx.claim("erp", NOW, LEASE, 5, depth=2))
        for one in taken:
            await settle(store, one, DeliveryState.UNCERTAIN)
        asked = await claim_uncertain(store, at(1))
        assert [one.order.key for one in asked] == ["A1", "B1"]
        assert await claim_uncertain(store, at(1)) == []
        await settle(store, asked[0], DeliveryState.DELIVERED)
        assert [one.order.key for one in await claim_uncertain(store, at(1))] == ["A2"]

    async def test_an_order_that_waits_holds_its_lane_and_a_parked_one_frees_it(self, store: Store) -> None:
        await put(store, ("A1", "A"), ("A2", "A"))
        [one] = await claim(store)
        await settle(store, one, DeliveryState.WAITING, at(60))
        assert await claim(store) == []
        [one] = await claim(store, now=at(60))
        assert (one.order.key, one.delivery.attempt, one.delivery.since) == ("A1", 2, NOW)
        await settle(store, one, DeliveryState.PARKED)
        assert [one.order.key for one in await claim(store)] == ["A2"]

    async def test_an_uncertain_order_holds_its_lane_until_it_is_known(self, store: Store) -> None:
        await put(store, ("A1", "A"), ("A2", "A"))
        [one] = await claim(store)
        await settle(store, one, DeliveryState.UNCERTAIN, at(10))
        assert await claim(store, now=at(20)) == []
        assert await claim_uncertain(store, at(5)) == []
        [asked] = await claim_uncertain(store, at(10))
        assert (asked.delivery.state, asked.delivery.attempt) == (DeliveryState.UNCERTAIN, 1)
        assert await claim_uncertain(store, at(11)) == []
        [again] = await claim_uncertain(store, at(10) + LEASE)  # the first asker died
        assert not await settle(store, asked, DeliveryState.DELIVERED)
        assert await settle(store, again, DeliveryState.DELIVERED)
        assert [one.order.key for one in await claim(store, now=at(60))] == ["A2"]

    async def test_a_lease_that_ran_out_makes_it_uncertain_and_the_late_sender_is_refused(self, store: Store) -> None:
        await put(store, ("A1", "A"))
        [one] = await claim(store)
        assert await store.write(lambda tx: tx.expire(at(29))) == 0
        assert await store.write(lambda tx: tx.expire(at(31))) == 1
        assert not await settle(store, one, DeliveryState.DELIVERED)
        assert [one.order.key for one in await claim_uncertain(store, at(31))] == ["A1"]

    async def test_what_somebody_holds_is_listed_and_what_waits_or_is_free_is_not(self, store: Store) -> None:
        await put(store, *((lane + "1", lane) for lane in "ABCDE"))
        for one in (await claim(store, limit=4))[1:]:
            state = DeliveryState.DELIVERED if one.order.key == "D1" else DeliveryState.UNCERTAIN
            await settle(store, one, state, at(60 if one.order.key == "C1" else 0))
        [asked] = await claim_uncertain(store, at(1))
        await store.write(lambda tx: tx.put_order(order("Z1", "Z"), "mes", NOW))
        await claim(store, erp="mes")
        held = await store.read(lambda tx: tx.leased("erp", 10))
        assert [(one.key, one.state) for one in held] == [("A1", "SENDING"), ("B1", "UNCERTAIN")]
        assert held[1] == asked.delivery
        assert await store.read(lambda tx: [one.key for one in tx.leased("erp", 1)]) == ["A1"]

    async def test_settling_is_fenced_by_attempt(self, store: Store) -> None:
        await put(store, ("A1", "A"))
        [old] = await claim(store)
        await settle(store, old, DeliveryState.WAITING)
        [new] = await claim(store, now=at(1))
        assert not await settle(store, old, DeliveryState.DELIVERED)
        assert await settle(store, new, DeliveryState.DELIVERED)
        assert not await settle(store, new, DeliveryState.PARKED)

    @pytest.mark.parametrize("jump", [timedelta(hours=-1), timedelta(minutes=-10), timedelta(days=-2)])
    async def test_a_clock_that_goes_back_delays_nothing(self, store: Store, jump: timedelta) -> None:
        await put(store, ("A1", "A"), ("B1", "B"), ("C1", "C"))
        one, other, third = await claim(store)
        for told, state in ((one, DeliveryState.WAITING), (other, DeliveryState.UNCERTAIN)):
            await settle(store, told, state, at(30))
        then = NOW + jump
        assert [one.order.key for one in await claim(store, now=then)] == ["A1"]
        assert [one.order.key for one in await claim_uncertain(store, then)] == ["B1"]
        assert await store.write(lambda tx: tx.expire(then)) == 1
        assert not await settle(store, third, DeliveryState.DELIVERED)

    async def test_a_parked_order_is_sent_again_under_its_key(self, store: Store) -> None:
        await put(store, ("A1", "A"))
        assert not await store.write(lambda tx: tx.redeliver("A1", NOW))
        [one] = await claim(store)
        await settle(store, one, DeliveryState.PARKED)
        assert [kept.order.key for kept in await store.read(lambda tx: tx.orders(state="PARKED"))] == ["A1"]
        assert await store.write(lambda tx: tx.redeliver("A1", at(9)))
        [again] = await claim(store, now=at(9))
        assert (again.delivery.key, again.delivery.attempt, again.delivery.since) == ("A1", 2, NOW)

    async def test_two_processes_never_hold_one_lane(self, store: Store, settings: Settings) -> None:
        other = settings.open()
        await put(store, *((f"{lane}{n}", lane) for n in range(5) for lane in "ABCD"))
        sent: list[str] = []
        while len(sent) < 20:
            mine, theirs = await asyncio.gather(claim(store, limit=3), claim(other, limit=3))
            lanes = [one.delivery.lane for one in mine + theirs]
            assert len(set(lanes)) == len(lanes) > 0
            for one in mine + theirs:
                sent.append(one.order.key)
                assert await settle(store, one, DeliveryState.DELIVERED)
        await other.close()
        assert len(set(sent)) == 20
        assert all([key for key in sent if key[0] == lane] == [f"{lane}{n}" for n in range(5)] for lane in "ABCD")

    async def test_orders_are_found_by_time_and_asset(self, store: Store) -> None:
        for n in range(4):
            made = order(f"K{n}", f"M-{n % 2}", at(n))
            await store.write(lambda tx, made=made: tx.put_order(made, "erp", NOW))
        look = store.read
        assert [one.order.key for one in await look(lambda tx: tx.orders_between(at(1), at(3)))] == ["K1", "K2"]
        assert [one.order.key for one in await look(lambda tx: tx.orders_between(at(0), at(9), "M-1"))] == ["K1", "K3"]
        assert [one.order.key for one in await look(lambda tx: tx.orders(asset="M-0"))] == ["K2", "K0"]

    async def test_the_latest_word_of_the_erp_counts(self, store: Store) -> None:
        await put(store, ("K", "M"))

        def say(status: str, seconds: float, code: str | None = None) -> StatusUpdate:
            return StatusUpdate(key="K", number="7", status=status, closing_code=code, at=at(seconds))

        assert await store.write(lambda tx: tx.put_status(say("open", 10), NOW))
        assert not await store.write(lambda tx: tx.put_status(say("open", 11), NOW))
        assert await store.write(lambda tx: tx.put_status(say("closed", 20, "WORN"), NOW))
        assert not await store.write(lambda tx: tx.put_status(say("open", 15), NOW))
        unknown = StatusUpdate(key="Z", number="7", status="open")
        assert not await store.write(lambda tx: tx.put_status(unknown, NOW))
        kept = await store.read(lambda tx: tx.order("K"))
        assert kept is not None and (kept.erp_status, kept.closing_code) == ("closed", "WORN")

    # versions and withdrawals

    async def test_an_order_that_the_erp_has_is_amended_from_the_version_that_it_has(self, store: Store) -> None:
        await put(store, ("A1", "A"))
        [one] = await claim(store)
        assert (one.sent, one.delivery.task) == (None, "create")
        assert await settle_as(store, delivered(one.delivery, "7", at(1)).delivery, one)
        assert await store.write(lambda tx: tx.change_order(version("A1", 2), at(2)))
        assert not await store.write(lambda tx: tx.change_order(version("A1", 2), at(2)))
        assert not await store.write(lambda tx: tx.change_order(version("A1", 4), at(2)))
        assert await store.write(lambda tx: tx.change_order(version("A1", 3), at(2)))
        [two] = await claim(store, now=at(3))
        assert (two.delivery.task, two.delivery.attempt, two.delivery.since) == ("amend", 1, at(3))
        assert two.sent is not None and (two.sent.version, two.order.version, two.order.title) == (1, 3, "title 3")
        looked = await store.read(lambda tx: [tx.order_version("A1", n) for n in range(5)])
        assert [one and one.title for one in looked] == [None, "Bearing", "title 2", "title 3", None]

    async def test_what_an_attempt_may_have_taken_along_is_sent_again_before_what_came_after_it(
        self, store: Store
    ) -> None:
        await put(store, ("A1", "A"))
        [one] = await claim(store)
        assert await store.write(lambda tx: tx.change_order(version("A1", 2), at(1)))
        await settle(store, one, DeliveryState.UNCERTAIN)
        [asked] = await claim_uncertain(store, at(2))
        assert asked.order.version == 1
        assert await settle_as(store, delivered(asked.delivery, "7", at(3)).delivery, asked)
        [two] = await claim(store, now=at(3))
        assert (two.delivery.task, two.order.version) == ("amend", 2)

    async def test_what_never_left_goes_out_in_its_newest_version(self, store: Store) -> None:
        await put(store, ("A1", "A"))
        assert await store.write(lambda tx: tx.change_order(version("A1", 2), at(1)))
        [one] = await claim(store, now=at(1))
        assert (one.order.version, one.sent, one.delivery.sending) == (2, None, 2)

    async def test_a_withdrawn_order_is_never_sent_or_is_taken_back(self, store: Store) -> None:
        await put(store, ("A1", "A"), ("B1", "B"), ("C1", "C"))
        [one] = await claim(store, limit=1)
        assert await settle_as(store, delivered(one.delivery, "7", at(1)).delivery, one)
        [flying] = await claim(store, limit=1)
        for key in ("A1", "B1", "C1"):
            assert await store.write(lambda tx, key=key: tx.withdraw_order(key, "false alarm", at(2)))
            assert not await store.write(lambda tx, key=key: tx.withdraw_order(key, "again", at(2)))
            assert not await store.write(lambda tx, key=key: tx.change_order(version(key, 2), at(2)))
        found = await store.read(lambda tx: {key: tx.order(key) for key in ("A1", "B1", "C1")})
        assert [one and str(one.delivery.state) for one in found.values()] == ["WAITING", "SENDING", "WITHDRAWN"]
        [back] = await claim(store, now=at(3))
        assert (back.order.key, back.delivery.task, back.delivery.withdraw) == ("A1", "cancel", "false alarm")
        assert await settle_as(store, delivered(flying.delivery, "8", at(4)).delivery, flying)
        [back] = await claim(store, now=at(4))
        assert (back.order.key, back.delivery.task) == ("B1", "cancel")

    async def test_a_withdrawal_of_which_nothing_left_is_taken_back_and_what_had_changed_goes_out(
        self, store: Store
    ) -> None:
        await put(store, ("A1", "A"), ("B1", "B"))
        for one in await claim(store):
            assert await settle_as(store, delivered(one.delivery, "7", at(1)).delivery, one)
        assert await store.write(lambda tx: tx.change_order(version("B1", 2), at(2)))
        assert not await store.write(lambda tx: tx.stand_again("A1", at(3)))
        for key, then in (("A1", DeliveryState.DELIVERED), ("B1", DeliveryState.WAITING)):
            assert await store.write(lambda tx, key=key: tx.withdraw_order(key, "false alarm", at(3)))
            assert await store.write(lambda tx, key=key: tx.stand_again(key, at(4)))
            assert not await store.write(lambda tx, key=key: tx.stand_again(key, at(5)))
            held = await store.read(lambda tx, key=key: tx.order(key))
            assert held is not None and (held.delivery.state, held.delivery.withdraw) == (then, "")
        [changed] = await claim(store, now=at(6))
        assert (changed.order.key, changed.order.version, changed.delivery.task) == ("B1", 2, "amend")

    async def test_a_withdrawal_that_may_have_left_is_not_taken_back(self, store: Store) -> None:
        await put(store, ("A1", "A"))
        [made] = await claim(store)
        assert await settle_as(store, delivered(made.delivery, "7", at(1)).delivery, made)
        assert await store.write(lambda tx: tx.withdraw_order("A1", "false alarm", at(2)))
        [flying] = await claim(store, now=at(3))
        assert not await store.write(lambda tx: tx.stand_again("A1", at(4)))
        await settle(store, flying, DeliveryState.WAITING)  # in doubt: the next attempt asks once more
        assert not await store.write(lambda tx: tx.stand_again("A1", at(5)))
        [again] = await claim(store, now=at(6))
        await settle(store, again, DeliveryState.PARKED)
        assert await store.write(lambda tx: tx.redeliver("A1", at(7)))
        assert not await store.write(lambda tx: tx.stand_again("A1", at(8)))

    async def test_a_withdrawal_that_surely_never_left_is_taken_back(self, store: Store) -> None:
        await put(store, ("A1", "A"), ("B1", "B"))
        [made, doubtful] = await claim(store)
        assert await settle_as(store, delivered(made.delivery, "7", at(1)).delivery, made)
        assert await store.write(lambda tx: tx.withdraw_order("A1", "false alarm", at(2)))
        [tried] = await claim(store, now=at(3))
        unsent = msgspec.structs.replace(tried.delivery, attempt=0, sending=None, lease_until=None)
        assert await settle_as(store, msgspec.structs.replace(unsent, state=DeliveryState.WAITING), tried)
        assert await store.write(lambda tx: tx.stand_again("A1", at(4)))
        assert await store.write(lambda tx: tx.withdraw_order("B1", "false alarm", at(4)))
        assert not await store.write(lambda tx: tx.stand_again("B1", at(5)))  # it is being sent
        await settle(store, doubtful, DeliveryState.UNCERTAIN)
        assert await store.write(lambda tx: tx.stand_again("B1", at(6)))
        [asked] = await claim_uncertain(store, at(7))
        assert (asked.delivery.task, asked.delivery.withdraw) == ("create", "")

    async def test_an_order_in_another_ones_lane_waits_for_it(self, store: Store) -> None:
        await put(store, ("A1", "A"))
        assert await store.write(lambda tx: tx.put_order(order("B1", None), "erp", NOW, "A"))
        [first] = await claim(store)
        assert first.order.key == "A1" and await claim(store) == []
        assert await settle_as(store, delivered(first.delivery, "7", at(1)).delivery, first)
        assert [one.order.key for one in await claim(store, now=at(2))] == ["B1"]

    async def test_what_the_erp_has_ended_is_neither_changed_nor_taken_back(self, store: Store) -> None:
        await put(store, ("A1", "A"))
        [one] = await claim(store)
        assert await settle_as(store, delivered(one.delivery, "7", at(1)).delivery, one)
        said = StatusUpdate(key="A1", number="7", status="closed", at=at(2), state="done")
        assert await store.write(lambda tx: tx.put_status(said, at(2)))
        assert not await store.write(lambda tx: tx.change_order(version("A1", 2), at(3)))
        assert not await store.write(lambda tx: tx.withdraw_order("A1", "false alarm", at(3)))

    async def test_a_refused_change_can_be_tried_again(self, store: Store) -> None:
        await put(store, ("A1", "A"))
        [one] = await claim(store)
        assert await settle_as(store, delivered(one.delivery, "7", at(1)).delivery, one)
        assert not await store.write(lambda tx: tx.redeliver("A1", at(2)))
        assert await store.write(lambda tx: tx.change_order(version("A1", 2), at(2)))
        [two] = await claim(store, now=at(2))
        assert await settle_as(store, refused(two.delivery, "it is closed", at(3)).delivery, two)
        held = await store.read(lambda tx: tx.order("A1"))
        assert held is not None and (held.delivery.state, held.delivery.sent) == (DeliveryState.DELIVERED, 1)
        assert await store.write(lambda tx: tx.redeliver("A1", at(4)))
        [again] = await claim(store, now=at(4))
        assert again.sent is not None and (again.sent.version, again.order.version) == (1, 2)

    async def test_orders_are_followed_until_the_erp_has_ended_them(self, store: Store) -> None:
        await put(store, ("A1", "A"), ("B1", "B"), ("C1", "C"), ("D1", "D"))
        for one in await claim(store, limit=3):
            await settle_as(store, delivered(one.delivery, one.order.key, at(1)).delivery, one)

        def followed(now: float, first: float = 8) -> Callable[[Tx], list[str]]:
            wait = timedelta(seconds=first)
            return lambda tx: [one.order.key for one in tx.followed("erp", at(now), wait, 10)]

        assert await store.read(followed(8)) == []
        assert await store.read(followed(9)) == ["A1", "B1", "C1"]
        await store.write(lambda tx: tx.asked("A1", at(9), at(20)))
        await store.write(lambda tx: tx.asked("B1", at(9), at(15)))
        assert await store.read(followed(14)) == ["C1"]
        assert await store.read(followed(20)) == ["B1", "A1", "C1"]
        held = await store.read(lambda tx: tx.order("A1"))
        assert held is not None and (held.asked_at, held.ask_at) == (at(9), at(20))
        await store.write(lambda tx: tx.asked("B1", at(20)))
        assert await store.read(followed(999_999)) == ["A1", "C1"]
        held = await store.read(lambda tx: tx.order("B1"))
        assert held is not None and (held.asked_at, held.ask_at) == (at(20), None)
        for key in ("B1", "D1"):
            await store.write(lambda tx, key=key: tx.asked(key, None))
        assert await store.read(followed(10)) == ["B1", "C1"]

    async def test_a_clock_that_goes_back_does_not_end_following(self, store: Store) -> None:
        await put(store, ("A1", "A"), ("B1", "B"))
        for one in await claim(store, limit=2):
            await settle_as(store, delivered(one.delivery, one.order.key, at(1)).delivery, one)
        await store.write(lambda tx: tx.asked("A1", at(5), at(300)))
        then, wait = NOW - timedelta(days=30), timedelta(seconds=300)
        assert [one.order.key for one in await store.read(lambda tx: tx.followed("erp", then, wait, 10))] == [
            "A1",
            "B1",
        ]

    async def test_orders_are_found_by_the_erps_number(self, store: Store) -> None:
        await put(store, ("A1", "A"), ("B1", "B"))
        for one in await claim(store, limit=2):
            await settle_as(store, delivered(one.delivery, "7", at(1)).delivery, one)
        assert await store.read(lambda tx: tx.numbered("7")) == ["A1", "B1"]
        assert await store.read(lambda tx: tx.numbered("8")) == []

    async def test_a_word_that_came_twice_is_no_news_and_counts_from_its_newest_time(self, store: Store) -> None:
        await put(store, ("K", "M"))

        def say(status: str, seconds: float, code: str | None = None) -> Callable[[Tx], bool]:
            word = StatusUpdate(key="K", number="7", status=status, closing_code=code, at=at(seconds))
            return lambda tx: tx.put_status(word, at(99))

        assert await store.write(say("open", 10))
        assert not await store.write(say("open", 30))
        assert not await store.write(say("closed", 20))
        assert await store.write(say("closed", 40))
        assert await store.write(say("closed", 35, "WORN"))
        held = await store.read(lambda tx: tx.order("K"))
        assert held is not None and (held.erp_status, held.erp_state, held.closing_code) == ("closed", "done", "WORN")

    # inbound

    async def test_a_message_is_new_once_and_its_name_is_not_used_for_another(self, store: Store) -> None:
        assert await store.write(lambda tx: tx.first_time("hook", "m1", "f", NOW))
        assert not await store.write(lambda tx: tx.first_time("hook", "m1", "f", at(1)))
        assert await store.write(lambda tx: tx.first_time("other", "m1", "g", NOW))
        with pytest.raises(Conflict):
            await store.write(lambda tx: tx.first_time("hook", "m1", "g", NOW))
        assert await store.read(lambda tx: tx.answer_of("hook", "m1")) == ("f", None)
        await store.write(lambda tx: tx.put_answer("hook", "m1", b"{}"))
        assert await store.read(lambda tx: tx.answer_of("hook", "m1")) == ("f", b"{}")
        assert await store.read(lambda tx: tx.answer_of("hook", "m2")) is None

    async def test_a_production_order_is_put_once(self, store: Store) -> None:
        made = ProductionOrder(order_id="P1", material_code="X", quantity=5, due_date="2026-04-01")
        assert await store.write(lambda tx: tx.put_production_order(made, NOW))
        assert not await store.write(lambda tx: tx.put_production_order(made, NOW))
        with pytest.raises(Conflict):
            await store.write(lambda tx: tx.put_production_order(msgspec.structs.replace(made, quantity=6), NOW))
        assert await store.read(lambda tx: tx.production_order("P1")) == made
        assert await store.read(lambda tx: tx.production_orders()) == [made]

    # trail

    async def test_the_trail_is_chained_and_a_changed_line_is_found(self, store: Store) -> None:
        beijing = datetime(2026, 3, 18, 20, tzinfo=timezone(timedelta(hours=8)))
        for n in range(5):
            await store.write(lambda tx, n=n: tx.note("order.made", f"K{n}", beijing, "详情\x00"))
        lines = await store.read(lambda tx: list(tx.audit()))
        assert [found.number for found in lines] == [1, 2, 3, 4, 5]
        assert verify(lines) is None
        assert verify(await store.read(lambda tx: list(tx.audit(after=2))), before=lines[1]) is None
        forged = [*lines[:2], msgspec.structs.replace(lines[2], detail="nothing"), *lines[3:]]
        assert verify(forged) == 3
        assert verify([*lines[:2], *lines[3:]]) == 4

    async def test_the_counts_say_how_much_there_is(self, store: Store) -> None:
        def fill(tx: Tx) -> None:
            tx.append(batch(1, 0, value("M", "t", 0, 1.0), value("M", "u", 0, 1.0)))
            tx.put_diagnosis(diagnosis("M", 0))
            tx.put_episode(episode("e", "M", 0))
            tx.put_order(order("K"), "erp", NOW)
            tx.take_report(report("r"), NOW)

        await store.write(fill)
        counts = await store.read(lambda tx: tx.counts())
        assert msgspec.structs.astuple(counts) == (2, 1, 1, 1, 1, 1)


async def free(store: Store) -> bool:
    """Whether no look is in the way of a full house of looks."""
    outcomes = await asyncio.gather(*(store.read(lambda _: 1) for _ in range(256)), return_exceptions=True)
    return not any(isinstance(outcome, Full) for outcome in outcomes)


async def put(store: Store, *orders: tuple[str, str | None]) -> None:
    def step(tx: Tx) -> None:
        for key, asset in orders:
            assert tx.put_order(order(key, asset), "erp", NOW)

    await store.write(step)


async def claim(store: Store, now: datetime = NOW, limit: int = 10, erp: str = "erp") -> list[Claimed]:
    return await store.write(lambda tx: tx.claim(erp, now, LEASE, limit))


async def claim_uncertain(store: Store, now: datetime) -> list[Claimed]:
    return await store.write(lambda tx: tx.claim_uncertain("erp", now, LEASE, 10))


async def settle(store: Store, claimed: Claimed, state: DeliveryState, due_at: datetime = NOW) -> bool:
    return await store.write(lambda tx: tx.settle(claimed.delivery, settled(claimed, state, due_at)))
