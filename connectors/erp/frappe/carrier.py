"""What kind of Frappe document carries an order, and what its states mean to us."""

from typing import Annotated, Literal

import msgspec

from connectors.erp.mapping import Rule, Scalar, Table

Meaning = Literal["open", "done", "cancelled", "unknown"]
Field = Annotated[str, msgspec.Meta(pattern=r"^[a-z_][a-z0-9_]{0,138}$")]
Optional = Annotated[str, msgspec.Meta(pattern=r"^([a-z_][a-z0-9_]{0,138})?$")]


class Carrier(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One DocType as the carrier of orders; "" stands for a field that it does not have.

    `states` says what each value of `status_field` means. An order is taken back by writing `cancel`, while its
    state is one of `untouched` and it is a draft; why stands in `note_field`. A document that was submitted is a
    planner's, one that was cancelled (docstatus 2) is cancelled, whatever its status says.
    """

    status_field: Field
    note_field: Optional = ""
    closing_field: Optional = ""
    states: dict[str, Meaning]
    untouched: tuple[str, ...] = ()
    cancel: dict[Field, Scalar] = {}


KNOWN: dict[str, Carrier] = {
    "Asset Repair": Carrier(
        status_field="repair_status",
        note_field="description",
        states={"Pending": "open", "Completed": "done", "Cancelled": "cancelled"},
        untouched=("Pending",),
        cancel={"repair_status": "Cancelled"},
    ),
    "Issue": Carrier(
        status_field="status",
        note_field="description",
        closing_field="issue_type",
        states={
            "Open": "open",
            "Replied": "open",
            "Hold": "open",
            "On Hold": "open",
            "Resolved": "done",
            "Closed": "done",
        },
        untouched=("Open",),
        # An issue cannot be cancelled: it is closed, and the note in its description says why.
        cancel={"status": "Closed"},
    ),
    "Non Conformance": Carrier(
        status_field="status",
        note_field="details",
        states={"Open": "open", "Resolved": "done", "Cancelled": "cancelled"},
        untouched=("Open",),
        cancel={"status": "Cancelled"},
    ),
}
"""What is known of ERPNext's own DocTypes."""

MAPPINGS: dict[str, Table] = {
    "Asset Repair": {
        "asset": "asset",
        "failure_date": "detected_at",
        "description": Rule(source="text", longest=10_000),
    },
    "Issue": {
        "subject": Rule(source="title", longest=140),
        "description": Rule(source="text", longest=10_000),
        "priority": Rule(source="priority", values={"1": "High", "2": "High", "3": "Medium", "4": "Low"}),
    },
    "Non Conformance": {
        "subject": Rule(source="title", longest=140),
        "details": Rule(source="text", longest=10_000),
    },
}
"""What a document gets when the settings say nothing."""
