"""Wiring: where everything is made and joined. The only place that sees adapters."""

import asyncio
import fcntl
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

import structlog
from msgspec.structs import replace

from gateway.core.artifact import read_manifest
from gateway.core.batch import Batch, SourceGap, TagState
from gateway.core.delivery import Outcome
from gateway.core.diagnosis import Diagnosis
from gateway.core.errors import Misconfigured, Unreachable
from gateway.core.ports import Diagnoser, ErpAdapter, Interpreter, LineSource, Store, Tx
from gateway.core.report import Extraction
from gateway.flow.cut import Cutter
from gateway.flow.deliver import Deliverer
from gateway.flow.diagnose import Book, Diagnosing
from gateway.flow.episode import Rules
from gateway.flow.ingest import ingest
from gateway.flow.inputs import FORGET, Ages
from gateway.flow.live import Live
from gateway.flow.patience import Patience
from gateway.flow.reconcile import Reconciler
from gateway.flow.retain import Bounds, Retention
from gateway.flow.settle import Policy
from gateway.flow.words import Desk, Listening
from gateway.runtime.certificates import Certificates
from gateway.runtime.equipment import Equipment
from gateway.runtime.fullness import Fullness
from gateway.runtime.gateway import Gateway
from gateway.runtime.settings import LineSettings, Settings
from gateway.runtime.telemetry import Telemetry

log: structlog.stdlib.BoundLogger = structlog.get_logger()

_KEY = "orders.secret"


def now() -> datetime:
    """The wall clock, aware UTC."""
    return datetime.now(UTC)


def bundle_of(named: str) -> Path:
    """Give the directory of a model bundle: the one that ships with the package, or the site's own."""
    return Path(str(files("gateway") / "bundle")) if named == "bundled" else Path(named)


def open_diagnoser(settings: Settings) -> Diagnoser:
    """Load the diagnosis models (torch, xgboost): seconds, so call it off the event loop."""
    from gateway.diagnosis.diagnoser import open_diagnoser as opened  # noqa: PLC0415  (torch takes seconds)
    from nlp.logs import open_log_modality  # noqa: PLC0415

    bundle = bundle_of(settings.diagnosis.models)
    return opened(bundle, settings.plant, modalities=[open_log_modality(bundle)])


def open_interpreter(settings: Settings) -> Interpreter:
    """Load the engine that reads reports."""
    from nlp.interpret import open_interpreter as opened  # noqa: PLC0415  (torch takes seconds)

    return opened(engine=settings.language.engine, bundle=bundle_of(settings.language.encoder))


async def business_secret(settings: Settings, store: Store) -> bytes:
    """Give the secret of the business keys: the site's, or one that this store keeps for itself."""
    if settings.orders.secret is not None:
        return settings.orders.secret.reveal().encode()
    fresh = secrets.token_bytes(32)

    def step(tx: Tx) -> bytes:
        held = tx.get(_KEY)
        if held is None:
            tx.put(_KEY, fresh)
            return fresh
        return held

    return await store.write(step)


def book_of(settings: Settings, secret: bytes) -> Book:
    """Give what turns diagnoses into orders."""
    rules = Rules(settings.diagnosis.confirm, settings.diagnosis.clear)
    return Book(
        settings.plant,
        rules,
        secret,
        _erp_name(settings),
        settings.diagnosis.order_confidence,
        settings.orders.language,
        settings.digest,
    )


def desk_of(settings: Settings, secret: bytes) -> Desk:
    """Give what turns words into orders."""
    return Desk(settings.plant, secret, _erp_name(settings), settings.digest)


def cutter_of(settings: Settings) -> Cutter:
    """Give a fresh cutter for the site's windows."""
    diagnosis = settings.diagnosis
    late = timedelta(seconds=diagnosis.late)
    return Cutter(
        timedelta(seconds=diagnosis.window),
        max(late, FORGET) if diagnosis.missing == "wait" else late,
        ages=Ages(timedelta(seconds=diagnosis.max_skew), timedelta(seconds=diagnosis.picture_age)),
        skip=diagnosis.missing == "skip",
    )


def bounds_of(settings: Settings) -> Bounds:
    """Give between which marks the journal is kept, and how."""
    marks = settings.store.marks()
    return Bounds(
        high=marks.high,
        low=marks.low,
        thin=marks.when_full == "thin_oldest",
        drop=marks.when_full != "stop_intake",
        keep_inbox=timedelta(seconds=settings.store.keep_inbox),
        diagnosed=bool(settings.line),
    )


def _erp_name(settings: Settings) -> str:
    return settings.the_erp.name if settings.the_erp is not None else ""


Job = Callable[[], Awaitable[None]]


