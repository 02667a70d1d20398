"""A store with orders that stand on real evidence: a machine's, with the shipped models, and a person's."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from msgspec.structs import replace

from gateway.core.asset import Asset, Plant, Site
from gateway.core.ports import Diagnoser, Store
from gateway.core.reading import LogLine
from gateway.core.report import QualityReport
from gateway.core.window import Gap, Window
from gateway.diagnosis.bearing import find_bearing, orders_of
from gateway.diagnosis.diagnoser import open_diagnoser
from gateway.flow import seal
from gateway.flow.book import Book
from gateway.flow.desk import Desk
from gateway.flow.episode import Rules
from gateway.runtime.making import bundle_of
from gateway.store.settings import Settings
from nlp.interpret import open_interpreter
from nlp.logs import open_log_modality
from tests.diagnosis_signals import SHAFT, START, frame, machine, window

BUNDLE = bundle_of("bundled")
PLANT = Plant(
    Site(id="SZ1", enterprise="ACME"),
    (
        Asset(id="M-01", line="L1", bearing="6205", speed_rpm=SHAFT * 60),
        Asset(id="M-02", line="L2", aliases=("pump 2",)),
        Asset(id="M-03", line="L1", bearing="6205", speed_rpm=SHAFT * 60),
    ),
)
BOOK = Book(PLANT, Rules(3, 5), b"secret", "main", 0.6, "en", "cfg", software="1.0", public_url="https://andon.example")
DESK = Desk(PLANT, b"secret", "main", "cfg", software="1.0", public_url="https://andon.example")
PHOTO = b"\x89PNG\r\n\x1a\n not quite a picture"
REPORT = QualityReport(
    id="R-1", text="Pump 2 leaks oil at the shaft seal, reported by Li Wei", reported_at=START, asset_hint="M-02"
)
WORSE = QualityReport(
    id="R-2",
    text="M-01 bearing very noisy, machine is down, urgent. Reported by Li Wei",
    reported_at=START + timedelta(minutes=5),
    asset_hint="M-01",
)
FIRST = QualityReport(id="R-3", text="M-03 bearing is noisy and vibrates", reported_at=START, asset_hint="M-03")
_BEARING = find_bearing("6205")
assert _BEARING is not None
BPFO = orders_of(_BEARING).bpfo


def heard(number: int, order: float = 0.0, asset: str = "M-01") -> Window:
    """A window of everything: vibration, values, a picture, a log of two lines, a gap of each kind."""
    samples = machine(order=order, strength=6.0 if order else 0.0, seed=300 + number)
    plain = window(samples, number, asset=asset, speed=SHAFT * 60, temperature=45.0)
    return replace(
        plain,
        frame=replace(frame(seed=number), sourced_at=plain.start) if order else None,
        lines=(
            LogLine(asset, "轴承温度 rising\nsecond row", 4, plain.start, plain.end),
            LogLine(asset, "cycle done", 6, None, plain.end),
        ),
        gaps=(
            Gap("ambient", plain.start, plain.end, "bad: BadSensorFailure"),
            Gap("temperature", plain.start, plain.end, "uncertain: range"),
            Gap("vibration", plain.start, plain.end, "no samples"),
        ),
    )


def windows(asset: str = "M-01", sound: int = 8) -> list[Window]:
    """A sound machine, and after so many windows one whose bearing's outer race is damaged."""
    good = [heard(number, asset=asset) for number in range(sound)]
    return good + [heard(number, BPFO, asset) for number in range(sound, sound + 4)]


def models() -> Diagnoser:
    """Give the shipped models, with no memory of any machine."""
    return open_diagnoser(BUNDLE, PLANT, modalities=[open_log_modality(BUNDLE)])


async def concluded(store: Store, diagnoser: Diagnoser, seen: Sequence[Window], book: Book = BOOK) -> None:
    """Judge windows and write what follows."""
    for (diagnosis, grounds), one in zip(seal.judged(diagnoser, seen), seen, strict=True):
        await store.write(
            lambda tx, diagnosis=diagnosis, one=one, grounds=grounds: book.conclude(
                tx, diagnosis, one, one.end, grounds
            )
        )


async def told(store: Store, report: QualityReport, desk: Desk = DESK) -> str | None:
    """Take a report in and write what follows."""
    read = open_interpreter().interpret(report, PLANT)
    await store.write(lambda tx: tx.take_report(report, report.reported_at))
    return await store.write(lambda tx: desk.conclude(tx, report, replace(read, route="order"), report.reported_at))


async def fill(folder: Path) -> dict[str, str]:
    """Make a store with orders; give their keys.

    `person` is one person's, `machine` a machine's that a person made grow, `joined` a person's that a machine did.
    """
    store = Settings(path=str(folder)).open()
    try:
        diagnoser = models()
        await concluded(store, diagnoser, windows())
        photo = await store.write(lambda tx: tx.keep(PHOTO, "image/png"))
        person = await told(store, replace(REPORT, photo=photo))
        [machines] = [
            stored.order.key
            for stored in await store.read(lambda tx: tx.orders(asset="M-01"))
            if stored.order.failure_mode == "bearing_outer_race"
        ]
        await told(store, WORSE)
        joined = await told(store, FIRST)
        await concluded(store, diagnoser, windows("M-03", 0))
    finally:
        await store.close()
    return {"person": person or "", "machine": machines, "joined": joined or ""}
