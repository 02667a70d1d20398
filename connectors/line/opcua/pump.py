"""Publish pump: several publish requests in flight, acknowledged after the commit."""

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
import structlog
from asyncua import ua
from numpy.typing import NDArray

from connectors.line.inbox import Inbox
from connectors.line.opcua.decode import Decoder, Event, Message, of_notification
from connectors.line.opcua.fills import Progress
from connectors.line.opcua.stream import Ended, Stream, after, missing_before
from connectors.line.opcua.values import Change, Values
from gateway.core.ports import Clock
from gateway.core.series import NEVER

log: structlog.stdlib.BoundLogger = structlog.get_logger()
_MOST_REPUBLISHED = 1000
_NOTED_S = 10.0
"""So often at most a keep-alive is remembered, and only when no values came meanwhile."""


class Arrival(NamedTuple):
    """What one message brought, and when it arrived. `missing` counts messages before it that are lost.

    `values` are numbers in columns, `changes` what is no number, `events` the events. `sequence` is the
    message's number in its subscription. What `history` gave has neither; it says how far it was read. A
    `beat` brings nothing: it is time for heartbeats. `published` is when the server sent the message, by its own
    clock (microseconds since 1970, `NEVER` unknown): what its items said before then has come.
    """

    changes: Sequence[Change]
    received_at: datetime
    missing: int = 0
    values: Sequence[Values] = ()
    events: Sequence[Event] = ()
    sequence: int = 0
    subscription: int = 0
    history: Progress | None = None
    beat: bool = False
    published: int = NEVER


