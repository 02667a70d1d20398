"""Quality reports: words in, an extraction out."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec

from gateway.core.reading import Moment, Name

Intent = Literal["defect_report", "maintenance_request", "inspection_result", "inquiry", "feedback"]
Route = Literal["order", "review", "record", "none"]
SlotName = Literal[
    "equipment",
    "component",
    "failure_mode",
    "symptom",
    "defect",
    "cause",
    "location",
    "product",
    "characteristic",
    "measurement",
    "quantity",
    "batch",
    "order",
    "severity",
    "due",
    "action",
    "reporter",
]


class QualityReport(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a person said. `asset_hint` is an asset that the channel knows (a form field, a QR code).

    `photo` is the sha256 of a picture in the blob store. `channel` says by which door it came.
    """

    id: Name
    text: Annotated[str, msgspec.Meta(min_length=1, max_length=10_000)]
    reported_at: Moment
    asset_hint: Name | None = None
    photo: str | None = None
    channel: str = "api"


class Slot(msgspec.Struct, frozen=True, gc=False):
    """A span of the text: character offsets [start, end) into the original text."""

    slot: SlotName
    start: int
    end: int
    text: str


class Extraction(msgspec.Struct, frozen=True, kw_only=True):
    """What was read out of one report; fields and codes of `docs/reports.md`."""

    id: str
    intent: Intent | None
    fine_intent: str | None
    asset: str | None
    components: tuple[str, ...] = ()
    failure_modes: tuple[str, ...] = ()
    defects: tuple[str, ...] = ()
    causes: tuple[str, ...] = ()
    measurements: tuple[tuple[float, str], ...] = ()
    quantity: int | None = None
    batch: str | None = None
    order: str | None = None
    due: datetime | None = None
    machine_down: bool = False
    priority: Literal[1, 2, 3, 4] | None = None
    action: str | None = None
    reporter: bool = False
    slots: tuple[Slot, ...] = ()
    confidence: float = 0.0
    route: Route = "review"
    why: tuple[str, ...] = ()
    masked: str = ""
    language: Literal["zh", "en"] = "en"
    engine: str = ""
