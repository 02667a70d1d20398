"""Delivery of an order to an ERP: states, outcomes, capabilities."""

import enum
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Literal

import msgspec


class DeliveryState(enum.StrEnum):
    """Where a delivery stands.

    WAITING will be sent when due. SENDING was committed before the bytes left. DELIVERED has the
    ERP's number. UNCERTAIN may or may not have happened: the ERP is asked before anyone sends again.
    PARKED needs a person and says why. WITHDRAWN was taken back: the ERP holds it as cancelled, or never had it.
    """

    WAITING = "WAITING"
    SENDING = "SENDING"
    DELIVERED = "DELIVERED"
    UNCERTAIN = "UNCERTAIN"
    PARKED = "PARKED"
    WITHDRAWN = "WITHDRAWN"


NOT_BACK = "not taken back: "
"""How the reason of a delivery begins whose withdrawal the ERP refused: who asked for it must go on seeing that."""

Task = Literal["create", "amend", "cancel", "drop"]
"""What a delivery has to do next: make the order, change it, take it back, or never send it."""


class Delivery(msgspec.Struct, frozen=True):
    """The outbox row of one order. `lane` is the asset; `attempt` counts sends; times aware UTC.

    `since` is when the first attempt left (None before): it bounds the ERP's memory of a replay key.

    `version` is the newest of the order, `sent` the one that the ERP is known to have. `sending` is the one that an
    attempt may have taken along: it stays the one that is sent until that attempt is settled, for an ERP that
    knows our key refuses other words under it. `withdraw` says why the order is to be taken back; empty while
    it stands.
    """

    key: str
    lane: str
    erp: str
    state: DeliveryState
    attempt: int
    due_at: datetime
    lease_until: datetime | None = None
    since: datetime | None = None
    reason: str = ""
    erp_number: str | None = None
    updated_at: datetime | None = None
    version: int = 1
    sending: int | None = None
    sent: int | None = None
    withdraw: str = ""

    @property
    def task(self) -> Task:
        """What has to be done next. An order of which nothing left yet is dropped, not cancelled."""
        if self.erp_number is None:
            return "drop" if self.withdraw and self.attempt == 0 else "create"
        return "cancel" if self.withdraw else "amend"


