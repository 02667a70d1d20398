"""One order with its history, for a person to read."""

from collections.abc import Iterator
from typing import Any

import msgspec
import rich_click as click

from gateway.cli.common import printable, stamp, table
from gateway.core.order import WorkOrder
from gateway.core.plural import plural
from gateway.core.ports import AuditLine, StoredOrder, Tx

_MOST_LINES = 1000
_MOST_VERSIONS = 100


class History(msgspec.Struct, frozen=True):
    """An order, its versions (the newest last, a hundred at most) and the lines of the audit trail about it."""

    held: StoredOrder
    versions: tuple[WorkOrder, ...]
    audit: tuple[AuditLine, ...]

    def whole(self) -> dict[str, Any]:
        """Give all of it as plain data: the stored order's own fields, `versions` and `audit`."""
        plain: dict[str, Any] = msgspec.to_builtins(self.held)
        return plain | {"versions": msgspec.to_builtins(self.versions), "audit": msgspec.to_builtins(self.audit)}


def history(tx: Tx, key: str) -> History | None:
    """Gather an order's history; None without such an order."""
    held = tx.order(key)
    if held is None:
        return None
    newest = held.delivery.version
    numbers = range(max(1, newest - _MOST_VERSIONS + 1), newest + 1)
    versions = tuple(one for number in numbers if (one := tx.order_version(key, number)) is not None)
    return History(held, versions, tuple(tx.audit_of(key, limit=_MOST_LINES)))


def printed(found: History) -> None:
    """Print a history: what it is, how it stands, its versions, and what was done about it."""
    for name, value in _facts(found.held):
        click.echo(f"{name:<12}{printable(value)}")
    click.echo()
    table(
        found.versions,
        {
            "version": lambda one: f"{one.version}{_mark(found.held, one.version)}",
            "priority": lambda one: one.priority,
            "trouble": lambda one: one.failure_mode,
            "title": lambda one: one.title,
            "capsule": lambda one: (one.capsule or "")[:16],
        },
    )
    click.echo()
    table(
        found.audit,
        {
            "at": lambda line: stamp(line.at),
            "event": lambda line: line.event,
            "detail": lambda line: line.detail,
        },
    )


def _facts(held: StoredOrder) -> Iterator[tuple[str, str]]:
    order, way = held.order, held.delivery
    yield "order", order.key
    yield "title", order.title
    yield "asset", order.asset or "-"
    yield "source", f"{order.source.kind} {order.source.id}"
    yield "delivery", " ".join(part for part in (str(way.state), f"to {way.erp}", _attempts(way.attempt)) if part)
    if way.reason:
        yield "reason", way.reason
    if way.withdraw:
        yield "taken back", way.withdraw
    yield "version", f"{way.version}, the ERP has {way.sent or 'none'}"
    if way.erp_number:
        status = f": {held.erp_status}" if held.erp_status else ""
        means = f" ({held.erp_state})" if held.erp_state != "unknown" else ""
        code = f", closing code {held.closing_code}" if held.closing_code else ""
        yield "in the ERP", f"{way.erp_number}{status}{means}{code}"
    if order.capsule:
        yield "capsule", f"sha256 {order.capsule}; andon verify {order.key}"


def _attempts(count: int) -> str:
    return f"({plural(count, 'attempt')})" if count > 1 else ""


def _mark(held: StoredOrder, version: int) -> str:
    return " in the ERP" if version == held.delivery.sent else ""
