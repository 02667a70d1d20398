"""What every sink of events promises: one suite, against a receiver of another make."""

import asyncio
from datetime import UTC, datetime, timedelta, timezone

import pytest

from gateway.core.event import Event, Gone, Heard, Unheard
from gateway.core.ports import EventSink
from tests.event_receiver import OTHER, SECRET, Receiver, reply

NOW = datetime.now(UTC)
EVENT = Event(
    id="evt_0123456789abcdef",
    name="order.delivered",
    source="urn:andon:SZ1",
    subject="AN31W2CDJ6P70E2N64BQ",
    time=NOW,
    sequence=42,
    data='{"key":"AN31W2CDJ6P70E2N64BQ","title":"外圈 \\"故障\\" 100%"}'.encode(),
)


class EventSinkContract:
    """Inherited by each sink; a subclass gives `sink`, which sends to `receiver` within two seconds or so."""

    @pytest.fixture
    def receiver(self) -> Receiver:
        raise NotImplementedError

    @pytest.fixture
    def sink(self) -> EventSink:
        raise NotImplementedError

    async def test_an_event_arrives_whole_signed_by_every_live_secret(
        self, sink: EventSink, receiver: Receiver
    ) -> None:
        assert await sink.send(EVENT, NOW) == Heard()
        [one] = receiver.got
        assert one.signers == (SECRET, OTHER)
        assert one.id == EVENT.id and "." not in one.id
        event = one.event
        assert (event.get_id(), event.get_type()) == (EVENT.id, "io.andon.order.delivered.v1")
        assert (event.get_source(), event.get_subject(), event.get_time()) == (EVENT.source, EVENT.subject, NOW)
        assert event.get_specversion() == "1.0" and event.get_datacontenttype() == "application/json"
        assert event.get_data() == {"key": EVENT.subject, "title": '外圈 "故障" 100%'}
        assert event.get_extension("sequence") == "00000000000000000042"

    async def test_the_same_event_again_has_its_id_and_the_time_of_the_attempt(
        self, sink: EventSink, receiver: Receiver
    ) -> None:
        china = timezone(timedelta(hours=8))
        for at in (NOW, (NOW + timedelta(seconds=90)).astimezone(china)):
            assert await sink.send(EVENT, at) == Heard()
        first, second = receiver.got
        assert (first.id, first.body) == (second.id, second.body)
        assert int(second.headers["webhook-timestamp"]) - int(first.headers["webhook-timestamp"]) == 90
        assert second.signers == (SECRET, OTHER)

    @pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
    async def test_2xx_is_success(self, sink: EventSink, receiver: Receiver, status: int) -> None:
        receiver.answer = lambda _: reply(status)
        assert await sink.send(EVENT, NOW) == Heard()

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    async def test_a_redirect_is_a_failure_and_is_not_followed(
        self, sink: EventSink, receiver: Receiver, status: int
    ) -> None:
        receiver.answer = lambda _: reply(status, "location: http://169.254.169.254/latest/meta-data/")
        heeded = await sink.send(EVENT, NOW)
        assert heeded == Unheard(f"it answered {status}: redirects are not followed", ailing=False)
        assert len(receiver.got) == 1

    @pytest.mark.parametrize(("status", "ailing"), [(400, False), (401, False), (404, False), (429, True), (500, True)])
    async def test_any_other_answer_is_a_failure_with_its_number(
        self, sink: EventSink, receiver: Receiver, status: int, *, ailing: bool
    ) -> None:
        receiver.answer = lambda _: reply(status, body=b'{"error": "Mr. Smith, secret=hunter2"}')
        assert await sink.send(EVENT, NOW) == Unheard(f"it answered {status}", ailing=ailing)

    async def test_410_asks_never_to_be_told_again(self, sink: EventSink, receiver: Receiver) -> None:
        receiver.answer = lambda _: reply(410)
        assert isinstance(await sink.send(EVENT, NOW), Gone)

    @pytest.mark.parametrize(
        ("value", "seconds"),
        [("7", 7), ("0", 0), ("-5", None), ("soon", None), ("9" * 30, 86400), ("9" * 5000, 86400), ("", None)],
    )
    async def test_the_wait_that_is_asked_for_is_told(
        self, sink: EventSink, receiver: Receiver, value: str, seconds: int | None
    ) -> None:
        receiver.answer = lambda _: reply(503, f"retry-after: {value}")
        heeded = await sink.send(EVENT, NOW)
        wait = None if seconds is None else timedelta(seconds=seconds)
        assert heeded == Unheard("it answered 503", ailing=True, after=wait)

    async def test_a_date_to_wait_for_is_read(self, sink: EventSink, receiver: Receiver) -> None:
        then = datetime.now(UTC) + timedelta(seconds=100)
        receiver.answer = lambda _: reply(503, f"retry-after: {then:%a, %d %b %Y %H:%M:%S} GMT")
        heeded = await sink.send(EVENT, NOW)
        assert isinstance(heeded, Unheard) and heeded.after is not None
        assert timedelta(seconds=90) < heeded.after <= timedelta(seconds=100)

    @pytest.mark.parametrize(
        "said", [b"garbage\r\n\r\n", b"HTTP/1.1 200", b"\x00\xff" * 100, b"HTTP/1.1 99 No\r\n\r\n"]
    )
    async def test_garbage_is_a_failure(self, sink: EventSink, receiver: Receiver, said: bytes) -> None:
        async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(said)
            writer.write_eof() if writer.can_write_eof() else writer.close()

        receiver.serve = cut  # type: ignore[method-assign]
        heeded = await sink.send(EVENT, NOW)
        assert isinstance(heeded, Unheard) and heeded.ailing

    async def test_a_receiver_that_says_nothing_is_not_waited_for(self, sink: EventSink, receiver: Receiver) -> None:
        receiver.answer = lambda _: None
        async with asyncio.timeout(sink.deadline.total_seconds() + 2):
            heeded = await sink.send(EVENT, NOW)
        assert isinstance(heeded, Unheard) and heeded.ailing and "no answer" in heeded.cause

    async def test_an_answer_without_an_end_is_not_read_to_its_end(self, sink: EventSink, receiver: Receiver) -> None:
        receiver.answer = lambda _: b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n" + b"x" * 500_000
        async with asyncio.timeout(sink.deadline.total_seconds() + 2):
            assert await sink.send(EVENT, NOW) == Heard()

    async def test_it_may_be_cancelled_and_used_again(self, sink: EventSink, receiver: Receiver) -> None:
        receiver.answer = lambda _: None
        task = asyncio.create_task(sink.send(EVENT, NOW))
        await receiver.wait(lambda: len(receiver.got) == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        receiver.answer = lambda _: reply(200)
        assert await sink.send(EVENT, NOW) == Heard()

    async def test_it_may_be_closed_twice(self, sink: EventSink) -> None:
        await sink.close()
        await sink.close()