class Idempotency(enum.StrEnum):
    """How an ERP can be kept from making a second order (docs/connect-erp.md)."""

    HEADER = "header"
    UPSERT = "upsert"
    CLIENT_ID = "client_id"
    LOOKUP = "lookup"
    NONE = "none"


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What an adapter promises about its ERP; delivery knows only this, never the ERP's name.

    `deadline` is the time after which one call of the adapter is surely over: leases are a little longer.
    `replay_window` is for how long the ERP knows our key. Under HEADER it forgets the key then, and keeps the order.
    Under UPSERT and CLIENT_ID the key is known as long as the order is there: it may be gone by then (a machine clears
    its list of jobs), and that it is not found proves nothing any more.
    `batch` orders go in one request. Where it is `ordered` they are carried out in their order, and one behind
    another of its lane that was neither delivered nor rejected is `Unsent`: then orders of one lane may share one.
    `amends` and `cancels`: an order that is there already can be changed, and taken back. Where an order is made in
    several `steps`, `find` shows it after the last one, and `cancel` of a ref without a number takes back what those
    before it made (`Delivered` where nothing of it stands).
    """

    idempotency: Idempotency
    deadline: timedelta = timedelta(seconds=60)
    key_limit: int = 20
    replay_window: timedelta | None = None
    settle: timedelta = timedelta(0)
    overwrites: bool = False
    batch: int = 1
    ordered: bool = False
    lane: Literal["asset", "connection"] = "asset"
    precondition: Literal["etag", "timestamp", "none"] = "none"
    feedback: Literal["signed", "unsigned", "poll"] = "poll"
    amends: bool = False
    cancels: bool = False
    steps: bool = False


class ErpRef(msgspec.Struct, frozen=True):
    """An order as the ERP knows it.

    `status` is the ERP's word, `state` what it means to us. `version` is its ETag or time of change, for a
    precondition; empty when it has none. `closing_code` is said once the order is closed. `maker` tells who made it
    from others and names nobody (a digest); empty where the ERP does not say.
    """

    key: str
    number: str
    status: str = ""
    version: str = ""
    closing_code: str | None = None
    state: Literal["open", "done", "cancelled", "unknown"] = "unknown"
    maker: str = ""


def counting(found: Sequence[ErpRef], number: str | None = None) -> ErpRef:
    """Say which of several orders under one key counts: the one of this number, else the oldest that stands."""
    standing = [ref for ref in found if ref.state != "cancelled"]
    return next((ref for ref in standing if ref.number == number), (standing or found)[0])


class Delivered(msgspec.Struct, frozen=True, tag=True):
    """The ERP has it, under this number. `created` is False when it already had it.

    `kept` names the fields that were left as a planner had changed them.
    """

    ref: ErpRef
    created: bool = True
    kept: tuple[str, ...] = ()


class Rejected(msgspec.Struct, frozen=True, tag=True):
    """The ERP understood and said no; the reason is for a planner and holds no secret and no name.

    `stands` is how the order stands there, where that was asked after it.
    """

    reason: Annotated[str, msgspec.Meta(max_length=500)]
    stands: ErpRef | None = None


class Throttled(msgspec.Struct, frozen=True, tag=True):
    """The ERP did not do it and asks to wait. `partly`: what this call did before that stays there."""

    after: timedelta | None
    cause: str = ""
    partly: bool = False


class Unsent(msgspec.Struct, frozen=True, tag=True):
    """Surely not sent: no connection, no token, breaker open. `partly`: what this call sent before stays there."""

    cause: str
    partly: bool = False


class Uncertain(msgspec.Struct, frozen=True, tag=True):
    """Sent, and nobody knows: timed out, cut, 5xx."""

    cause: str


Outcome = Delivered | Rejected | Throttled | Unsent | Uncertain


DATED = r"^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:\d{2}))?$"
A_DATE = "2026-12-01, or 2026-12-01T08:00:00+08:00"
"""What a person is shown who wrote something else."""
Dated = Annotated[str, msgspec.Meta(pattern=DATED)]
"""An ISO 8601 date, or a time with offset."""


class ProductionParameter(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One value that a production order gives beside what is made."""

    id: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
    value: Annotated[str, msgspec.Meta(max_length=1024)]
    unit: Annotated[str, msgspec.Meta(max_length=32)] = ""


class ProductionOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A production order from the ERP, idempotent by `order_id`. `priority` 1 is the most urgent.

    `work_master` names the recipe or plan by which it is made.
    """

    order_id: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    material_code: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    quantity: Annotated[float, msgspec.Meta(gt=0, le=1e9)]
    due_date: Dated
    unit: Annotated[str, msgspec.Meta(max_length=32)] = ""
    start_date: Dated | None = None
    priority: Annotated[int, msgspec.Meta(ge=0, le=9999)] | None = None
    work_master: Annotated[str, msgspec.Meta(max_length=128)] = ""
    parameters: Annotated[tuple[ProductionParameter, ...], msgspec.Meta(max_length=200)] = ()

    def __post_init__(self) -> None:
        # They go into logs, tables and the line's own fields.
        for name in ("order_id", "material_code"):
            if not getattr(self, name).isprintable():
                raise ValueError(f"{name} holds the end of a line, or another character that is not seen")


Word = Annotated[str, msgspec.Meta(max_length=1000)]
"""A word of the ERP. It is kept, listed and shown: a page of text is none."""


class StatusUpdate(msgspec.Struct, frozen=True, kw_only=True):
    """What the ERP says about an order of ours. `status` is the ERP's word, `state` what it means to us."""

    key: Annotated[str, msgspec.Meta(max_length=64)]
    number: Annotated[str, msgspec.Meta(max_length=200)]
    status: Word
    closing_code: Word | None = None
    at: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    state: Literal["open", "done", "cancelled", "unknown"] = "unknown"
