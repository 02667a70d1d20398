"""Orders are read back from a real ERP process until they are over; what fails, fails alone."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.erp.rest import Settings
from gateway.core.delivery import Delivery, DeliveryState, ErpRef, StatusUpdate, Uncertain
from gateway.core.episode import Episode, EpisodeState
from gateway.core.errors import Unreachable
from gateway.core.order import WorkOrder
from gateway.core.ports import ErpAdapter, Store, StoredOrder, Tx
from gateway.core.secret import SecretRef
from gateway.core.units import Duration
from gateway.flow.follow import SILENT, Follower, Pace, doubled, next_wait
from gateway.flow.patience import DOUBTS, Patience
from gateway.flow.receive import take_status
from gateway.flow.settle import delivered
from gateway.store.settings import Settings as StoreSettings
from tests.erp_process import SECRET, Erp, make_order, running_erp
from tests.rig import until

READ = {"method": "GET", "path": "/api/orders/"}
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)


class Clock:
    """Wall clock that a test can push forward; it runs on its own, too."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


class Odd:
    """An ERP adapter whose answer to a question about one number is made by a test."""

    def __init__(self, inner: ErpAdapter, **changed: Any) -> None:
        self._inner, self.name = inner, inner.name
        self.capabilities = msgspec.structs.replace(inner.capabilities, **changed)
        self.instead: dict[str, Callable[[], Any]] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def status(self, ref: ErpRef) -> ErpRef:
        if ref.number in self.instead:
            await self.instead[ref.number]()
        return await self._inner.status(ref)


@dataclass(slots=True)
class Rig:
    """A store, an ERP, and one that follows."""

    store: Store
    erp: Odd
    plant: Erp
    pace: Pace = field(default_factory=Pace)
    clock: Clock = field(default_factory=Clock)
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    patience: Patience = field(init=False)

    def __post_init__(self) -> None:
        self.patience = Patience(self.clock, timedelta(seconds=30))

    @property
    def follower(self) -> Follower:
        return Follower(self.store, self.erp, self.clock, self.wake, self.pace, self.patience)

    async def order(self, name: str, number: str = "", age: timedelta = timedelta(0)) -> str:
        """Have an order in the ERP, under a number of its own; gives the number."""
        made = make_order(name, asset=name, detected_at=self.clock() - age)
        given = number or await self._made(made)

        def step(tx: Tx) -> None:
            at = self.clock()
            tx.put_order(made, "main", at)
            tx.put_episode(
                Episode(made.key, name, "bearing", "bearing_outer_race", "machine", EpisodeState.OPEN, at, at)
            )
            [claimed] = tx.claim("main", at, timedelta(seconds=30), 1)
            tx.settle(claimed.delivery, delivered(claimed.delivery, given, at).delivery)

        await self.store.write(step)
        return given

    async def _made(self, order: WorkOrder) -> str:
        [outcome] = await self.erp.deliver([order])
        return str(outcome.ref.number)

    async def held(self, number: str) -> StoredOrder:
        [key] = await self.store.read(lambda tx: tx.numbered(number))
        found = await self.store.read(lambda tx: tx.order(key))
        assert found is not None
        return found

    async def hint(self, number: str) -> None:
        [key] = await self.store.read(lambda tx: tx.numbered(number))
        await self.store.write(lambda tx: tx.asked(key, None))
        self.wake.set()

    async def events(self, number: str) -> list[str]:
        key = (await self.held(number)).order.key
        lines = await self.store.read(lambda tx: list(tx.audit()))
        return [line.event for line in lines if line.subject == key]

    def asked(self, number: str = "") -> int:
        """Count the questions that the ERP got."""
        return sum(row["method"] == "GET" and row["path"].endswith(number) for row in self.plant.state()["journal"])

    async def later(self, wait: timedelta = 5 * MINUTE) -> int:
        self.clock.ahead += wait + timedelta(seconds=1)
        return await self.follower.step()


