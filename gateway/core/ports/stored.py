"""What the store gives back: orders, reports, the audit trail, the journal and its marks, applied settings."""

from datetime import datetime
from typing import Literal

import msgspec

from gateway.core.batch import Batch
from gateway.core.delivery import Delivery
from gateway.core.order import WorkOrder
from gateway.core.report import Extraction, QualityReport


class StoredReport(msgspec.Struct, frozen=True):
    """A report with what became of it. `extraction` is None until it was read; `order_key` when it led to one."""

    report: QualityReport
    received_at: datetime
    extraction: Extraction | None = None
    order_key: str | None = None
    reviewed: bool = False

    @property
    def waits(self) -> bool:
        """Say whether it is still to be concluded: unread, or its order ended before the ERP had its words."""
        return self.extraction is None or (self.extraction.route == "order" and self.order_key is None)


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


class Watched(msgspec.Struct, frozen=True):
    """An order that may be in the ERP twice: it is looked up again at `due_at` (aware UTC), `left` times."""

    key: str
    due_at: datetime
    left: int


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
