"""Whether an order can be taken back at all: what its ERP promises, said before anybody asks for it."""

from collections.abc import Callable

from gateway.core.delivery import Capabilities
from gateway.core.ports import StoredOrder
from gateway.core.status import OVER

Closed = Callable[[str], str]
"""Says of an ERP, by its name, why no order is taken back there; "" where one may be."""


def open_to_it(_: str) -> str:
    """Let every ERP take orders back."""
    return ""


def why_not(name: str, known: str, can: Capabilities | None) -> str:
    """Say why nobody can take back an order that the ERP `name` has; "" when it can be asked for.

    `known` is the ERP that orders go to ("" for none), `can` what it promises; None when that is not known.
    """
    if name != known:
        return f"nobody speaks to {name} any more, see [orders] erp: take it back there"
    if can is not None and not can.cancels:
        return f"{name} takes no order back from us: cancel it there, and its status comes back by itself"
    return ""


def needs_the_erp(held: StoredOrder) -> bool:
    """Say whether taking an order back is up to the ERP: it has the order, and has not ended it."""
    return held.delivery.erp_number is not None and held.erp_state not in OVER
