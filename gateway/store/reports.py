"""Quality reports and what was read out of them."""

from datetime import datetime
from typing import Any

from sqlalchemy import Row, false, select, true, update

from gateway.core.errors import Conflict
from gateway.core.ports import StoredReport
from gateway.core.report import Extraction, QualityReport
from gateway.store.documents import pack, unpack
from gateway.store.part import Part
from gateway.store.tables import reports

_COLUMNS = (
    reports.c.body,
    reports.c.received_at,
    reports.c.extraction,
    reports.c.order_key,
    reports.c.reviewed,
)


class Reports(Part):
    """The words that people sent, kept before anyone reads them."""

    def take_report(self, report: QualityReport, received_at: datetime) -> bool:
        """Keep a report; False when it was here already.

        Raises `Conflict` when another text, asset or photo came under the same id.
        """
        if self._insert_new(reports, id=report.id, received_at=received_at, body=pack(report)):
            return True
        known = self.report(report.id)
        if known is not None and _said(known.report) != _said(report):
            raise Conflict(f"report {report.id} was sent before with other words")
        return False

    def read_report(self, extraction: Extraction, order_key: str | None) -> None:
        """Keep what was read out of a report, and the order that it led to. Raises LookupError for an unknown one.

        One that goes to review is seen there, also when a person had decided about it before.
        """
        news: dict[str, Any] = {"extraction": pack(extraction), "route": extraction.route, "order_key": order_key}
        if extraction.route == "review":
            news["reviewed"] = False
        if self._db.execute(update(reports).where(reports.c.id == extraction.id).values(news)).rowcount == 0:
            raise LookupError(f"no report {extraction.id}")

    def report(self, name: str) -> StoredReport | None:
        """One report by its id."""
        found = self._db.execute(select(*_COLUMNS).where(reports.c.id == name)).first()
        return None if found is None else _stored(found)

    def reports(self, *, unread: bool = False, route: str | None = None, limit: int = 100) -> list[StoredReport]:
        """Reports, the newest first.

        `unread` ones and those of the route "review" are queues: the oldest first, and a review that is
        done leaves its queue.
        """
        look = select(*_COLUMNS).limit(limit)
        if unread:
            look = look.where(reports.c.route.is_(None))
        if route is not None:
            look = look.where(reports.c.route == route)
        if route == "review":
            look = look.where(reports.c.reviewed == false())
        queue = unread or route == "review"
        look = look.order_by(reports.c.number if queue else reports.c.number.desc())
        return [_stored(row) for row in self._db.execute(look)]

    def read_again(self, name: str) -> bool:
        """Let a report in review be read once more; False when it is not there, or was decided."""
        waits = (reports.c.id == name) & (reports.c.route == "review") & (reports.c.reviewed == false())
        return self._db.execute(update(reports).where(waits).values(extraction=None, route=None)).rowcount == 1

    def conclude_again(self, name: str, order_key: str) -> bool:
        """Let a report wait once more, as it was read; False when it does not lead to this order (any more)."""
        led = (reports.c.id == name) & (reports.c.order_key == order_key)
        return self._db.execute(update(reports).where(led).values(route=None, order_key=None)).rowcount == 1

    def review_done(self, name: str) -> None:
        """Take a report out of the review queue."""
        self._db.execute(update(reports).where(reports.c.id == name).values(reviewed=true()))


def _said(report: QualityReport) -> tuple[str, str | None, str | None]:
    # Not the time: a door that stamps reports itself stamps a repeated one anew.
    return report.text, report.asset_hint, report.photo


def _stored(row: Row[bytes, datetime, bytes | None, str | None, bool]) -> StoredReport:
    body, received_at, extraction, order_key, reviewed = row
    read = None if extraction is None else unpack(extraction, Extraction)
    return StoredReport(unpack(body, QualityReport), received_at, read, order_key, reviewed)