class Pump:
    """Asks for publishes and hands what they bring to the inbox in the order in which it was sent.

    The library's own loop must not run: it acknowledges before anything is stored. `run` raises `Ended`
    when the server ended a subscription, and the library's errors when the link is lost. `confirm` is told
    the time of every keep-alive: nothing is new.
    """

    def __init__(
        self,
        session: Any,
        depth: int,
        inbox: Inbox[Arrival],
        now: Clock,
        confirm: Callable[[datetime], None] = lambda _: None,
    ) -> None:
        self._session, self._depth, self._confirm = session, depth, confirm
        self._streams: dict[int, Stream] = {}
        self._inbox, self._now = inbox, now
        self._decoder = Decoder()
        self._acks: list[Any] = []
        self._turn = asyncio.Lock()
        self._workers = 0
        self._asked = 0

    def follow(self, stream: Stream) -> None:
        """Take what comes for this subscription."""
        self._streams[stream.id] = stream

    def drop(self, stream: Stream) -> None:
        """Take no more of it."""
        self._streams.pop(stream.id, None)
        self._acks = [ack for ack in self._acks if ack.SubscriptionId != stream.id]

    @property
    def listening(self) -> bool:
        """Whether a publish request is with the server; if not, all wait for the commit."""
        return self._asked > 0

    async def catch_up(self, stream: Stream, held: Sequence[int] | None) -> None:
        """Take what the server still holds of a subscription that was taken over, and commit it.

        `held` are the numbers that it says it has; None when it did not say.
        """
        if held is None:
            number = after(stream.sequence)
            while (message := await self._again(stream, number)) is not None:
                await self._take(stream, message)
                number = after(number)
            return
        order = sorted(held, key=lambda number: missing_before(number, stream.sequence))
        news = [number for number in order if missing_before(number, stream.sequence) < len(order) + _MOST_REPUBLISHED]
        self._acks += [ua.SubscriptionAcknowledgement(stream.id, number) for number in held if number not in news]
        for number in news:
            if (message := await self._again(stream, number)) is not None:
                await self._take(stream, message)

    async def _take(self, stream: Stream, message: Message) -> None:
        missing = missing_before(message.sequence, stream.sequence)
        stream.sequence = message.sequence
        await self._offer(stream, message, missing)

    async def run(self) -> None:
        """Keep the requests in flight until the link is lost."""
        self._workers = 0
        async with asyncio.TaskGroup() as group:
            for _ in range(self._depth):
                self._workers += 1
                group.create_task(self._publish())

    async def _publish(self) -> None:
        while self._workers <= self._depth:
            body = await self._ask()
            if body is None:
                continue
            async with self._turn:  # waiters are first in, first out: the order of arrival is kept
                message = self._decoder.decode(body)
                stored = await self._sort(message)
            for waiting in stored:
                await waiting
        self._workers -= 1

    async def _ask(self) -> Any:
        """Send one publish request with the acknowledgements that are due; None: the server wants fewer."""
        request = ua.PublishRequest()
        acks, self._acks = self._acks, []
        request.Parameters.SubscriptionAcknowledgements = acks
        if not self._asked:
            for stream in self._streams.values():
                stream.heard = time.monotonic()
        self._asked += 1
        try:
            return await self._session._send_request(request, timeout=0)  # noqa: SLF001 (pinned; the guard is the deadline)
        except ua.UaStatusCodeError as fault:
            self._acks = acks + self._acks
            if fault.code != ua.StatusCodes.BadTooManyPublishRequests or self._workers == 1:
                raise
            if self._workers <= self._depth:  # the first of those that are too many
                self._depth = max(1, self._workers // 2)
                log.info("opcua.publish.fewer", in_flight=self._depth)
            return None
        except BaseException:
            self._acks = acks + self._acks
            raise
        finally:
            self._asked -= 1

    async def _sort(self, message: Message) -> list[asyncio.Future[None]]:
        """Offer the message, and before it the ones that are missing in front of it."""
        stream = self._streams.get(message.subscription)
        if stream is None:
            return []
        stream.heard = time.monotonic()
        stream.told += 1
        if message.lost:
            raise Ended((stream,), message.lost)
        missing = missing_before(message.sequence, stream.sequence)
        stored: list[asyncio.Future[None]] = []
        lost = 0
        if 0 < missing <= _MOST_REPUBLISHED:
            number = after(stream.sequence)
            for _ in range(missing):
                found = await self._again(stream, number)
                if found is None:
                    lost += 1
                else:
                    stored.append(self._offer(stream, found, lost))
                    lost = 0
                stream.sequence, number = number, after(number)
        elif missing and stream.is_ahead(message.sequence):
            lost = missing
            stream.sequence = message.sequence if message.keep_alive else stream.sequence
        elif missing:
            return stored  # an older one: it was taken already
        if message.keep_alive and not missing:
            self._confirm(self._now())
            if time.monotonic() - stream.noted >= _NOTED_S:  # on an idle line nothing else says how far all is known
                stored.append(self._offer(stream, message, 0))
        if not message.keep_alive:
            stream.sequence = message.sequence
            stored.append(self._offer(stream, message, lost))
        elif lost:
            stored.append(self._offer(stream, Message(stream.id, stream.sequence, keep_alive=True), lost))
        return stored

    def _offer(self, stream: Stream, message: Message, missing: int) -> asyncio.Future[None]:
        """Hand a message over; it is acknowledged when it is committed."""
        acknowledgement = ua.SubscriptionAcknowledgement(stream.id, message.sequence)

        def committed(stored: "asyncio.Future[None]") -> None:
            if not stored.cancelled() and not message.keep_alive:
                self._acks.append(acknowledgement)

        stream.noted = time.monotonic()
        changes, values = message.changes, message.values
        if stream.places is not None:
            changes, values = _led(changes, values, stream.places)
        sequence = stream.sequence if message.keep_alive else message.sequence
        arrival = Arrival(
            changes,
            self._now(),
            missing,
            values,
            message.events,
            sequence,
            stream.id,
            published=message.published,
        )
        stored = self._inbox.offer(arrival)
        stored.add_done_callback(committed)
        return stored

    async def _again(self, stream: Stream, number: int) -> Message | None:
        """Ask for a message again. None: the server has it no more."""
        try:
            note = await self._session.republish(stream.id, number)
        except ua.UaStatusCodeError as fault:
            if fault.code != ua.StatusCodes.BadMessageNotAvailable:
                raise
            return None
        return of_notification(stream.id, note) if note.SequenceNumber == number else None


def _led(
    changes: Sequence[Change], values: Sequence[Values], places: NDArray[np.int64]
) -> tuple[list[Change], list[Values]]:
    """Lead from client handles to places; what leads nowhere is left out."""
    led: list[Values] = []
    for column in values:
        handles = np.minimum(column.handles, len(places) - 1)
        known = (column.handles < len(places)) & (places[handles] >= 0)
        kept = column if known.all() else column.only(known)
        led.append(kept._replace(handles=places[kept.handles].astype(np.uint32)))
    found = ((places[one.handle] if one.handle < len(places) else -1, one) for one in changes)
    return [one._replace(handle=int(place)) for place, one in found if place >= 0], led
