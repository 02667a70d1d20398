"""The ports: small protocols that adapters fill in. A port's docstring is its contract."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Literal, Protocol, TypeVar, runtime_checkable

import msgspec

from gateway.core.asset import Asset, Plant
from gateway.core.batch import Batch, Condition, TagCheck, TagState
from gateway.core.capsule import Grounds
from gateway.core.delivery import Capabilities, Delivery, ErpRef, Outcome, ProductionOrder, StatusUpdate, Task
from gateway.core.diagnosis import Contribution, Diagnosis, Fault
from gateway.core.episode import Episode
from gateway.core.event import Event, Heeded, Outgoing, Subscriber
from gateway.core.order import WorkOrder
from gateway.core.production import Handover, JobState, StoredProduction
from gateway.core.push import Push, Receipt
from gateway.core.reading import Value
from gateway.core.report import Extraction, QualityReport
from gateway.core.window import Window

T = TypeVar("T")
Clock = Callable[[], datetime]
NOTHING: Mapping[str, bytes] = MappingProxyType({})
"""The memory of a source that runs for the first time."""


class LineSource(Protocol):
    """Values from one part of the line, at least once.

    Asking for the next batch says that the last one is committed, its `memory` in the same transaction.
    `memory` of the last run is given back to the next (of a new source object, perhaps in a new process);
    what it holds may be of another configuration, or damaged: then it is as good as none. Raises `Unreachable`
    when the link is lost; the supervisor then opens a NEW source (a source object is used once). One bad node,
    register or unit never ends the stream: it is named in `tags()` and tried again alone. The
    consumer closes with `close()`, which may be called at any time, twice too.
    """

    @property
    def name(self) -> str: ...

    def batches(self, memory: Mapping[str, bytes] = NOTHING) -> AsyncIterator[Batch]: ...

    def tags(self) -> Sequence[TagState]: ...

    async def close(self) -> None: ...


@runtime_checkable
class Writable(Protocol):
    """A source that can also write, to targets that the settings declare and to nothing else.

    `write` gives what the equipment answered (the outputs of a method; nothing for a value). Raises
    `Refused` for an unknown target, for values that do not fit it and when the equipment says no,
    `Unreachable` when there is no live link and nothing was written, `Doubtful` when nobody knows whether it was.
    """

    def targets(self) -> Sequence[str]: ...

    async def write(self, target: str, values: Sequence[Value]) -> list[Value]: ...


@runtime_checkable
class Readable(Protocol):
    """A source that can say what a declared write target holds now.

    Raises `Refused` for an unknown target and for one that holds nothing (a method), `Unreachable` without an answer.
    """

    async def held_by(self, target: str) -> Value: ...


@runtime_checkable
class Inspectable(Protocol):
    """A source that can be looked at before it runs: `andon check --live`.

    `inspect` connects by itself, reads each tag once, compares what the equipment says with the settings,
    leaves, and writes nothing. Every tag is named, and every part of the source that is wrong. Raises
    `Unreachable`, `Refused` or `Misconfigured` when it does not get that far. The source stays unused.
    """

    async def inspect(self) -> Sequence[TagCheck]: ...


@runtime_checkable
class Alarming(Protocol):
    """A source that knows alarms and conditions: the live table, as the equipment told them last."""

    def conditions(self) -> Sequence[Condition]: ...


@runtime_checkable
class Pushable(Protocol):
    """A source whose values are handed in, over HTTP.

    `media(asset, tag)` gives the media types that a declared tag takes, () for a tag that is not declared.
    `admit` is entered before the bytes are read and left when they are answered: it bounds how many are held
    at once and raises `Unreachable` (with a wait) when there is no room. `largest` bounds each, in bytes.
    `push` returns after the commit. Raises `Refused` when the bytes are not what the tag is, `Conflict` when the
    key stands for other bytes, `Unreachable` when the source is not open.
    """

    @property
    def largest(self) -> int: ...

    def media(self, asset: str, tag: str) -> Sequence[str]: ...

    def admit(self) -> AbstractContextManager[None]: ...

    async def push(self, push: Push) -> Receipt: ...


class Modality(Protocol):
    """One kind of evidence turned into numbers.

    `encode` runs in an executor thread, is safe to call from several, and gives one vector per window,
    in order. A window without this kind of evidence gives None, never invented numbers. `names` is the
    feature contract: as long as each vector.
    """

    @property
    def name(self) -> str: ...

    @property
    def names(self) -> Sequence[str]: ...

    def encode(self, windows: Sequence[Window], assets: Sequence[Asset]) -> list[list[float] | None]: ...


class Verdict(msgspec.Struct, frozen=True):
    """What fusion says of one window: a diagnosis without time and place."""

    fault: Fault | None
    confidence: float
    anomaly: float
    severity: float
    probabilities: dict[str, float]
    contributions: tuple[Contribution, ...] = ()
    remarks: tuple[str, ...] = ()


class Diagnoser(Protocol):
    """Windows in, diagnoses out: every modality, then fusion.

    Runs in an executor thread; one bad window fails alone (its diagnosis says so in `remarks` and has
    no fault). Holds each asset's own baseline; `reset(asset)` forgets it after a repair.
    """

    @property
    def model(self) -> str: ...

    def diagnose(self, windows: Sequence[Window]) -> list[Diagnosis]: ...

    def baselines(self) -> bytes: ...

    def restore(self, baselines: bytes) -> None: ...

    def reset(self, asset: str) -> None: ...


@runtime_checkable
class Grounded(Protocol):
    """A diagnoser that also says what it stood on: with the grounds and the window alone the same comes out again.

    `judge` is `diagnose`, and gives with each diagnosis of a fault its `Grounds`; None with the others, unless `every`
    one is asked for. `decide` gives the verdict on features as grounds hold them, from their numbers alone; it raises
    ValueError for others.
    """

    def judge(self, windows: Sequence[Window], *, every: bool = False) -> list[tuple[Diagnosis, Grounds | None]]: ...

    def decide(self, features: bytes) -> Verdict: ...


class Interpreter(Protocol):
    """Reads a quality report: intent, slots with spans, normalised values. Pure; runs in an executor.

    Never raises on a text: what it cannot understand gets the route `review` with a reason.
    """

    @property
    def engine(self) -> str: ...

    def interpret(self, report: QualityReport, plant: Plant) -> Extraction: ...


class ErpAdapter(Protocol):
    """One ERP or MES. Declares what it promises in `capabilities`; delivery knows only that.

    `deliver` sends each order at most once per call and answers with a value per order, in order, and
    never raises for what the ERP or the network does. It may be cancelled at any await: then nobody knows.
    `find` and `status` are questions: repeatable, raise `Unreachable` or `Refused`.

    `amend` writes what differs between the two versions and is still, in the ERP, what `before` made it: what a
    planner changed stays and is named in `Delivered.kept`. `cancel` takes back an order that nobody has begun; who
    has begun wins, and it is `Rejected`. Both answer as `deliver` does and may be called again after any
    answer; where `capabilities` do not promise them they are `Rejected`. `verify` names what is wrong with
    credentials, rights and mapping before the first order ([] when all is well; raises `Unreachable`).
    """

    @property
    def name(self) -> str: ...

    @property
    def capabilities(self) -> Capabilities: ...

    async def verify(self) -> list[str]: ...

    async def deliver(self, orders: Sequence[WorkOrder]) -> list[Outcome]: ...

    async def find(self, key: str) -> list[ErpRef]: ...

    async def status(self, ref: ErpRef) -> ErpRef: ...

    async def amend(self, ref: ErpRef, before: WorkOrder, after: WorkOrder) -> Outcome: ...

    async def cancel(self, ref: ErpRef, order: WorkOrder, reason: str) -> Outcome: ...

    async def close(self) -> None: ...


class EventSink(Protocol):
    """One receiver of events outside.

    `send` sends an event once and says what came of it; it never raises for what the receiver or the network does,
    ends by itself within `deadline`, and may be cancelled. The same event may be sent again: it keeps its id, by
    which a receiver knows that it has it. `at` is the time of the attempt. `place` names the address without
    showing it: another place, or the same one under another address, is another receiver.
    """

    @property
    def name(self) -> str: ...

    @property
    def place(self) -> str: ...

    @property
    def deadline(self) -> timedelta: ...

    async def send(self, event: Event, at: datetime) -> Heeded: ...

    async def close(self) -> None: ...


class StoredReport(msgspec.Struct, frozen=True):
    """A report with what became of it. `extraction` is None until it was read; `order_key` when it led to one."""

    report: QualityReport
    received_at: datetime
    extraction: Extraction | None = None
    order_key: str | None = None
    reviewed: bool = False


class StoredOrder(msgspec.Struct, frozen=True):
    """An order, in its newest version, with its delivery and what the ERP told of it last.

    `erp_state` is what the ERP's status means: open, done, cancelled, unknown. `asked_at` is when the ERP was last
    asked, `ask_at` when it is asked again (aware UTC; None before the first time and when it is asked no more; a time
    long gone after a hint).
    """

    order: WorkOrder
    delivery: Delivery
    erp_status: str = ""
    closing_code: str | None = None
    erp_state: str = "unknown"
    asked_at: datetime | None = None
    ask_at: datetime | None = None


class AuditLine(msgspec.Struct, frozen=True):
    """One line of the audit trail; `digest` chains it to the line before (sha256, hex)."""

    number: int
    at: datetime
    event: str
    subject: str
    detail: str
    digest: str


class Claimed(msgspec.Struct, frozen=True):
    """A delivery that this process owns until its lease ends.

    `order` is the version to send, `sent` the one that the ERP has (None when it has none).
    """

    delivery: Delivery
    order: WorkOrder
    sent: WorkOrder | None = None


class Counts(msgspec.Struct, frozen=True):
    """How much the store holds."""

    readings: int
    windows: int
    diagnoses: int
    episodes: int
    orders: int
    reports: int


WhenFull = Literal["thin_oldest", "drop_oldest", "stop_intake"]


class Marks(msgspec.Struct, frozen=True):
    """The journal's budget and water marks in bytes, what to do between them, the disk's reserve in bytes."""

    budget: int
    high: int
    low: int
    reserve: int
    when_full: WhenFull


class Held(msgspec.Struct, frozen=True):
    """What the journal holds and what was ever taken from it.

    `newest` is the number of the last batch that was written, `values` and `size` (bytes) what is there.
    `thinned` values went one by one, `dropped` values with their whole batch, both for want of room;
    `aside` batches could not be read and lie beside the journal.
    """

    newest: int = 0
    values: int = 0
    size: int = 0
    thinned: int = 0
    dropped: int = 0
    aside: int = 0


class JournalRow(msgspec.Struct, frozen=True):
    """A batch's place in the journal: its number, its size in bytes, and how often it was thinned."""

    number: int
    size: int
    level: int
    batch: Batch


