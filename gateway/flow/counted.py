"""Retries in the audit trail: a reason is told once, and how often it was met when it is over (pure).

An ERP that is away for a day has thousands of tries at its door. Each of them in the trail would bury what a person
looks for, and is read by the job of every receiver of events. Meanwhile the count stands at the end of the reason.
"""

import re

from msgspec.structs import replace

from gateway.core.delivery import Delivery, DeliveryState

_TIMES = re.compile(r" \((\d{1,9}) times\)$")


def counted(before: Delivery, after: Delivery, detail: str) -> tuple[Delivery, str | None]:
    """Count a delivery that goes on waiting for the reason that it waited for; give the words for the trail, or None.

    What ends the waiting tells how often it was tried in vain. `before` is the delivery as it was claimed.
    """
    if not before.reason:
        return after, detail
    known, times = _apart(before.reason)
    again = _apart(after.reason)[0] == known
    if again and before.state is DeliveryState.SENDING and after.state is DeliveryState.WAITING:
        return replace(after, reason=f"{known} ({times + 1} times)"), None
    if again and before.state is after.state is DeliveryState.UNCERTAIN:
        return after, None  # looked up again: what was sent is counted in its attempts
    return after, detail if times == 1 else f"{detail}; before that {times} times: {known}"


def _apart(reason: str) -> tuple[str, int]:
    """Take a reason and its count apart."""
    found = _TIMES.search(reason)
    return (reason, 1) if found is None else (reason[: found.start()], int(found[1]))
