"""What was set aside with a reason, in one place: listed, put back, given up."""

import re
from collections.abc import Callable, Collection
from datetime import datetime
from typing import Any, Literal, get_args

import msgspec

from gateway.core.delivery import DeliveryState
from gateway.core.errors import Missing, Refused
from gateway.core.event import Outgoing
from gateway.core.plural import plural
from gateway.core.ports import AsideBatch, Store, StoredOrder, StoredReport, Tx
from gateway.core.production import HandoverState, StoredProduction
from gateway.core.status import OVER
from gateway.flow.receive import Ruling, review
from gateway.flow.redeliver import may_go_again, send_again

Kind = Literal["order", "change", "production", "event", "report", "batch"]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""An order that is parked, or whose change or withdrawal was refused; a production order, an event and a report that
are parked; a batch of readings that cannot be read."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]+")
_BATCH = re.compile(r"[0-9]{1,18}")
"""A number that every database holds."""
_LONGEST = 200
_PUT_BACK = "andon dlq retry, or andon orders cancel"
_TRY = "look at the order in the ERP; andon dlq retry"
_ASK = "look at the order in the ERP; andon orders cancel asks once more"
_SCANNED = 10_000
"""Reports in review that a look goes through for those whose reading failed."""


class SetAside(msgspec.Struct, frozen=True):
    """One thing that was set aside. `name` is its kind and id, by which a person calls it; `since` is aware UTC.

    `asset` is what it is about, where it is about one.
    """

    name: str
    kind: Kind
    id: str
    at: str
    reason: str
    since: datetime
    next: str
    asset: str | None = None


class Listed(msgspec.Struct, frozen=True):
    """What was set aside, the newest first. `more`: there is more than was asked for."""

    items: tuple[SetAside, ...]
    more: bool


def listed(tx: Tx, kinds: Collection[Kind] = KINDS, limit: int = 100) -> Listed:
    """List what was set aside."""
    found: list[SetAside] = []
    more = False
    for kind in KINDS:
        rows = _LOOKS[kind](tx, limit + 1) if kind in kinds else []
        more = more or len(rows) > limit
        found += rows
    found.sort(key=lambda one: one.since, reverse=True)
    return Listed(tuple(found[:limit]), more or len(found) > limit)


def seen(tx: Tx, name: str) -> SetAside:
    """Say of one thing why it was set aside and what to do next. Raises as `whole` does."""
    kind, _ = _named(name)
    match whole(tx, name):
        case StoredOrder() as held:
            return _order(kind, held)
        case StoredProduction() as one:
            return _production(one)
        case Outgoing() as event:
            return _outgoing(event)
        case StoredReport() as report:
            return _report(report)
        case (AsideBatch() as batch, _):
            return _batch(batch)
    raise _nothing(name)


def whole(tx: Tx, name: str) -> Any:
    """Give one thing that was set aside, whole. Raises `Missing` when it is not there, or not set aside any more."""
    kind, ident = _named(name)
    found: Any = None
    match kind:
        case "order" | "change":
            held = tx.order(ident)
            found = held if held is not None and _kind_of(held) == kind else None
        case "production":
            one = tx.production(ident)
            parked = one is not None and one.handover is not None and one.handover.state is HandoverState.PARKED
            found = one if parked else None
        case "event":
            found = tx.parked_event(*_event(ident))
        case "report":
            told = tx.report(ident)
            found = told if told is not None and _failed(told) else None
        case "batch":
            found = tx.batch_aside(int(ident)) if _BATCH.fullmatch(ident) else None
    if found is None:
        raise _nothing(name)
    return found


def retry(tx: Tx, name: str, at: datetime, actor: str, produce_to: str = "") -> str:
    """Put one thing back to where it was on its way; say what will happen now.

    An order keeps its key and an event its id, so nothing is made twice. Raises `Missing` when it is not set aside,
    `Refused` when it cannot be put back yet.
    """
    kind, ident = _named(name)
    whole(tx, name)
    match kind:
        case "order" | "change":
            if not send_again(tx, ident, at, actor).again:
                raise Refused("the withdrawal was refused: `andon orders cancel` asks for it once more")
            return "waits again, with the same key"
        case "production":
            if not produce_to:
                raise Refused('nobody is named to hand it to: see [production] to = "…"')
            tx.redeliver_production(ident, produce_to, at)
            tx.note("production.handed_again", ident, at, produce_to)
            return "waits to be handed over"
        case "event":
            tx.resend_event(*_event(ident), at)
            tx.note("events.resent", ident.partition("/")[2], at, f"{ident.partition('/')[0]} by {actor}")
            return "waits again, under the same id"
        case "report":
            tx.read_again(ident)
            tx.note("report.again", ident, at, actor)
            return "will be read once more"
        case "batch":
            tx.put_back(int(ident))
            tx.note("journal.put_back", ident, at, actor)
            return "is back in the journal; `andon replay` goes over its time"


async def drop(store: Store, name: str, reason: str, now: Callable[[], datetime], actor: str) -> None:
    """Give one thing up, for a person who says why; the reason stays in the audit trail.

    Raises `Missing` when it is not set aside, `Refused` without a reason, and for an order: that is withdrawn.
    """
    told = _CONTROL.sub(" ", reason).strip()[:_LONGEST]
    if not told:
        raise Refused("say why it is given up: the reason stays in the audit trail")
    kind, ident = _named(name)
    await store.write(lambda tx: _drop(tx, name, told, now(), actor))
    if kind == "report":
        await review(store, ident, Ruling(decision="dismiss"), lambda *_: None, now)