class AsideBatch(msgspec.Struct, frozen=True):
    """A batch that nobody can read any more and that lies beside the journal; times aware UTC."""

    number: int
    source: str
    received_at: datetime
    first_at: datetime
    last_at: datetime
    values: int
    why: str


class AppliedConfig(msgspec.Struct, frozen=True):
    """Settings that were applied, or tried: the digest of all and of each part, what became of it, the text."""

    number: int
    at: datetime
    digest: str
    outcome: str
    detail: str
    parts: dict[str, str]
    text: str


class Tx(Protocol):
    """One transaction. All of it is committed, or nothing.

    Handed to a step by `Store.write`; a step is a plain function, so nothing can be awaited and no
    network can be asked inside a transaction. Times are aware UTC. `limit` bounds every list.
    """

    # journal
    def append(self, batch: Batch) -> int: ...
    def batches(
        self, since: datetime, until: datetime, *, after: int = 0, limit: int = 500
    ) -> list[tuple[int, Batch]]: ...
    def batches_after(self, number: int, *, limit: int = 500) -> list[tuple[int, Batch]]: ...
    def newest(self) -> int: ...
    def cursor(self, name: str) -> int: ...
    def advance(self, name: str, number: int) -> None: ...
    def trim(self, budget: int, keep_from: int) -> int: ...
    def held(self) -> Held: ...
    def oldest(self, after: int, before: int, size: int) -> list[JournalRow]: ...
    def put_thinned(self, row: JournalRow, left: Batch | None) -> bool: ...
    def pin(self, key: str, numbers: Sequence[int]) -> None: ...
    def batches_aside(self, limit: int = 100) -> list[AsideBatch]: ...
    def batch_aside(self, number: int) -> tuple[AsideBatch, bytes] | None: ...
    def put_back(self, number: int) -> bool: ...
    def drop_batch(self, number: int) -> bool: ...

    # blobs
    def keep(self, content: bytes, media_type: str) -> str: ...
    def blob(self, sha256: str) -> tuple[bytes, str] | None: ...

    # reports
    def take_report(self, report: QualityReport, received_at: datetime) -> bool: ...
    def read_report(self, extraction: Extraction, order_key: str | None) -> None: ...
    def report(self, name: str) -> StoredReport | None: ...
    def reports(self, *, unread: bool = False, route: str | None = None, limit: int = 100) -> list[StoredReport]: ...
    def read_again(self, name: str) -> bool: ...
    def review_done(self, name: str) -> None: ...

    # diagnoses and episodes
    def put_diagnosis(self, diagnosis: Diagnosis) -> bool: ...
    def diagnoses(self, asset: str | None = None, *, limit: int = 100) -> list[Diagnosis]: ...
    def episode(self, key: str) -> Episode | None: ...
    def episodes(
        self, asset: str | None = None, *, live: bool = False, since: datetime | None = None, limit: int = 100
    ) -> list[Episode]: ...
    def put_episode(self, episode: Episode) -> None: ...

    # orders and their delivery
    def put_order(self, order: WorkOrder, erp: str, due_at: datetime) -> bool: ...
    def order(self, key: str) -> StoredOrder | None: ...
    def orders(
        self,
        *,
        state: str | None = None,
        asset: str | None = None,
        erp: str | None = None,
        erp_state: str | None = None,
        task: Task | None = None,
        behind: bool = False,
        limit: int = 100,
    ) -> list[StoredOrder]: ...
    def orders_between(
        self, since: datetime, until: datetime, asset: str | None = None, limit: int = 10_000
    ) -> list[StoredOrder]: ...
    def claim(
        self, erp: str, now: datetime, lease: timedelta, limit: int, depth: int = 1, *, new: bool = False
    ) -> list[Claimed]: ...
    def claim_uncertain(self, erp: str, now: datetime, lease: timedelta, limit: int) -> list[Claimed]: ...
    def expire(self, now: datetime) -> int: ...
    def settle(self, claimed: Delivery, settled: Delivery) -> bool: ...
    def order_counts(self) -> dict[str, int]: ...
    def redeliver(self, key: str, now: datetime) -> bool: ...
    def change_order(self, order: WorkOrder, at: datetime) -> bool: ...
    def withdraw_order(self, key: str, reason: str, at: datetime) -> bool: ...
    def order_version(self, key: str, version: int) -> WorkOrder | None: ...
    def put_status(self, update: StatusUpdate, at: datetime) -> bool: ...
    def followed(self, erp: str, now: datetime, first: timedelta, limit: int) -> list[StoredOrder]: ...
    def asked(self, key: str, at: datetime | None, again: datetime | None = None) -> None: ...
    def numbered(self, number: str) -> list[str]: ...

    # inbound, once each
    def first_time(self, scope: str, name: str, fingerprint: str, at: datetime) -> bool: ...
    def answer_of(self, scope: str, name: str) -> tuple[str, bytes | None] | None: ...
    def put_answer(self, scope: str, name: str, answer: bytes) -> None: ...
    def purge_inbox(self, before: datetime, limit: int) -> int: ...

    # production orders and their way to the line
    def put_production_order(self, order: ProductionOrder, at: datetime, to: str = "") -> bool: ...
    def production_order(self, order_id: str) -> ProductionOrder | None: ...
    def production_orders(self, limit: int = 100) -> list[ProductionOrder]: ...
    def production(self, order_id: str) -> StoredProduction | None: ...
    def productions(self, *, state: str | None = None, limit: int = 100) -> list[StoredProduction]: ...
    def claim_production(self, to: str, now: datetime, lease: timedelta) -> StoredProduction | None: ...
    def settle_production(self, claimed: Handover, settled: Handover) -> bool: ...
    def put_job(self, order_id: str, job: JobState, at: datetime) -> bool: ...
    def followed_productions(self, to: str, asked_before: datetime, limit: int) -> list[StoredProduction]: ...
    def asked_production(self, order_id: str, at: datetime) -> None: ...
    def redeliver_production(self, order_id: str, to: str, at: datetime) -> bool: ...
    def drop_production(self, order_id: str, reason: str, at: datetime) -> bool: ...

    # events out
    def audit_end(self) -> int: ...
    def subscriber(self, name: str) -> Subscriber | None: ...
    def subscribers(self) -> list[Subscriber]: ...
    def put_subscriber(self, subscriber: Subscriber) -> None: ...
    def put_event(self, subscriber: str, event: Event, at: datetime) -> bool: ...
    def claim_events(self, subscriber: str, now: datetime, lease: timedelta, limit: int) -> list[Outgoing]: ...
    def settle_event(self, claimed: Outgoing, settled: Outgoing | None) -> bool: ...
    def outgoing(
        self, subscriber: str | None = None, *, state: str | None = None, limit: int = 100
    ) -> list[Outgoing]: ...
    def outgoing_counts(self) -> dict[tuple[str, str], int]: ...
    def parked_event(self, subscriber: str, event: str) -> Outgoing | None: ...
    def resend_event(self, subscriber: str, event: str, at: datetime) -> bool: ...
    def drop_event(self, subscriber: str, event: str) -> bool: ...
    def forget_subscriber(self, name: str) -> int: ...

    # settings that were applied
    def put_config(self, applied: AppliedConfig) -> int: ...
    def configs(self, *, limit: int = 100) -> list[AppliedConfig]: ...

    # trail
    def note(self, event: str, subject: str, at: datetime, detail: str = "") -> None: ...
    def audit(self, *, after: int = 0, limit: int = 1000) -> Iterator[AuditLine]: ...
    def audit_of(self, subject: str, *, limit: int = 1000) -> list[AuditLine]: ...
    def counts(self) -> Counts: ...
    def get(self, name: str) -> bytes | None: ...
    def put(self, name: str, value: bytes) -> None: ...
    def kept(self, prefix: str) -> dict[str, bytes]: ...
    def forget(self, name: str) -> None: ...


class Store(Protocol):
    """Where everything is kept that must survive.

    `write` runs the step in one transaction and returns after COMMIT with the disk's word; many
    callers share one commit, and a step that raises takes back its own work alone. `read` runs beside
    the writer on a snapshot and must not write. Both raise `Full` when the disk or the queue is full
    (nothing was stored) and `Unreachable` when the database is away. Steps may be run again.

    `bound` sets how much raw data is taken. `refusing` says why none is taken now, empty when it is;
    `refused` counts the batches that were not taken.
    """

    def bound(self, marks: Marks) -> None: ...

    @property
    def refusing(self) -> str: ...

    @property
    def refused(self) -> int: ...

    async def write(self, step: Callable[[Tx], T]) -> T: ...

    async def read(self, look: Callable[[Tx], T]) -> T: ...

    async def close(self) -> None: ...