@pytest.fixture(scope="module")
def _plant() -> Iterator[Erp]:
    with running_erp("--profile", "header") as erp:
        yield erp


@pytest.fixture
async def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, _plant: Erp) -> AsyncIterator[Rig]:
    monkeypatch.setenv("TEST_ERP_SECRET", SECRET)
    _plant.faults()
    settings = Settings(
        name="main",
        base_url=_plant.url,
        token_url=_plant.ready["token_url"],
        client_id=_plant.ready["client_id"],
        client_secret=SecretRef(env="TEST_ERP_SECRET"),
        audience="erp",
        idempotency="header",
        timeout=Duration(2.0),
    )
    store, erp = StoreSettings(path=str(tmp_path)).open(), settings.open()
    yield Rig(store, Odd(erp), _plant)
    await erp.close()
    await store.close()


async def test_an_order_is_asked_about_until_it_is_over_and_its_end_ends_the_episode(rig: Rig) -> None:
    number = await rig.order("a")
    assert await rig.follower.step() == 0
    assert await rig.later() == 1
    assert ((await rig.held(number)).erp_status, (await rig.held(number)).erp_state) == ("OPEN", "open")
    assert await rig.later() == 1
    rig.plant.edit(number, status="Closed", closing_code="WORN")
    assert await rig.later() == 1
    held = await rig.held(number)
    assert (held.erp_state, held.closing_code) == ("done", "WORN")
    assert (await rig.events(number))[-3:] == ["order.status", "order.closing_code", "episode.closed"]
    assert [await rig.later(wait) for wait in (5 * MINUTE, DAY, 300 * DAY)] == [0, 0, 0]


async def test_an_order_with_a_hint_is_asked_about_at_once_and_before_the_others(rig: Rig) -> None:
    rig.pace = Pace(at_once=1)
    first, hinted = await rig.order("b1"), await rig.order("b2")
    rig.plant.edit(hinted, status="In Progress")
    await rig.hint(hinted)
    assert await rig.follower.step() == 1
    assert (await rig.held(hinted)).erp_status == "In Progress"
    await rig.hint(hinted)
    rig.plant.edit(hinted, status="Closed")
    assert await rig.later() == 1
    assert ((await rig.held(hinted)).erp_state, (await rig.held(first)).erp_state) == ("done", "unknown")


async def test_a_closing_code_that_comes_after_the_end_is_waited_for_a_few_times(rig: Rig) -> None:
    early, never = await rig.order("c1"), await rig.order("c2")
    for number in (early, never):
        rig.plant.edit(number, status="Completed")
    assert await rig.later() == 2
    rig.plant.edit(early, closing_code="WORN")
    assert await rig.later() == 2
    assert (await rig.held(early)).closing_code == "WORN"
    looks = [await rig.later(wait) for wait in (10 * MINUTE, *([DAY] * 9))]
    assert looks == sorted(looks, reverse=True) and 3 < sum(looks) < 10
    assert (await rig.events(never)).count("episode.closed") == 1


async def test_one_order_that_cannot_be_read_fails_alone_and_is_put_off_ever_longer(rig: Rig) -> None:
    bad, good = await rig.order("d1"), await rig.order("d2")
    rig.plant.faults({"kind": "error_before", **READ, "path": f"/api/orders/{bad}"})
    for _ in range(12):
        await rig.later()
        assert (await rig.held(good)).erp_status == "OPEN"
        assert rig.patience.why == ""
    assert 2 <= rig.asked(bad) <= 4
    rig.plant.faults()
    await rig.later(timedelta(hours=1))
    assert (await rig.held(bad)).erp_status == "OPEN"


async def test_an_erp_that_does_not_answer_is_left_alone_and_asked_again_by_one_question(rig: Rig) -> None:
    numbers = [await rig.order(f"e{number}") for number in range(SILENT + 2)]
    rig.plant.faults({"kind": "cut", **READ})
    assert await rig.later() == rig.pace.at_once
    assert "asked how an order stands" in rig.patience.why
    before = rig.asked()
    assert await rig.follower.step() == 0 and rig.asked() == before
    rig.plant.faults()
    rig.clock.ahead += timedelta(minutes=1)
    assert await rig.follower.step() == 1
    assert rig.patience.why == ""
    await rig.later(timedelta(hours=1))
    await rig.later(timedelta(hours=1))
    assert {(await rig.held(number)).erp_status for number in numbers} == {"OPEN"}


