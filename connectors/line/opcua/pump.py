"""Publish pump: several publish requests in flight, acknowledged after the commit."""

import asyncio
import time
from datetime import datetime
from typing import Any, NamedTuple

import structlog
from asyncua import ua

from connectors.line.inbox import Inbox
from connectors.line.opcua.decode import Change, Message, change_of, decode
from gateway.core.errors import Unreachable
from gateway.core.ports import Clock

log: structlog.stdlib.BoundLogger = structlog.get_logger()
_MOST_REPUBLISHED = 1000
_WRAP = 2**32


class Arrival(NamedTuple):
    """Data changes with the time when they arrived. `missing` counts messages before it that are lost."""

    changes: list[Change]
    received_at: datetime
    missing: int = 0


class Pump:
    """Asks for publishes and hands the changes to the inbox in the order in which they were sent.

    The library's own loop must not run: it acknowledges before anything is stored. `run` raises
    `Unreachable` when the server ended the subscription, and the library's errors when the link is lost.
    """

    def __init__(self, session: Any, subscription: int, depth: int, inbox: Inbox[Arrival], now: Clock) -> None:
        self._session, self._subscription, self._depth = session, subscription, depth
        self._inbox, self._now = inbox, now
        self._acks: list[Any] = []
        self._turn = asyncio.Lock()
        self._asked = 0
        self._sequence = 0
        self.heard = time.monotonic()
        self.messages = 0

    @property
    def listening(self) -> bool:
        """Whether a publish request is with the server; if not, all wait for the commit."""
        return self._asked > 0

    async def run(self) -> None:
        """Keep the requests in flight until the link is lost."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._depth):
                group.create_task(self._publish())

    async def _publish(self) -> None:
        while (body := await self._ask()) is not None:
            async with self._turn:  # waiters are first in, first out: the order of arrival is kept
                self.heard = time.monotonic()
                message = decode(body)
                stored = await self._sort(message)
            for waiting in stored:
                await waiting
            if not message.keep_alive:
                self._acks.append(ua.SubscriptionAcknowledgement(self._subscription, message.sequence))

    async def _ask(self) -> Any:
        """Send one publish request with the acknowledgements that are due; None: the server wants fewer."""
        request = ua.PublishRequest()
        acks, self._acks = self._acks, []
        request.Parameters.SubscriptionAcknowledgements = acks
        if not self._asked:
            self.heard = time.monotonic()
        self._asked += 1
        try:
            return await self._session._send_request(request, timeout=0)  # noqa: SLF001 (pinned; the guard is the deadline)
        except ua.UaStatusCodeError as fault:
            self._acks = acks + self._acks
            if fault.code == ua.StatusCodes.BadTooManyPublishRequests and self._asked > 1:
                log.info("opcua.publish.fewer", in_flight=self._asked - 1)
                return None
            raise
        except BaseException:
            self._acks = acks + self._acks
            raise
        finally:
            self._asked -= 1

    async def _sort(self, message: Message) -> list[asyncio.Future[None]]:
        """Offer the message, and before it the ones that are missing in front of it."""
        if message.lost:
            raise Unreachable(f"the server ended the subscription: {message.lost}")
        if message.subscription != self._subscription or message.keep_alive:
            return []
        stored: list[asyncio.Future[None]] = []
        missing = (message.sequence - self._sequence - 1) % _WRAP
        lost = 0
        if 0 < missing <= _MOST_REPUBLISHED:
            for number in range(message.sequence - missing, message.sequence):
                changes = await self._again(number)
                if changes is None:
                    lost += 1
                else:
                    stored.append(self._inbox.offer(Arrival(changes, self._now())))
        self._sequence = message.sequence
        self.messages += 1
        stored.append(self._inbox.offer(Arrival(list(message.changes), self._now(), lost)))
        return stored

    async def _again(self, number: int) -> list[Change] | None:
        """Ask for a message again. None: the server has it no more."""
        try:
            note = await self._session.republish(self._subscription, number)
        except ua.UaStatusCodeError:
            return None
        if note.SequenceNumber != number:
            return None
        self._acks.append(ua.SubscriptionAcknowledgement(self._subscription, number))
        return [
            change_of(item.ClientHandle, item.Value)
            for part in note.NotificationData or []
            if isinstance(part, ua.DataChangeNotification)
            for item in part.MonitoredItems or []
        ]
