"""What of the audit trail is told outside, and in which words. Looks up what a line is about, and changes nothing."""

from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase

import msgspec

from gateway.core.event import NAMES, Event
from gateway.core.ports import AuditLine, Tx

_SAID = frozenset(
    f"order.{what}"
    for what in ("made", "delivered", "amended", "parked", "duplicate", "status", "closing_code", "reopened", "beside")
)
"""Lines whose detail is told too: it names no person. Others may hold words of people, or who acted."""
_LONGEST, _LONGEST_DETAIL = 200, 500


class OrderTold(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A work order: what stays, and how it stood when the event was put into the queue."""

    key: str
    version: int = 0
    asset: str | None = None
    line: str | None = None
    work_type: str = ""
    title: str = ""
    failure_mode: str = ""
    priority: int = 0
    detected_at: datetime | None = None
    source: str = ""
    state: str = ""
    erp: str = ""
    erp_number: str | None = None
    erp_status: str = ""
    closing_code: str | None = None
    capsule: str | None = None
    detail: str = ""


class EpisodeTold(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A trouble. `decision` says what became of it: note, review, order, joined; an order has the episode's key."""

    key: str
    asset: str = ""
    family: str = ""
    failure_mode: str = ""
    source: str = ""
    state: str = ""
    decision: str | None = None
    started_at: datetime | None = None
    last_at: datetime | None = None
    closed_at: datetime | None = None


class ReportTold(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A quality report, without its words."""

    id: str
    channel: str = ""
    asset: str | None = None
    route: str = ""
    intent: str | None = None
    order: str | None = None


class ProductionTold(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A production order. `state` is KEPT when it is handed to nobody; `job` is the line's own word."""

    order_id: str
    material_code: str = ""
    quantity: float | None = None
    unit: str = ""
    due_date: str = ""
    state: str = ""
    job: str = ""


@dataclass(frozen=True, slots=True)
class Teller:
    """Turns lines of the audit trail into events of one `source`, those whose name fits one of `types`."""

    source: str
    types: tuple[str, ...] = ("*",)

    def wants(self, name: str) -> bool:
        """Say whether this subscriber is told of it."""
        return name in NAMES and any(fnmatchcase(name, wanted) for wanted in self.types)

    def told(self, tx: Tx, line: AuditLine) -> Event | None:
        """Give the event of a line; None when it is not told. The same line is always the same event."""
        if not self.wants(line.event):
            return None
        return Event(
            id=f"evt_{line.digest[:32]}",
            name=line.event,
            source=self.source,
            subject=line.subject,
            time=line.at,
            sequence=line.number,
            data=msgspec.json.encode(_LOOK[line.event.partition(".")[0]](tx, line)),
        )


def _order(tx: Tx, line: AuditLine) -> OrderTold:
    found = tx.order(line.subject)
    detail = line.detail[:_LONGEST_DETAIL] if line.event in _SAID else ""
    if found is None:
        return OrderTold(key=line.subject, detail=detail)
    order = found.order
    return OrderTold(
        key=order.key,
        version=order.version,
        asset=order.asset,
        line=next((level.id for level in order.hierarchy if level.level == "line"), None),
        work_type=order.work_type,
        title=order.title[:_LONGEST],
        failure_mode=order.failure_mode,
        priority=order.priority,
        detected_at=order.detected_at,
        source=order.source.kind,
        state=str(found.delivery.state),
        erp=found.delivery.erp,
        erp_number=found.delivery.erp_number,
        erp_status=found.erp_status[:_LONGEST],
        closing_code=found.closing_code,
        capsule=order.capsule,
        detail=detail,
    )


def _episode(tx: Tx, line: AuditLine) -> EpisodeTold:
    found = tx.episode(line.subject)
    if found is None:
        return EpisodeTold(key=line.subject)
    return EpisodeTold(
        key=found.key,
        asset=found.asset,
        family=found.family,
        failure_mode=found.failure_mode,
        source=found.source,
        state=str(found.state),
        decision=None if found.decision is None else str(found.decision),
        started_at=found.started_at,
        last_at=found.last_at,
        closed_at=found.closed_at,
    )


def _report(tx: Tx, line: AuditLine) -> ReportTold:
    found = tx.report(line.subject)
    if found is None:
        return ReportTold(id=line.subject)
    read = found.extraction
    return ReportTold(
        id=found.report.id,
        channel=found.report.channel,
        asset=found.report.asset_hint if read is None else read.asset,
        route="" if read is None else read.route,
        intent=None if read is None else read.intent,
        order=found.order_key,
    )


def _production(tx: Tx, line: AuditLine) -> ProductionTold:
    found = tx.production(line.subject)
    if found is None:
        return ProductionTold(order_id=line.subject)
    order, handover = found.order, found.handover
    return ProductionTold(
        order_id=order.order_id,
        material_code=order.material_code,
        quantity=order.quantity,
        unit=order.unit,
        due_date=order.due_date,
        state=found.standing,
        job="" if handover is None else handover.job,
    )


_LOOK = {"order": _order, "episode": _episode, "report": _report, "production": _production}