def _drop(tx: Tx, name: str, reason: str, at: datetime, actor: str) -> None:
    kind, ident = _named(name)
    whole(tx, name)
    detail = f"{actor}: {reason}"[:_LONGEST]
    match kind:
        case "order":
            raise Refused(f"an order is not dropped: `andon orders cancel {ident}` withdraws it")
        case "change":
            raise Refused(f"the ERP holds this order as it is: `andon orders cancel {ident}` takes it back")
        case "production":
            tx.drop_production(ident, reason, at)
            tx.note("production.dropped", ident, at, detail)
        case "event":
            subscriber, event = _event(ident)
            tx.drop_event(subscriber, event)
            tx.note("events.dropped", event, at, f"{subscriber}, {detail}"[:_LONGEST])
        case "report":
            tx.note("report.dropped", ident, at, detail)
        case "batch":
            tx.drop_batch(int(ident))
            tx.note("journal.dropped", ident, at, detail)


def _orders(tx: Tx, limit: int) -> list[SetAside]:
    return [_order("order", held) for held in tx.orders(state=DeliveryState.PARKED, limit=limit)]


def _changes(tx: Tx, limit: int) -> list[SetAside]:
    return [_order("change", held) for held in tx.orders(behind=True, limit=limit)]


def _order(kind: Kind, held: StoredOrder) -> SetAside:
    way = held.delivery
    then = _PUT_BACK if kind == "order" else _TRY if may_go_again(held) else _ASK
    since = way.updated_at or way.due_at
    return _aside(kind, held.order.key, way.erp, way.reason, since, then, held.order.asset)


def _productions(tx: Tx, limit: int) -> list[SetAside]:
    return [_production(one) for one in tx.productions(state=HandoverState.PARKED, limit=limit)]


def _production(one: StoredProduction) -> SetAside:
    way = one.handover
    to, reason, since = (way.to, way.reason, way.updated_at) if way is not None else ("", "", None)
    then = "look at the line; andon dlq retry, or drop"
    return _aside("production", one.order.order_id, to, reason, since or one.received_at, then)


def _events(tx: Tx, limit: int) -> list[SetAside]:
    return [_outgoing(one) for one in tx.outgoing(state="PARKED", limit=limit)]


def _outgoing(one: Outgoing) -> SetAside:
    to, then = one.subscriber, "andon events test; andon dlq retry, or drop"
    return _aside("event", f"{to}/{one.event.id}", to, one.reason, one.updated_at or one.made_at, then)


def _reports(tx: Tx, limit: int) -> list[SetAside]:
    failed = [held for held in tx.reports(route="review", limit=_SCANNED) if _failed(held)]
    return [_report(held) for held in failed[:limit]]


def _report(held: StoredReport) -> SetAside:
    then = "decide on the review page; andon dlq retry, or drop"
    read = held.extraction.asset if held.extraction is not None else None
    about = read or held.report.asset_hint or None
    return _aside("report", held.report.id, held.report.channel, _why(held), held.received_at, then, about)


def _batches(tx: Tx, limit: int) -> list[SetAside]:
    return [_batch(one) for one in tx.batches_aside(limit)]


def _batch(one: AsideBatch) -> SetAside:
    then = "andon dlq retry after an update; export, then drop"
    return _aside("batch", str(one.number), one.source, _span(one), one.received_at, then)


_LOOKS: dict[Kind, Callable[[Tx, int], list[SetAside]]] = {
    "order": _orders,
    "change": _changes,
    "production": _productions,
    "event": _events,
    "report": _reports,
    "batch": _batches,
}


def _aside(
    kind: Kind, ident: str, where: str, reason: str, since: datetime, then: str, asset: str | None = None
) -> SetAside:
    return SetAside(f"{kind}:{ident}", kind, ident, where, reason, since, then, asset)


def _kind_of(held: StoredOrder) -> Kind | None:
    """Say as what an order is set aside; None when it is not."""
    way = held.delivery
    if way.state is DeliveryState.PARKED:
        return "order"
    behind = (way.sent is not None and way.sent < way.version) or bool(way.reason)
    return "change" if way.state is DeliveryState.DELIVERED and behind and held.erp_state not in OVER else None


def _failed(held: StoredReport) -> bool:
    told = held.extraction
    return told is not None and told.route == "review" and not held.reviewed and told.why[:1] == ("failed",)


def _why(held: StoredReport) -> str:
    why = held.extraction.why if held.extraction is not None else ()
    return f"it could not be read ({', '.join(why[1:])})"


def _span(one: AsideBatch) -> str:
    return f"{plural(one.values, 'value')} from {one.first_at:%Y-%m-%d %H:%M:%S} UTC cannot be read: {one.why}"


def _named(name: str) -> tuple[Kind, str]:
    kind, _, ident = name.partition(":")
    for known in KINDS:
        if known == kind and ident:
            return known, ident
    raise Refused(f"{name!r} names nothing: say it as `andon dlq list` does, such as order:AN3K7Q0V9W2ZT4E1MPRX")


def _event(ident: str) -> tuple[str, str]:
    subscriber, _, event = ident.rpartition("/")
    return subscriber, event


def _nothing(name: str) -> Missing:
    return Missing(f"{name} is not set aside; `andon dlq list` shows what is")
