"""Copies: a planner who copies an order by hand copies our key with it. That one is no ghost of ours (pure)."""

from collections.abc import Sequence

from gateway.core.delivery import ErpRef


def apart(
    found: Sequence[ErpRef], counts: ErpRef | None, number: str | None = None
) -> tuple[list[ErpRef], list[ErpRef]]:
    """Give what the ERP has too often of an order: what our own requests made, and what somebody else did.

    `found` is all that it has under our key, the oldest first where numbers rise, and `counts` the one that counts, if
    any does. We made the one that was confirmed to us under `number`; where that is not there, the oldest, for a copy
    is of something. Where an ERP does not say who made a record, all are ours.
    """
    ours = next((ref for ref in found if ref.number == number), found[0]).maker
    surplus = [ref for ref in found if ref is not counts and ref.state != "cancelled"]
    theirs = [ref for ref in surplus if ours and ref.maker and ref.maker != ours]
    return [ref for ref in surplus if ref not in theirs], theirs
