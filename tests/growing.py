"""Helpers for tests of orders that grow: a book, a desk, and windows and reports put through them by hand."""

from datetime import timedelta

from msgspec.structs import replace

from gateway.core.asset import Asset, Plant, Site
from gateway.core.diagnosis import Diagnosis, Fault
from gateway.core.episode import Episode
from gateway.core.ports import Store, StoredOrder, Tx
from gateway.core.report import Extraction, QualityReport
from gateway.core.window import Scalar, Window
from gateway.flow.book import Book
from gateway.flow.desk import Desk
from gateway.flow.episode import Rules
from tests.fakes import at

PLANT = Plant(Site(id="SZ1", timezone="Asia/Shanghai"), (Asset(id="M", line="A"), Asset(id="N", criticality="A")))
BOOK = Book(
    PLANT, Rules(3, 5), b"secret", "main", 0.6, "en", "cfg", software="1", false_within=timedelta(minutes=15)
)  # fmt: skip
DESK = Desk(PLANT, b"secret", "main", "cfg", software="1")
OUTER, INNER, HEALTHY = Fault.BEARING_OUTER, Fault.BEARING_INNER, Fault.HEALTHY
TOLD = Extraction(
    id="r1",
    intent="defect_report",
    fine_intent="equipment_fault",
    asset="M",
    failure_modes=("NOI",),
    route="order",
    confidence=0.9,
    masked="pump is noisy",
    engine="lite-1",
)


def window(seconds: float, asset: str = "M", rpm: float | None = None) -> Window:
    """A window of two seconds, with or without a measured speed."""
    speed = () if rpm is None else (Scalar("speed", "rpm", rpm, rpm, rpm, rpm, 2, 0.1),)
    return Window(asset, at(seconds), at(seconds + 2), speed)


def seen(
    seconds: float, fault: Fault | None = OUTER, severity: float = 0.5, confidence: float = 0.9, asset: str = "M"
) -> Diagnosis:
    """What the models made of that window."""
    sick = fault not in (None, HEALTHY)
    return Diagnosis(
        asset, at(seconds), at(seconds + 2), fault, confidence, 1.0 if sick else 0.0, severity if sick else 0.0, {},
        model="m", speed_rpm=1500.0, present=("vibration",),
    )  # fmt: skip


class Shown:
    """The step that concludes some windows, one each two seconds."""

    def __init__(self, first: float, *verdicts: Diagnosis, rpm: float | None = None, book: Book = BOOK) -> None:
        self._first, self._verdicts, self._rpm, self._book = first, verdicts, rpm, book

    def __call__(self, tx: Tx) -> list[Episode]:
        """Conclude them."""
        changed = []
        for number, verdict in enumerate(self._verdicts):
            start = self._first + 2 * number
            timed = replace(verdict, start=at(start), end=at(start + 2))
            here = window(start, verdict.asset, self._rpm)
            changed += self._book.conclude(tx, timed, here, at(start + 3))
        return changed


class Heard:
    """The step that takes a report in and concludes it."""

    def __init__(self, name: str, told: Extraction, seconds: float, desk: Desk = DESK) -> None:
        self._report = QualityReport(id=name, text=told.masked or "-", reported_at=at(seconds))
        self._told, self._desk = replace(told, id=name), desk

    def __call__(self, tx: Tx) -> str | None:
        """Conclude it."""
        now = self._report.reported_at
        tx.take_report(self._report, now)
        return self._desk.conclude(tx, self._report, self._told, now)


async def shown(store: Store, first: float, *verdicts: Diagnosis, rpm: float | None = None) -> None:
    """Have the line show something, from a time on."""
    await store.write(Shown(first, *verdicts, rpm=rpm))


async def heard(store: Store, name: str, told: Extraction = TOLD, seconds: float = 60) -> str | None:
    """Have a person tell something."""
    return await store.write(Heard(name, told, seconds))


async def the_order(store: Store) -> StoredOrder:
    """Give the only order."""
    [stored] = await store.read(lambda tx: tx.orders())
    return stored


async def events(store: Store, event: str) -> list[str]:
    """Give the details of the audit lines of an event."""
    return await store.read(lambda tx: [line.detail for line in tx.audit() if line.event == event])
