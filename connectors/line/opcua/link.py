"""Link: the one owner of the road from a socket to live values, and of every way back to it."""

import asyncio
import enum
import math
import time
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

import structlog
from asyncua import ua
from msgspec.structs import replace

from connectors.line.inbox import Inbox
from connectors.line.opcua.about import About, about
from connectors.line.opcua.events import FIRST_HANDLE, Events
from connectors.line.opcua.monitor import Monitor
from connectors.line.opcua.pump import Arrival, Pump
from connectors.line.opcua.redundancy import enter_one, go_back, watch
from connectors.line.opcua.resume import Kept, Subscription, identity_of, turned, written
from connectors.line.opcua.settings import Settings
from connectors.line.opcua.stream import Ended, Stream
from connectors.line.opcua.subscribe import create, delete, drop_items, fit, noted, transfer
from connectors.opcua.kept import Session, session_of
from connectors.opcua.security import Andon, advice
from connectors.opcua.session import answers, leave, started_at
from gateway.core.errors import Unreachable
from gateway.core.ports import Clock

log: structlog.stdlib.BoundLogger = structlog.get_logger()
_RENEWAL_S = 10.0
"""How long a subscription that was made anew must last before another is made in the same session."""
_NO_SUBSCRIPTION = frozenset({ua.StatusCodes.BadNoSubscription, ua.StatusCodes.BadSubscriptionIdInvalid})


class Stage(enum.StrEnum):
    """Where the link stands on its road."""

    NEW = "new"
    CONNECTING = "connecting"
    SUBSCRIBING = "subscribing"
    VERIFYING = "verifying"
    LIVE = "live"
    CLOSED = "closed"


@dataclass(slots=True)
class Part:
    """One subscription: what is monitored in it, by place; its tags' keys, by place; how it stands on the server."""

    member: Monitor | Events
    keys: Sequence[bytes]
    made: Subscription | None = None
    stream: Stream | None = None
    handles: dict[int, int] = field(default_factory=dict)

    def takes(self, before: Subscription) -> bool:
        """Whether a kept subscription can be gone on with; event items only as they were."""
        if isinstance(self.member, Events):
            return before.keys == b"".join(self.keys)
        return max(before.handles, default=0) + len(self.keys) < FIRST_HANDLE

    def noted(self) -> Subscription:
        """Give the subscription with its items as they are now."""
        assert self.made is not None  # noqa: S101 (asked for after it was made)
        base = self.member.base
        handles = {place: self.handles.get(place, base + place) for place in self.member.items}
        if isinstance(self.member, Monitor):
            self.made = replace(self.made, slowest=max(self.made.slowest, self.member.slowest))
        return noted(self.made, self.member.items, handles, self.keys)


class Keeper(Protocol):
    """Whoever the link works for."""

    def parts(self, about: About) -> list[Part]:
        """Say what is to be monitored, in which subscriptions."""

    def lost(self, part: Part, why: str) -> None:
        """Values of a part's tags may have been missed."""

    def confirm(self, at: datetime) -> None:
        """The server lives and has nothing new."""

    def jobs(self, client: Andon) -> list[Coroutine[None, None, None]]:
        """Give what else is to be done while the link is live."""


