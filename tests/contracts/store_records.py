"""What every store promises of what was told and found: reports, diagnoses, episodes, messages, the trail."""

from datetime import datetime, timedelta, timezone

import msgspec
import pytest

from gateway.core.delivery import ProductionOrder
from gateway.core.episode import EpisodeState
from gateway.core.errors import Conflict
from gateway.core.ports import Store, Tx
from gateway.store.audit import verify
from tests.contracts.store_rows import NOW, diagnosis, episode, extraction, order, report
from tests.fakes import at, batch, value


class Records:
    """Each thing once, and found again."""

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

    async def test_a_report_waits_to_be_concluded_once_more_when_it_leads_to_an_order_that_had_ended(
        self, store: Store
    ) -> None:
        await store.write(lambda tx: tx.take_report(report("r1"), NOW))
        assert not await store.write(lambda tx: tx.conclude_again("r1", "K"))
        await store.write(lambda tx: tx.read_report(extraction("r1", "order"), "K"))
        assert not await store.write(lambda tx: tx.conclude_again("r1", "L"))
        held = await store.read(lambda tx: tx.report("r1"))
        assert held is not None and not held.waits
        assert await store.write(lambda tx: tx.conclude_again("r1", "K"))
        assert not await store.write(lambda tx: tx.conclude_again("r1", "K"))
        [waiting] = await store.read(lambda tx: tx.reports(unread=True))
        assert waiting.waits and waiting.extraction == extraction("r1", "order") and waiting.order_key is None
        await store.write(lambda tx: tx.read_report(extraction("r1", "order"), "L"))
        assert await store.read(lambda tx: tx.reports(unread=True)) == []
        await store.write(lambda tx: tx.review_done("r1"))
        await store.write(lambda tx: tx.read_report(extraction("r1", "review"), None))
        [seen] = await store.read(lambda tx: tx.reports(route="review"))
        assert seen.report.id == "r1" and not seen.waits

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
