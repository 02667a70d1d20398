"""Making: models, keys and rules from the settings. With the wiring the only place that sees adapters."""

import secrets
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

from gateway.core.artifact import read_manifest
from gateway.core.errors import Misconfigured
from gateway.core.ports import Diagnoser, Interpreter, Store, Tx
from gateway.core.production import JobReceiver
from gateway.flow.book import Book
from gateway.flow.cut import Cutter
from gateway.flow.desk import Desk
from gateway.flow.episode import Rules
from gateway.flow.follow import Pace
from gateway.flow.handing import Hand, ToReceiver, ToTargets
from gateway.flow.inputs import FORGET, Ages
from gateway.flow.retain import Bounds
from gateway.flow.settle import Policy
from gateway.runtime.diagnosis_settings import WITHOUT
from gateway.runtime.equipment import Equipment
from gateway.runtime.production import WRITE
from gateway.runtime.settings import Settings

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

    if settings.diagnosis.models == WITHOUT:
        raise Misconfigured('[diagnosis] models = "none": this gateway has no models to diagnose with')
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
    return await own_secret(store)


def secret_of(settings: Settings, own: bytes) -> bytes:
    """Give the secret of the business keys: the site's, or the store's own."""
    return settings.orders.secret.reveal().encode() if settings.orders.secret is not None else own


async def own_secret(store: Store) -> bytes:
    """Give the secret that this store keeps for itself."""
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
        erp_name(settings),
        settings.diagnosis.order_confidence,
        settings.orders.language,
        settings.digest,
        software=software(),
        public_url=settings.api.public_url.rstrip("/"),
        false_within=timedelta(seconds=settings.orders.false_alarm_within),
    )


def desk_of(settings: Settings, secret: bytes) -> Desk:
    """Give what turns words into orders."""
    return Desk(
        settings.plant,
        secret,
        erp_name(settings),
        settings.digest,
        software=software(),
        public_url=settings.api.public_url.rstrip("/"),
        reader=_reader_of(settings),
    )


def _reader_of(settings: Settings) -> str:
    """Name the bundle whose network reads reports; "" when none does, or when it is not there: loading it says so."""
    if settings.language.engine != "encoder":
        return ""
    with suppress(Misconfigured):
        return read_manifest(bundle_of(settings.language.encoder)).digest
    return ""


def software() -> str:
    """Give the version of this gateway, as it stands in the capsules of its orders."""
    return version("andon-gateway")


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
        diagnosed=settings.diagnosed,
    )


def erp_name(settings: Settings) -> str:
    """Name the ERP that gets the orders; empty when there is none."""
    return settings.the_erp.name if settings.the_erp is not None else ""


def model_of(settings: Settings) -> str:
    """Name the model bundle without loading it; empty without diagnosis. Raises `Misconfigured` when there is none."""
    return read_manifest(bundle_of(settings.diagnosis.models)).digest if settings.diagnosed else ""


def policy_of(settings: Settings) -> Policy:
    """Give for how long, and on how many lanes, orders are sent."""
    return Policy(give_up_after=timedelta(seconds=settings.orders.give_up_after), lanes=settings.orders.lanes)


def pace_of(settings: Settings) -> Pace:
    """Give how often the ERP is asked about its orders, and for how long."""
    every, until = timedelta(seconds=settings.orders.follow), timedelta(seconds=settings.orders.follow_for)
    return Pace(every=every, longest=max(every, Pace().longest), until=until)


def production_policy_of(settings: Settings) -> Policy:
    """Give for how long production orders are tried."""
    return Policy(give_up_after=timedelta(seconds=settings.production.give_up_after))


def receiver_of(settings: Settings) -> JobReceiver:
    """Open the receiver of production orders. Raises `Misconfigured` for an ERP that takes none."""
    name = settings.production.receiver
    opened = settings.erp[name].open()
    if not isinstance(opened, JobReceiver):
        raise Misconfigured(
            f'[production] to = "erp.{name}": it takes no production orders (protocol "jobcontrol" does)'
        )
    return opened


def hand_of(settings: Settings, store: Store, line: Equipment, receiver: JobReceiver | None) -> Hand | None:
    """Give the way of production orders to the line; None when nobody is named."""
    plan = settings.production.plan
    if plan is not None:
        return ToTargets(store, line, plan, now, WRITE)
    return None if receiver is None else ToReceiver(receiver, settings.production.to)
