"""The audit trail: who did what, each line chained to the one before."""

import hashlib
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

import msgspec
from sqlalchemy import insert, select

from gateway.core.ports import AuditLine
from gateway.store.part import Part
from gateway.store.tables import audit

_START = "0" * 64
_COLUMNS = tuple(audit.c[name] for name in AuditLine.__struct_fields__)
_LAST = select(audit.c.number, audit.c.digest).order_by(audit.c.number.desc()).limit(1)
_ADD = insert(audit)


class Trail(Part):
    """Lines that are only ever added. `_end` is the last one, once it is known in this transaction."""

    _end: tuple[int, str] | None = None

    def note(self, event: str, subject: str, at: datetime, detail: str = "") -> None:
        """Add a line. Holds no secret and no person's name."""
        number, before = self._end or self._db.execute(_LAST).first() or (0, _START)
        line = AuditLine(number + 1, at.astimezone(UTC), _plain(event), _plain(subject), _plain(detail), "")
        row = {**msgspec.structs.asdict(line), "at": at, "digest": digest(before, line)}
        self._db.execute(_ADD, row)
        self._end = (line.number, row["digest"])

    def undo_step(self) -> None:
        """Take back what the step did; the trail may end earlier than it did."""
        super().undo_step()
        self._end = None

    def audit(self, *, after: int = 0, limit: int = 1000) -> Iterator[AuditLine]:
        """Lines behind a number, in order."""
        look = select(*_COLUMNS).where(audit.c.number > after).order_by(audit.c.number).limit(limit)
        # Read at once: an iterator that outlives its transaction would fail on the first line.
        return iter([AuditLine(*row) for row in self._db.execute(look)])

    def audit_of(self, subject: str, *, limit: int = 1000) -> list[AuditLine]:
        """Give the newest lines about one thing, the oldest of them first. Reads the whole trail: for a person."""
        look = select(*_COLUMNS).where(audit.c.subject == subject).order_by(audit.c.number.desc()).limit(limit)
        return [AuditLine(*row) for row in self._db.execute(look)][::-1]


def verify(lines: Iterable[AuditLine], *, before: AuditLine | None = None) -> int | None:
    """Number of the first line that does not follow from the one before it; None when all do.

    `lines` start at the first line of the trail, or right behind `before`. What is missing at the end
    cannot be seen.
    """
    number, chained = (0, _START) if before is None else (before.number, before.digest)
    for line in lines:
        if line.number != number + 1 or line.digest != digest(chained, line):
            return line.number
        number, chained = line.number, line.digest
    return None


def digest(before: str, line: AuditLine) -> str:
    """Chain a line to the digest of the one before it: sha256 over JSON, which keeps the fields apart."""
    facts = (before, line.number, line.at.astimezone(UTC).isoformat(), line.event, line.subject, line.detail)
    return hashlib.sha256(msgspec.json.encode(facts)).hexdigest()


def _plain(text: str) -> str:
    # As the database keeps it (see `columns.Words`), or the chain would break on reading it back.
    return text.replace("\x00", "\ufffd")