class Link:
    """One client's life: connect, activate, subscribe, verify, live.

    What is lost is won back on the lowest rung that carries: a missing message is published again; a
    subscription that the server still has is taken over; one that ended or fell silent while the session
    answers is made anew; everything else ends this link (`Unreachable`), and the next one has a new
    client, which asks for the old session first. `news` is what is to be remembered of session and
    subscriptions, with the next batch.
    """

    def __init__(self, settings: Settings, inbox: Inbox[Arrival], now: Clock, keeper: "Keeper") -> None:
        self._settings, self._inbox, self._now, self._keeper = settings, inbox, now, keeper
        self.endpoint = settings.endpoint
        self.parts: list[Part] = []
        self.news: dict[str, bytes] = {}
        self.client: Andon | None = None
        self.expiries: dict[str, datetime] = {}
        self.stage = Stage.NEW
        self.stays = False
        self._session: Session | None = None
        self._pump: Pump | None = None
        self._renewed = -math.inf

    async def run(self, kept: Kept) -> None:
        """Do all of it until the link is lost. Raises `Unreachable`; a bug of ours stays what it is."""
        client = None
        try:
            with self._translated():
                self.stage = Stage.CONNECTING
                client, self.endpoint, ours = await enter_one(self._settings, kept)
                self.client = client
                self.expiries = client.expiries
                self.stage = Stage.SUBSCRIBING
                await self._settle(client, kept, ours=ours)
                self.stage = Stage.VERIFYING
                await self._follow(client)
        finally:
            self.client = None
            self._inbox.end()
            if client is not None:
                await leave(client, stay=self.stays)

    async def _settle(self, client: Andon, kept: Kept, *, ours: bool) -> None:
        """Take over what is kept, make what is not, and catch up with what the server still holds."""
        session = client.uaclient.session
        pump = self._pump = Pump(session, self._settings.in_flight, self._inbox, self._now, self._keeper.confirm)
        async with asyncio.timeout(self._settings.timeout * 4):
            started = await started_at(client)
            told = await about(client, self._settings.profile)
            self.parts = self._keeper.parts(told)
            same = kept.session is not None and (started, self.endpoint) == (
                kept.session.started,
                kept.session.endpoint,
            )
            known = {one.name: one for one in kept.subscriptions} if same else {}
            held = await transfer(client, [one.id for one in known.values()])
        self._session = session_of(client, self.endpoint, identity_of(self._settings), started)
        for part in self.parts:
            before = known.get(part.member.plan.name)
            if before is not None and before.id in held and part.takes(before):
                del known[before.name]
                await self._take_over(client, part, before, kept.marks[before.id])
            else:
                await self._subscribe(client, part, _why(kept, self.endpoint, same=same))
        await delete(client, [one.id for one in known.values() if one.id in held])
        self.note()
        if kept.session is not None:
            await self._inbox.offer(Arrival((), self._now()))  # the next start must find this session
        log.info(
            "opcua.entered",
            source=self._settings.name,
            session="given back" if ours else "new",
            taken_over=len(held),
            subscriptions=len(self.parts),
        )
        for part in self.parts:
            if part.stream is not None and not part.stream.fresh:
                await pump.catch_up(part.stream, held[part.stream.id])

    async def _take_over(self, client: Andon, part: Part, before: Subscription, mark: int) -> None:
        member = part.member
        places = member.plan.places or range(len(part.keys))
        found = fit(before, {part.keys[place]: place for place in places}, len(part.keys))
        member.base, part.made = found.base, before
        part.handles = dict(zip(before.items, before.handles, strict=True))
        part.handles = {place: part.handles[item] for place, item in found.items.items()}
        member.adopt(found.items)
        part.stream = Stream(before.id, before.name, before.silence, mark, mark, fresh=False, places=found.places)
        self._follow_stream(part.stream)
        async with asyncio.timeout(self._patience(part)):
            await drop_items(client, before.id, found.obsolete, member.limits.items_per_call)
            await member.mend(client, before.id)

    async def _subscribe(self, client: Andon, part: Part, why: str) -> None:
        """Make a subscription and its items; what was known of its tags may have a gap."""
        self._keeper.lost(part, why)
        part.handles, part.member.base = {}, 0
        async with asyncio.timeout(self._patience(part)):
            part.made = await create(client, self._settings, part.member.plan)
            part.stream = Stream(part.made.id, part.made.name, part.made.silence)
            self._follow_stream(part.stream)
            await part.member.mend(client, part.made.id)

    def _follow_stream(self, stream: Stream) -> None:
        assert self._pump is not None  # noqa: S101 (made before the first stream)
        self._pump.follow(stream)

    def _patience(self, part: Part) -> float:
        return self._settings.timeout * 4 + len(part.member.plan.places) / 100

    def note(self) -> None:
        """Have session and subscriptions remembered with the next batch."""
        if self._session is not None:
            self.news = written(self._session, [part.noted() for part in self.parts if part.made is not None])

    async def _follow(self, client: Andon) -> None:
        while True:
            try:
                await self._work(client)
            except ExceptionGroup as several:
                if (ended := _ended(several, self.parts)) is None:
                    raise
                await self._renew(client, ended)

    async def _work(self, client: Andon) -> None:
        assert self._pump is not None  # noqa: S101 (made when the link was settled)
        async with asyncio.TaskGroup() as jobs:
            jobs.create_task(self._pump.run())
            jobs.create_task(self._guard(self._pump))
            jobs.create_task(self._keep_mending(client))
            jobs.create_task(watch(client, self._settings, self.endpoint))
            jobs.create_task(go_back(self._settings, self.endpoint, self._turn))
            for job in self._keeper.jobs(client):
                jobs.create_task(job)

    async def _turn(self, endpoint: str) -> None:
        """Have it committed that the next link is to begin with another server."""
        self.news = {**self.news, **turned(endpoint)}
        await self._inbox.offer(Arrival((), self._now()))

    async def _guard(self, pump: Pump) -> None:
        """End a stream that gave neither a publish nor a keep-alive in time. A slow commit is not silence."""
        streams = [part.stream for part in self.parts if part.stream is not None]
        while True:
            await asyncio.sleep(min(0.25, *(stream.patience / 4 for stream in streams)))
            if self.stage is Stage.VERIFYING and all(stream.told for stream in streams):
                self.stage = Stage.LIVE
                log.info("line.live", source=self._settings.name)
            for stream in streams:
                if pump.listening and time.monotonic() - stream.heard > stream.patience:
                    raise Ended((stream,), f"no publish and no keep-alive for {stream.patience:.1f} s")

    async def _keep_mending(self, client: Andon) -> None:
        """Try the nodes that the server does not know again and again; the others go on meanwhile."""
        while True:
            await asyncio.sleep(self._settings.retry)
            for part in self.parts:
                if part.made is not None and not part.member.complete:
                    before = dict(part.member.items)
                    async with asyncio.timeout(self._patience(part)):
                        await part.member.mend(client, part.made.id)
                    if part.member.items != before:
                        self.note()

    async def _renew(self, client: Andon, ended: Ended) -> None:
        """Make subscriptions anew that ended or fell silent, if the session still answers. Raises `Unreachable`."""
        assert self._pump is not None  # noqa: S101 (made when the link was settled)
        mute = any(stream.fresh and not stream.told for stream in ended.streams)
        if mute or time.monotonic() - self._renewed < _RENEWAL_S:
            raise Unreachable(f"{ended.why}; so soon after the last time that the session is not to be trusted")
        self._renewed = time.monotonic()
        if not await answers(client, self._settings.timeout):
            raise Unreachable(f"{ended.why}; the session does not answer either")
        log.warning("opcua.subscription.renewed", source=self._settings.name, why=ended.why)
        self.stage = Stage.SUBSCRIBING
        await self._inbox.offer(Arrival((), self._now()))  # what came before the loss is not what came after it
        for part in self.parts:
            if part.stream in ended.streams:
                self._pump.drop(part.stream)
                async with asyncio.timeout(self._settings.timeout):
                    await delete(client, [part.stream.id])
                part.member.restart()
                await self._subscribe(client, part, ended.why)
        self.note()
        self.stage = Stage.VERIFYING

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (Unreachable, ua.UaError, OSError, AssertionError) as lost:
            raise self._unreachable(lost) from lost
        except ExceptionGroup as several:
            for leaf in leaves(several):
                if not isinstance(leaf, Unreachable | ua.UaError | OSError):
                    raise leaf from several
            raise self._unreachable(next(leaves(several))) from several

    def _unreachable(self, lost: BaseException) -> Unreachable:
        after = lost.after if isinstance(lost, Unreachable) else None
        return Unreachable(f"{self._settings.name}: {self.endpoint}: {advice(lost)}", after=after)


def _why(kept: Kept, endpoint: str, *, same: bool) -> str:
    if kept.session is None:
        return "connected anew"
    if kept.session.endpoint != endpoint:
        return "another server of the set"
    return "the subscription ended" if same else "the server was restarted"


def leaves(lost: BaseException) -> Iterator[BaseException]:
    """Give the exceptions of a group, of groups in groups too."""
    if isinstance(lost, BaseExceptionGroup):
        for part in lost.exceptions:
            yield from leaves(part)
    else:
        yield lost


def _ended(several: BaseException, parts: Sequence[Part]) -> Ended | None:
    """Find out which subscriptions ended; None when more than that was lost."""
    found: list[Ended] = []
    for leaf in leaves(several):
        if isinstance(leaf, Ended):
            found.append(leaf)
        elif isinstance(leaf, ua.UaStatusCodeError) and leaf.code in _NO_SUBSCRIPTION:
            streams = tuple(part.stream for part in parts if part.stream is not None)
            found.append(Ended(streams, ua.StatusCode(leaf.code).name))
        else:
            return None
    return max(found, key=lambda one: len(one.streams))