async def test_an_erp_that_asks_to_wait_is_left_alone_for_as_long(rig: Rig) -> None:
    await rig.order("f")
    rig.plant.faults({"kind": "throttle", "retry_after": 300, "count": 1, **READ})
    assert await rig.later() == 1
    assert timedelta(seconds=250) < rig.patience.left <= timedelta(seconds=300)


async def test_answers_to_questions_do_not_hide_that_deliveries_fail(rig: Rig) -> None:
    await rig.order("g")
    for _ in range(DOUBTS - 1):
        rig.patience.note(Uncertain("500"))
    assert await rig.later() == 1
    rig.patience.note(Uncertain("500"))
    assert rig.patience.why == "500"


async def test_a_record_that_is_gone_is_noted_once_and_looked_for_ever_more_rarely(rig: Rig) -> None:
    gone, good = await rig.order("h1", number="WO-9999999"), await rig.order("h2")
    for _ in range(30):
        await rig.later(2 * 60 * MINUTE)
    looks = rig.asked(gone)
    assert 6 <= looks <= 11
    await rig.later(timedelta(hours=12))
    await rig.later(timedelta(hours=13))
    assert rig.asked(gone) == looks + 1
    assert (await rig.events(gone)).count("order.unreadable") == 1
    assert rig.patience.why == "" and (await rig.held(good)).erp_status == "OPEN"
    assert (await rig.held(gone)).delivery.state is DeliveryState.DELIVERED


class Strange(Odd):
    """An ERP whose records stand at a word that nobody told us."""

    async def status(self, ref: ErpRef) -> ErpRef:
        return msgspec.structs.replace(await super().status(ref), status="Zu-9", state="unknown")


async def test_a_status_that_means_nothing_is_noted_once_per_word(rig: Rig) -> None:
    rig.erp = Strange(rig.erp)
    numbers = [await rig.order("w1"), await rig.order("w2")]
    await rig.later()
    await rig.later(DAY)
    trail = await rig.store.read(lambda tx: list(tx.audit()))
    assert [line.detail for line in trail if line.event == "order.strange_status"] == ["Zu-9"]
    assert [(await rig.held(number)).erp_status for number in numbers] == ["Zu-9"] * 2


async def test_a_signed_word_that_means_nothing_by_itself_is_a_reason_to_ask(rig: Rig) -> None:
    number = await rig.order("w3")
    await rig.later()
    order = await rig.held(number)
    for word, due in (("in progress", 0), ("Zu-9", 1)):
        update = StatusUpdate(key=order.order.key, number=number, status=word)
        assert await take_status(rig.store, update, word, "hash", rig.clock)
        assert await rig.follower.step() == due


async def test_what_was_refused_and_is_told_again_may_be_noted_again(rig: Rig) -> None:
    number = await rig.order("i")
    for _ in range(2):
        rig.plant.faults({"kind": "forbidden", "count": 1, **READ})
        await rig.later(2 * DAY)
        await rig.later(2 * DAY)
    assert (await rig.events(number)).count("order.unreadable") == 2


async def test_a_bug_of_the_adapter_ends_neither_the_loop_nor_the_other_questions(rig: Rig) -> None:
    odd, good = await rig.order("j1"), await rig.order("j2")

    async def bug() -> None:
        raise ZeroDivisionError

    rig.erp.instead[odd] = bug
    assert await rig.later() == 2
    assert (await rig.held(good)).erp_status == "OPEN"
    assert "order.unreadable" in await rig.events(odd)


