"""What kind of Tryton record carries an order, and what its states and buttons mean to us."""

from typing import Annotated, Literal

import msgspec

from connectors.erp.mapping import Rule, Table

Meaning = Literal["open", "done", "cancelled", "unknown"]
Field = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Optional = Annotated[str, msgspec.Meta(pattern=r"^([a-z][a-z0-9_]{0,62})?$")]


class Carrier(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model of Tryton as the carrier of orders; "" stands for a field that it does not have.

    `key_field` holds our key: with the order's title behind it (`titled`) or alone. `number_field` must have
    its value from the start; without one an order is called as Tryton's references are, "production,12".
    `origin_field` says where it comes from. `states` says what each state means. An order is taken back by
    pressing `cancel[state]` until it is cancelled, while its state is one of `untouched`; why stands in `note_field`.
    """

    key_field: Field
    titled: bool = False
    number_field: Optional = ""
    origin_field: Optional = ""
    note_field: Optional = ""
    closing_field: Optional = ""
    states: dict[str, Meaning]
    untouched: tuple[str, ...] = ()
    cancel: dict[str, Field] = {}


KNOWN: dict[str, Carrier] = {
    "quality.alert": Carrier(
        key_field="title",
        titled=True,
        number_field="number",
        origin_field="origin",
        note_field="description",
        states={"open": "open", "processing": "open", "deferred": "cancelled", "resolved": "done"},
        untouched=("open",),
        # An alert cannot be cancelled: put off is as near as it gets, and a planner can take it up again.
        cancel={"open": "process", "processing": "defer"},
    ),
    "production": Carrier(
        key_field="reference",
        states={
            "request": "open",
            "draft": "open",
            "waiting": "open",
            "assigned": "open",
            "running": "open",
            "done": "done",
            "cancelled": "cancelled",
        },
        untouched=("request", "draft"),
        cancel={"request": "cancel", "draft": "cancel"},
    ),
}
"""What is known of Tryton's own models."""

MAPPINGS: dict[str, Table] = {"quality.alert": {"description": Rule(source="text", longest=10_000)}}
"""What an alert gets beside company, title and origin when the settings say nothing."""
