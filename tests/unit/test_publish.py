"""Events out: from the audit trail into each subscriber's queue, and what becomes of every try."""

import ast
import asyncio
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from gateway.core.delivery import ProductionOrder
from gateway.core.event import NAMES, Event, Gone, Heard, Heeded, Outgoing, Unheard
from gateway.core.order import WorkOrder
from gateway.core.ports import Store, Tx
from gateway.core.report import QualityReport
from gateway.flow import publish
from gateway.flow.production import take_production_orders
from gateway.flow.publish import LONGEST_ASKED, SCHEDULE, Pace, Publisher, after, turn_on
from gateway.flow.tell import Teller
from tests.erp_process import make_order
from tests.fakes import at
from tests.rig import until

DOWN = Unheard("it answered 503", ailing=True)
NO = Unheard("it answered 404", ailing=False)


class Sink:
    """Keeps the promises of its port: answers as it is told, remembers what came."""

    def __init__(self, name: str = "mes") -> None:
        self.name, self.place, self.deadline = name, "here", timedelta(seconds=5)
        self.got: list[Event] = []
        self.answer: Callable[[Event], Heeded] = lambda _: Heard()

    async def send(self, event: Event, at: datetime) -> Heeded:
        self.got.append(event)
        return self.answer(event)

    async def close(self) -> None:
        pass


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> datetime:
        return at(self.seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sink() -> Sink:
    return Sink()


def publisher(
    store: Store, sink: Sink, clock: Clock, types: tuple[str, ...] = ("*",), pace: Pace | None = None
) -> Publisher:
    return Publisher(store, sink, clock, Teller("urn:andon:SZ1", types), pace=pace or Pace(jitter=0))


async def note(store: Store, *lines: tuple[str, str]) -> None:
    def step(tx: Tx) -> None:
        for event, subject in lines:
            tx.note(event, subject, at(0), "detail")

    await store.write(step)


async def drain(telling: Publisher) -> None:
    while await telling.step():
        pass


def order(key: str) -> WorkOrder:
    words = {"title": "轴承 " + "x" * 300, "description": "Told by Mr. Smith", "reporter": "Mr. Smith"}
    return make_order("e", "M-1", key=key, component=None, detected_at=at(0), **words)


async def test_a_subscriber_is_told_what_happens_from_when_it_is_named_on(
    store: Store, sink: Sink, clock: Clock
) -> None:
    await note(store, ("order.made", "AN0"))
    telling = publisher(store, sink, clock)
    await drain(telling)
    assert sink.got == []
    await note(store, ("order.made", "AN1"), ("window.not_judged", "M-1"), ("order.delivered", "AN1"))
    await drain(telling)
    assert [(one.name, one.subject) for one in sink.got] == [("order.made", "AN1"), ("order.delivered", "AN1")]
    assert sink.got[0].sequence < sink.got[1].sequence
    assert await store.read(lambda tx: tx.outgoing()) == []


async def test_an_event_tells_of_the_order_and_names_no_person(store: Store, sink: Sink, clock: Clock) -> None:
    telling = publisher(store, sink, clock)
    await drain(telling)

    def step(tx: Tx) -> None:
        tx.put_order(order("AN1"), "main", at(0))
        tx.note("order.made", "AN1", at(0), "machine bearing_outer_race")
        tx.note("order.redelivered", "AN1", at(0), "by Mr. Smith")
        tx.take_report(QualityReport(id="r1", text="Mr. Smith says it leaks", reported_at=at(0)), at(0))
        tx.note("report.taken", "r1", at(0), "api")
        tx.note("production.taken", "PO1", at(0), "Mr. Smith")
        tx.note("episode.closed", "AN1", at(0), "by the ERP")

    await store.write(step)
    await drain(telling)
    assert b"Smith" not in b"".join(one.data for one in sink.got)
    told = msgspec.json.decode(sink.got[0].data)
    assert told["key"] == "AN1" and told["asset"] == "M-1" and told["state"] == "WAITING"
    assert told["detail"] == "machine bearing_outer_race" and len(told["title"]) == 200
    assert {one.name for one in sink.got} == {
        "order.made", "order.redelivered", "report.taken", "production.taken", "episode.closed",
    }  # fmt: skip


@pytest.mark.parametrize("to", ["", "line.press"])
async def test_an_event_says_of_a_production_order_what_everybody_else_is_told(
    store: Store, sink: Sink, clock: Clock, to: str
) -> None:
    telling = publisher(store, sink, clock)
    await drain(telling)
    given = ProductionOrder(order_id="PO-1", material_code="GX-7", quantity=12.0, due_date="2026-12-01")
    await take_production_orders(store, [given], "api", clock, to)
    await drain(telling)
    held = await store.read(lambda tx: tx.production("PO-1"))
    told = msgspec.json.decode(sink.got[0].data)
    assert held is not None and told["state"] == held.standing == ("WAITING" if to else "KEPT")


async def test_only_the_types_that_were_asked_for_are_told(store: Store, sink: Sink, clock: Clock) -> None:
    telling = publisher(store, sink, clock, ("order.d*", "episode.closed"))
    await drain(telling)
    await note(store, *((name, "AN1") for name in NAMES))
    await drain(telling)
    assert [one.name for one in sink.got] == ["order.delivered", "order.duplicate", "episode.closed"]


async def test_a_dead_subscriber_stops_no_other_and_is_not_hammered(store: Store, clock: Clock) -> None:
    dead, alive = Sink("dead"), Sink("alive")
    dead.answer = lambda _: DOWN
    both = [publisher(store, sink, clock) for sink in (dead, alive)]
    for telling in both:
        await drain(telling)
    await note(store, *(("order.made", f"AN{number}") for number in range(50)))
    for telling in both:
        await drain(telling)
    assert len(alive.got) == 50
    assert len(dead.got) <= 8
    assert both[0].why == "it answered 503" and both[1].why == ""


async def test_when_it_is_back_it_gets_everything_once_and_in_the_order_of_each_subject(
    store: Store, sink: Sink, clock: Clock
) -> None:
    telling = publisher(store, sink, clock)
    await drain(telling)
    sink.answer = lambda _: DOWN
    for number in range(20):
        await note(store, ("order.made", f"AN{number}"), ("order.delivered", f"AN{number}"))
    for _ in range(10):
        await drain(telling)
        clock.seconds += 60
    sink.got.clear()
    sink.answer = lambda _: Heard()
    for _ in range(200):
        await drain(telling)
        clock.seconds += 60
    told = [(one.subject, one.name) for one in sink.got]
    assert len(told) == len(set(told)) == 40
    for number in range(20):
        assert told.index((f"AN{number}", "order.made")) < told.index((f"AN{number}", "order.delivered"))


async def test_one_event_that_is_not_liked_holds_its_subject_alone_and_ends_parked(
    store: Store, sink: Sink, clock: Clock
) -> None:
    telling = publisher(store, sink, clock)
    await drain(telling)
    sink.answer = lambda event: NO if (event.subject, event.name) == ("AN1", "order.made") else Heard()
    await note(store, ("order.made", "AN1"), ("order.delivered", "AN1"), ("order.made", "AN2"))
    await drain(telling)
    assert [one.subject for one in sink.got] == ["AN1", "AN2"]
    for wait in SCHEDULE:
        clock.seconds += wait.total_seconds() + 1
        await drain(telling)
    tries = [one for one in sink.got if (one.subject, one.name) == ("AN1", "order.made")]
    assert len(tries) == len(SCHEDULE) + 1 and len({one.id for one in tries}) == 1
    [parked] = await store.read(lambda tx: tx.outgoing(state="PARKED"))
    assert parked.reason == "given up after 10 attempts: it answered 404"
    lines = await store.read(lambda tx: [line.event for line in tx.audit()])
    assert "events.parked" in lines
    assert sink.got[-1].name == "order.delivered"  # what it held goes on


async def test_410_is_durable_until_a_person_or_another_address_lets_it_in(
    store: Store, sink: Sink, clock: Clock
) -> None:
    telling = publisher(store, sink, clock)
    await drain(telling)
    sink.answer = lambda _: Gone("it answered 410")
    await note(store, ("order.made", "AN1"))
    await drain(telling)
    await note(store, ("order.made", "AN2"))
    clock.seconds += 100
    again = publisher(store, sink, clock)  # the gateway was started again
    await drain(again)
    assert len(sink.got) == 1 and again.why == "it answered 410"
    sink.answer = lambda _: Heard()
    await store.write(lambda tx: turn_on(tx, known(tx), clock()))
    await drain(again)
    assert [one.subject for one in sink.got] == ["AN1", "AN1", "AN2"] and again.why == ""

    sink.answer = lambda _: Gone("it answered 410")
    await note(store, ("order.made", "AN3"))
    await drain(again)
    sink.answer, sink.place = (lambda _: Heard()), "elsewhere"
    await drain(publisher(store, sink, clock))
    assert [one.subject for one in sink.got] == ["AN1", "AN1", "AN2", "AN3", "AN3"]


def known(tx: Tx, name: str = "mes") -> "object":
    found = tx.subscriber(name)
    assert found is not None
    return found


async def test_a_subscriber_can_be_let_in_from_now_on(store: Store, sink: Sink, clock: Clock) -> None:
    telling = publisher(store, sink, clock)
    await drain(telling)
    sink.answer = lambda _: Gone("410")
    await note(store, ("order.made", "AN1"))
    await drain(telling)
    await note(store, ("order.made", "AN2"))
    sink.answer = lambda _: Heard()
    await store.write(lambda tx: turn_on(tx, known(tx), clock(), from_now=True))
    await note(store, ("order.made", "AN3"))
    await drain(telling)
    assert [one.subject for one in sink.got] == ["AN1", "AN1", "AN3"]


async def test_the_queue_is_bounded_and_the_trail_holds_the_rest(store: Store, sink: Sink, clock: Clock) -> None:
    telling = publisher(store, sink, clock, pace=Pace(jitter=0, waiting=10))
    await drain(telling)
    sink.answer = lambda _: DOWN
    await note(store, *(("order.made", f"AN{number}") for number in range(60)))
    for _ in range(5):
        await drain(telling)
        clock.seconds += 400
    assert (await store.read(lambda tx: tx.outgoing_counts())) == {("mes", "WAITING"): 10}
    sink.answer = lambda _: Heard()
    for _ in range(100):
        await drain(telling)
        clock.seconds += 400
    assert {one.subject for one in sink.got} == {f"AN{number}" for number in range(60)}


async def test_too_many_parked_events_turn_a_subscriber_off_and_none_is_lost(
    store: Store, sink: Sink, clock: Clock
) -> None:
    telling = publisher(store, sink, clock, pace=Pace(jitter=0, waiting=2, parked=3, schedule=()))
    await drain(telling)
    sink.answer = lambda _: NO
    await note(store, *(("order.made", f"AN{number}") for number in range(10)))
    await drain(telling)
    assert "are parked" in telling.why
    held = await store.read(lambda tx: tx.outgoing_counts())
    assert held == {("mes", "PARKED"): 4}  # two at a time were on their way
    sink.answer = lambda _: Heard()

    def look(tx: Tx) -> None:
        for one in tx.outgoing(state="PARKED"):
            tx.resend_event("mes", one.event.id, clock())
        turn_on(tx, known(tx), clock())

    await store.write(look)
    await drain(telling)
    assert {one.subject for one in sink.got[4:]} == {f"AN{number}" for number in range(10)}


async def test_a_trail_that_became_shorter_is_followed_from_its_end(store: Store, sink: Sink, clock: Clock) -> None:
    telling = publisher(store, sink, clock)
    await drain(telling)
    await store.write(lambda tx: tx.put_subscriber(replace(known(tx), number=10_000)))
    await drain(telling)
    await note(store, ("order.made", "AN1"))
    await drain(telling)
    assert [one.subject for one in sink.got] == ["AN1"]


async def test_a_long_trail_is_read_in_pieces_without_leaving_a_line_out(
    store: Store, sink: Sink, clock: Clock
) -> None:
    telling = publisher(store, sink, clock, ("order.parked",))
    await drain(telling)
    await note(store, *(("order.made", "AN1") for _ in range(2500)), ("order.parked", "AN1"))
    await drain(telling)
    assert [one.name for one in sink.got] == ["order.parked"]


async def test_what_was_sent_and_not_marked_is_sent_again_under_its_id(store: Store, sink: Sink, clock: Clock) -> None:
    telling = publisher(store, sink, clock)
    await drain(telling)
    await note(store, ("order.made", "AN1"))
    lease = timedelta(seconds=20)
    step = publisher(store, sink, clock)
    _, [claimed], _ = await store.write(lambda tx: step._turn(tx, 1))
    await sink.send(claimed.event, clock())  # and here the process is killed
    await drain(telling)
    assert len(sink.got) == 1
    clock.seconds += lease.total_seconds() + 1
    await drain(telling)
    assert len(sink.got) == 2 and sink.got[0] == sink.got[1]


async def test_a_sink_that_breaks_its_contract_stops_nothing(store: Store, sink: Sink, clock: Clock) -> None:
    telling = publisher(store, sink, clock)
    await drain(telling)

    def broken(event: Event) -> Heeded:
        if event.subject == "AN1":
            raise RuntimeError("a bug")
        return Heard()

    sink.answer = broken
    await note(store, ("order.made", "AN1"), ("order.made", "AN2"))
    await drain(telling)
    [held] = await store.read(lambda tx: tx.outgoing())
    assert held.reason == "it could not be sent (RuntimeError)" and len(sink.got) == 2


async def test_it_runs_until_it_is_cancelled_and_hears_of_news_by_itself(
    store: Store, sink: Sink, clock: Clock
) -> None:
    came = asyncio.Event()

    def heard(_: Event) -> Heeded:
        came.set()
        return Heard()

    sink.answer = heard
    telling = publisher(store, sink, clock, pace=Pace(poll=timedelta(milliseconds=10)))
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        task = group.create_task(telling.run())
        await until(lambda: store.read(lambda tx: tx.subscriber("mes")), "the subscriber")
        await note(store, ("order.made", "AN1"))
        await came.wait()
        task.cancel()


def waiting(attempt: int, made_at: datetime) -> Outgoing:
    event = Event(id="e", name="order.made", source="s", subject="AN1", time=at(0), sequence=1, data=b"{}")
    return Outgoing(subscriber="mes", event=event, state="WAITING", attempt=attempt, made_at=made_at, due_at=at(0))


def test_the_schedule_is_that_of_standard_webhooks() -> None:
    assert [wait.total_seconds() for wait in SCHEDULE] == [5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400]
    for attempt, wait in enumerate(SCHEDULE, 1):
        soonest = after(waiting(attempt, at(0)), NO, at(0), Pace(), lambda: 0.0)
        latest = after(waiting(attempt, at(0)), NO, at(0), Pace(), lambda: 1.0)
        assert soonest is not None and latest is not None
        assert soonest.due_at == at(0) + wait
        assert latest.due_at == at(0) + wait * 1.2
    ended = after(waiting(10, at(0)), NO, at(0), Pace())
    assert ended is not None and ended.state == "PARKED"


@pytest.mark.parametrize(("asked", "waits"), [(1, 5), (60, 60), (3600, 3600), (86400, LONGEST_ASKED.total_seconds())])
def test_the_wait_that_a_receiver_asks_for_is_obeyed_and_capped(asked: float, waits: float) -> None:
    told = replace(DOWN, after=timedelta(seconds=asked))
    later = after(waiting(1, at(0)), told, at(0), Pace(jitter=0))
    assert later is not None and later.due_at == at(waits)


def test_an_event_that_waited_for_days_is_given_up_however_few_its_attempts() -> None:
    old = after(waiting(2, at(0)), NO, at(4 * 86400 + 1), Pace())
    assert old is not None and old.state == "PARKED"


def test_every_name_that_can_be_told_is_one_that_is_written_down() -> None:
    """A name that nobody writes is a promise that is never kept."""
    written: list[re.Pattern[str]] = []
    for file in (Path(publish.__file__).parents[1]).rglob("*.py"):
        if file.name == "event.py":
            continue
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = [re.escape(str(p.value)) if isinstance(p, ast.Constant) else r"[a-z_]+" for p in node.values]
                written.append(re.compile("".join(parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                written.append(re.compile(re.escape(node.value)))
    narrow = [one for one in written if re.match(r"(order|episode|report|production)\\\.", one.pattern)]
    assert [name for name in NAMES if not any(one.fullmatch(name) for one in narrow)] == []