async def test_a_question_has_a_deadline_of_its_own(rig: Rig) -> None:
    rig.erp = Odd(rig.erp._inner, deadline=timedelta(seconds=0.3))
    slow, good = await rig.order("k1"), await rig.order("k2")
    rig.erp.instead[slow] = asyncio.Event().wait
    began = monotonic()
    assert await rig.later() == 2
    assert monotonic() - began < 5
    assert (await rig.held(good)).erp_status == "OPEN"


async def test_after_half_a_year_it_is_said_once_that_nobody_asks_any_more(rig: Rig) -> None:
    number = await rig.order("l", age=181 * DAY)
    assert await rig.later() == 1
    assert [await rig.later(wait) for wait in (5 * MINUTE, DAY, 30 * DAY)] == [0, 0, 0]
    assert rig.asked(number) == 0
    await rig.hint(number)
    assert await rig.follower.step() == 1 and rig.asked(number) == 1
    assert await rig.later(DAY) == 0
    assert (await rig.events(number)).count("order.unfollowed") == 1


async def test_a_hint_that_comes_while_the_erp_is_asked_is_not_lost(rig: Rig) -> None:
    number = await rig.order("m")

    async def hint() -> None:
        await rig.hint(number)

    rig.erp.instead[number] = hint
    assert await rig.later() == 1
    rig.erp.instead.clear()
    assert await rig.follower.step() == 1
    assert await rig.follower.step() == 0


async def test_what_a_crash_interrupts_is_not_asked_in_circles(rig: Rig) -> None:
    number = await rig.order("n")
    hangs = asyncio.Event()

    async def hang() -> None:
        hangs.set()
        await asyncio.Event().wait()

    rig.erp.instead[number] = hang
    rig.clock.ahead += 6 * MINUTE
    job = asyncio.create_task(rig.follower.step())
    await hangs.wait()
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job
    rig.erp.instead.clear()
    assert await rig.follower.step() == 0
    assert await rig.later(10 * MINUTE) == 1
    assert (await rig.held(number)).erp_status == "OPEN"


async def test_a_running_follower_wakes_at_a_hint_and_outlives_a_store_that_is_away(rig: Rig) -> None:
    number = await rig.order("o")
    rig.pace = Pace(poll=timedelta(seconds=30))
    store, went = rig.store, asyncio.Event()

    class Away:
        def __getattr__(self, name: str) -> Any:
            return getattr(store, name)

        async def read(self, look: Callable[[Tx], Any]) -> Any:
            if not went.is_set():
                went.set()
                raise Unreachable("away")
            return await store.read(look)

    follower = Follower(cast(Store, Away()), rig.erp, rig.clock, rig.wake, rig.pace, rig.patience)
    job = asyncio.create_task(follower.run())
    rig.plant.edit(number, status="Closed")

    async def closed() -> bool:
        return (await rig.held(number)).erp_state == "done"

    await went.wait()
    await rig.hint(number)
    await until(closed, "the end of the order", 20)
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job


WAITS = st.timedeltas(timedelta(0), 300 * DAY)


@given(WAITS, WAITS, st.sampled_from(["open", "done", "cancelled", "unknown"]), st.sampled_from([None, "WORN"]))
def test_every_wait_is_within_its_bounds_and_every_following_has_an_end(
    age: timedelta, waited: timedelta, state: str, code: str | None
) -> None:
    pace, now = Pace(), datetime(2026, 11, 21, tzinfo=UTC)
    order = StoredOrder(
        make_order("x", detected_at=now - age),
        Delivery("K", "M", "main", DeliveryState.DELIVERED, 1, now, erp_number="1"),
        closing_code=code,
        erp_state=state,
    )
    wait = next_wait(order, waited, now, pace)
    if state in {"done", "cancelled"} and code is not None:
        assert wait is None
    if wait is None:
        assert age > pace.until or state in {"done", "cancelled"}
    else:
        assert pace.every <= wait <= (pace.rarest if state in {"done", "cancelled"} else pace.longest)
    assert pace.every <= doubled(waited, pace.every, pace.rarest) <= pace.rarest