class Line:
    """The line's sources while they run: the open source of each, and how its tags are doing."""

    def __init__(self, sources: Sequence[LineSettings], store: Store, noted: Callable[[Batch], None]) -> None:
        self._sources, self._store, self._noted = sources, store, noted
        self._open: dict[str, LineSource] = {}
        self._lost: dict[str, str] = {}
        self._down: set[str] = set()

    def jobs(self) -> dict[str, Job]:
        """Give one job per source; each run opens a new source."""
        return {f"line.{source.name}": partial(self._run, source) for source in self._sources}

    async def _run(self, settings: LineSettings) -> None:
        source = self._open[settings.name] = self._made(settings)
        self._down.discard(settings.name)
        try:
            await ingest(source, self._store, self._heard)
        except Unreachable as lost:
            self._lost[settings.name] = str(lost)
            self._down.add(settings.name)
            raise

    def _made(self, settings: LineSettings) -> LineSource:
        """Open a source. What it needs was there at the start: a file that is gone or broken now may come back."""
        try:
            return settings.open()
        except Misconfigured as wrong:
            if settings.name not in self._open:
                raise
            raise Unreachable(str(wrong)) from wrong

    def _heard(self, batch: Batch) -> None:
        self._lost.pop(batch.source, None)
        self._noted(batch)

    @property
    def equipment(self) -> Equipment:
        """What can be asked of the open sources; it sees those that are opened later."""
        return Equipment(self._open)

    def tags(self) -> list[TagState]:
        """Say how every node, register and unit is doing; a source that never opened is unhealthy by name."""
        states: list[TagState] = []
        for settings in self._sources:
            source = self._open.get(settings.name)
            if source is None:
                states.append(TagState(settings.name, settings.name, healthy=False, detail="not open yet"))
            else:
                states += [self._as_it_is(state) for state in source.tags()]
        return states

    def _as_it_is(self, state: TagState) -> TagState:
        """Put the reason of the last lost link beside what a source says that is down, or not yet up again."""
        lost = self._lost.get(state.source, "")
        if state.source in self._down:
            return replace(state, healthy=False, detail=lost)
        if not lost or state.healthy:
            return state
        return replace(state, detail=f"{state.detail}; the last try: {lost}")


class Models:
    """The models, loaded once, off the loop, when they are first needed: a job that runs again finds them there."""

    def __init__(self, settings: Settings, pool: Executor) -> None:
        self._settings, self._pool = settings, pool
        self._diagnoser: Diagnoser | None = None
        self._interpreter: Interpreter | None = None

    async def diagnoser(self) -> Diagnoser:
        """Give the diagnosis models. Raises `Misconfigured` when the bundle is not what its manifest says."""
        if self._diagnoser is None:
            loop = asyncio.get_running_loop()
            self._diagnoser = await loop.run_in_executor(self._pool, open_diagnoser, self._settings)
            log.info("models.loaded", model=self._diagnoser.model)
        return self._diagnoser

    async def interpreter(self) -> Interpreter:
        """Give the engine that reads reports. Raises `Misconfigured` as `diagnoser` does."""
        if self._interpreter is None:
            loop = asyncio.get_running_loop()
            self._interpreter = await loop.run_in_executor(self._pool, open_interpreter, self._settings)
            log.info("language.loaded", engine=self._interpreter.engine)
        return self._interpreter


@dataclass(frozen=True, slots=True)
class Running:
    """The gateway with its jobs, ready to be run in one task group."""

    gateway: Gateway
    jobs: dict[str, Job]


