"""What an outcome makes of a delivery (pure), and how that is written down."""

import re
from datetime import datetime, timedelta

import msgspec
from tenacity import wait_random_exponential

from gateway.core.delivery import (
    Capabilities,
    Delivered,
    Delivery,
    DeliveryState,
    Idempotency,
    Outcome,
    Rejected,
    Throttled,
    Uncertain,
    Unsent,
)
from gateway.core.ports import Claimed, Tx
from gateway.flow.patience import backoff

_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")
_LONGEST_REASON = 500


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """How patiently orders are delivered.

    `lanes` are the requests in flight at once. A lease is by `margin` longer than the ERP's deadline: one that
    ran out means a crash. `doubts` sends that ended in doubt, or `give_up_after` without an end, and a
    person must look. `longest_wait` caps every back-off; no wait is longer than an hour.
    """

    lanes: int = 8
    margin: timedelta = timedelta(seconds=10)
    poll: timedelta = timedelta(seconds=1)
    longest_wait: timedelta = timedelta(seconds=30)
    give_up_after: timedelta = timedelta(hours=72)
    doubts: int = 8


class Settled(msgspec.Struct, frozen=True):
    """A delivery after an outcome, and the line about it in the audit trail."""

    delivery: Delivery
    event: str
    detail: str


def settled(
    claimed: Claimed, outcome: Outcome, *, capabilities: Capabilities, policy: Policy, now: datetime, held: timedelta
) -> Settled:
    """Say what a sent order's outcome makes of its delivery.

    `attempt` counts only sends that may have had an effect: one that surely had none is taken back.
    `held` is how long the whole ERP is left alone now; an order that surely was not made is due after it.
    """
    delivery = claimed.delivery
    match outcome:
        case Delivered(ref=ref, created=created):
            return delivered(delivery, ref.number, now, "" if created else "it was there already")
        case Rejected(reason=reason):
            return parked(delivery, reason, now)
        case Uncertain(cause=cause):
            wait = capabilities.settle if asks(capabilities) else pause(delivery.attempt, policy)
            return changed(delivery, DeliveryState.UNCERTAIN, cause, now, wait)
        case Unsent(cause=cause) | Throttled(cause=cause):
            fresh = msgspec.structs.replace(delivery, attempt=max(0, delivery.attempt - 1))
            if too_old(delivery, policy, now):
                # Nothing of it ever left: a person who sends it again starts a new time of waiting.
                since = None if fresh.attempt == 0 else fresh.since
                return parked(msgspec.structs.replace(fresh, since=since), f"given up: {cause}", now)
            asked = outcome.after if isinstance(outcome, Throttled) else None
            return changed(fresh, DeliveryState.WAITING, cause, now, asked or held)
    raise TypeError(outcome)


def asks(capabilities: Capabilities) -> bool:
    """Say whether doubt is ended by asking the ERP, and not by sending once more."""
    return capabilities.idempotency in (Idempotency.LOOKUP, Idempotency.NONE)


def too_old(delivery: Delivery, policy: Policy, now: datetime) -> bool:
    """Say whether a delivery was tried for as long as the policy allows."""
    return delivery.since is not None and now - delivery.since > policy.give_up_after


def pause(attempt: int, policy: Policy) -> timedelta:
    """Give the time before a doubtful order is looked at again: full jitter, longer each time."""
    return backoff(wait_random_exponential(multiplier=0.5, max=policy.longest_wait.total_seconds()), attempt)


def delivered(delivery: Delivery, number: str, now: datetime, remark: str = "") -> Settled:
    """Settle as DELIVERED under the ERP's number."""
    done = msgspec.structs.replace(
        delivery, state=DeliveryState.DELIVERED, erp_number=number, reason="", lease_until=None, updated_at=now
    )
    return Settled(done, "order.delivered", f"{number}, {remark}" if remark else number)


def parked(delivery: Delivery, reason: str, now: datetime) -> Settled:
    """Settle as PARKED: a person must act, and reads why."""
    return changed(delivery, DeliveryState.PARKED, reason, now, timedelta(0))


def changed(delivery: Delivery, state: DeliveryState, reason: str, now: datetime, wait: timedelta) -> Settled:
    """Settle in any state that has a reason; it is due again after the wait."""
    told = _CONTROL.sub(" ", reason)[:_LONGEST_REASON]
    news = msgspec.structs.replace(
        delivery, state=state, reason=told, due_at=now + wait, lease_until=None, updated_at=now
    )
    return Settled(news, f"order.{state.lower()}", told)


def write(tx: Tx, claimed: Claimed, result: Settled, now: datetime) -> bool:
    """Write a settled delivery with its audit line; False when the claim was lost and nothing was written."""
    if not tx.settle(claimed.delivery, result.delivery):
        return False
    tx.note(result.event, claimed.delivery.key, now, result.detail)
    return True