@asynccontextmanager
async def wire(settings: Settings, stopping: asyncio.Event) -> AsyncIterator[Running]:
    """Make and join everything; close it in the reverse order."""
    async with AsyncExitStack() as stack:
        _alone(settings, stack)
        store = await _store(settings, stack)
        secret = await business_secret(settings, store)
        pool = ThreadPoolExecutor(2, thread_name_prefix="models")
        stack.callback(pool.shutdown, wait=False, cancel_futures=True)
        live, telemetry, models = Live(), Telemetry(), Models(settings, pool)
        delivering, reading, diagnosing = asyncio.Event(), asyncio.Event(), asyncio.Event()

        def noted(batch: Batch) -> None:
            live.note(batch)
            telemetry.readings.labels(batch.source).inc(batch.count)
            for gap in batch.gaps:
                telemetry.gaps.labels(batch.source, gap.filled or "nothing").inc(_seconds(gap))
            diagnosing.set()

        line = Line(settings.sources, store, noted)
        desk = desk_of(settings, secret)

        async def diagnose() -> None:
            diagnoser = await models.diagnoser()
            book = book_of(settings, secret)
            told = _Told(live, telemetry)
            await Diagnosing(
                store, diagnoser, book, partial(cutter_of, settings), pool, now, diagnosing, delivering.set, told
            ).run()

        async def listen() -> None:
            interpreter = await models.interpreter()
            await Listening(store, interpreter, desk, pool, now, reading, delivering.set, _routes(telemetry)).run()

        fullness = Fullness(store, telemetry)
        retention = Retention(store, bounds_of(settings), now, fullness.note)
        jobs: dict[str, Job] = {
            **line.jobs(),
            "listen": listen,
            "retain": retention.run,
        }
        if settings.line:  # a gateway for words alone needs no models
            jobs["diagnose"] = diagnose
        certificates = Certificates(line.equipment.sources, now)
        telemetry.registry.register(certificates)
        troubles: Callable[[], Sequence[str]] = partial(_troubles, "", None, fullness, certificates)
        if settings.the_erp is not None:
            erp = settings.the_erp.open()
            stack.push_async_callback(erp.close)
            patience = Patience(now, _policy(settings).longest_wait, erp.name)
            troubles = partial(_troubles, erp.name, patience, fullness, certificates)
            jobs |= _delivery(settings, store, erp, patience, delivering, telemetry)
        gateway = Gateway(
            plant=settings.plant,
            store=store,
            live=live,
            api=settings.api,
            now=now,
            confirm=desk.confirmed,
            telemetry=telemetry,
            wake_words=reading.set,
            wake_delivery=delivering.set,
            sources=line.tags,
            equipment=line.equipment,
            troubles=troubles,
            held=lambda: fullness.held,
            version=version("andon-gateway"),
            config=settings.digest,
            model=_model(settings),
            stopping=stopping,
        )
        yield Running(gateway, jobs)


def _seconds(gap: SourceGap) -> float:
    """Give the length of a gap in seconds; a clock that was set back makes none of less than nothing."""
    return max(0.0, (gap.end - gap.start).total_seconds())


def _model(settings: Settings) -> str:
    """Name the model bundle without loading it. Raises `Misconfigured` when there is none."""
    return read_manifest(bundle_of(settings.diagnosis.models)).digest if settings.line else ""


def _alone(settings: Settings, stack: AsyncExitStack) -> None:
    """Take the folder for this gateway alone: two on one embedded store would each tell half of the story.

    Raises `Misconfigured` when another gateway has it. PostgreSQL may be shared.
    """
    if settings.store.location() is not None:
        return
    folder = Path(settings.store.path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        held = stack.enter_context((folder / "gateway.lock").open("w"))
    except OSError as no:
        raise Misconfigured(f"[store] path {folder}: {no.strerror}") from no
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as taken:
        raise Misconfigured(f"[store] path {folder}: another gateway runs on it") from taken


async def _store(settings: Settings, stack: AsyncExitStack) -> Store:
    loop = asyncio.get_running_loop()
    store: Store = await loop.run_in_executor(None, settings.store.open)
    stack.push_async_callback(store.close)
    return store


def _policy(settings: Settings) -> Policy:
    return Policy(give_up_after=timedelta(seconds=settings.orders.give_up_after), lanes=settings.orders.lanes)


def _troubles(name: str, patience: Patience | None, fullness: Fullness, certificates: Certificates) -> Sequence[str]:
    """Say why an ERP is being left alone, what ails the journal, and which certificates end soon."""
    away = [f"erp.{name}: {patience.why}"] if patience is not None and patience.why else []
    return [*away, *fullness.troubles(), *certificates.warnings()]


def _delivery(
    settings: Settings, store: Store, erp: ErpAdapter, patience: Patience, wake: asyncio.Event, telemetry: Telemetry
) -> dict[str, Job]:
    """Give the jobs of one ERP: sending, and ending the doubt; both share one circuit breaker."""
    policy = _policy(settings)

    def observe(outcome: Outcome) -> None:
        telemetry.attempts.labels(erp.name, type(outcome).__name__).inc()

    return {
        "deliver": Deliverer(store, erp, now, wake, policy, patience, observe).run,
        "reconcile": Reconciler(store, erp, now, policy, patience, observe).run,
    }


def _routes(telemetry: Telemetry) -> Callable[[Extraction], None]:
    def read(told: Extraction) -> None:
        telemetry.routes.labels(told.route).inc()

    return read


class _Told:
    """Shows each diagnosis to those who look, and counts it."""

    def __init__(self, live: Live, telemetry: Telemetry) -> None:
        self._live, self._telemetry = live, telemetry

    def __call__(self, seen: Diagnosis, took_s: float) -> None:
        self._live.note_diagnosis(seen)
        self._telemetry.decision.observe(took_s)
        self._telemetry.windows.inc()
        self._telemetry.diagnoses.labels(str(seen.fault or "unknown")).inc()
