"""What an outcome makes of a delivery (pure), and how that is written down."""

import re
from datetime import datetime, timedelta

import msgspec
from msgspec.structs import replace
from tenacity import wait_random_exponential

from gateway.core.delivery import (
    NOT_BACK,
    Capabilities,
    Delivered,
    Delivery,
    DeliveryState,
    Idempotency,
    Rejected,
    Throttled,
    Uncertain,
    Unsent,
)
from gateway.core.plural import plural
from gateway.core.ports import Claimed, Tx
from gateway.flow.ages import Ages
from gateway.flow.attempt import Made
from gateway.flow.counted import counted
from gateway.flow.patience import LONGEST, backoff

_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")
_LONGEST_REASON, _LONGEST_STILL = 500, 250
_SINCE = "; then: "
"""Between a refusal that still counts and why the change after it waits."""


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """How patiently orders are delivered.

    `lanes` are the requests in flight at once. A lease is by `margin` longer than the ERP's deadline: one that
    ran out means a crash. `doubts` sends that ended in doubt, or `give_up_after` without an end, and a
    person must look. `longest_wait` caps every back-off; no wait is longer than an hour.
    """

    lanes: int = 16
    margin: timedelta = timedelta(seconds=10)
    poll: timedelta = timedelta(seconds=1)
    longest_wait: timedelta = timedelta(seconds=30)
    give_up_after: timedelta = timedelta(hours=72)
    doubts: int = 8


def lease_of(promised: Capabilities, policy: Policy) -> timedelta:
    """Give for how long a delivery belongs to who sends it.

    A look-up may come first; and what a crash left behind may be looked up as soon as its lease has ended.
    """
    return 2 * promised.deadline + policy.margin + (promised.settle if asks(promised) else timedelta(0))


class Settled(msgspec.Struct, frozen=True):
    """A delivery after an outcome, and the line about it in the audit trail."""

    delivery: Delivery
    event: str
    detail: str


def settled(
    claimed: Claimed,
    made: Made,
    *,
    capabilities: Capabilities,
    policy: Policy,
    now: datetime,
    held: timedelta,
    ages: Ages,
) -> Settled:
    """Say what became of a delivery that was tried; `made` is None for an order that never got to the ERP.

    `attempt` counts only sends that may have had an effect: one that surely had none is taken back.
    `held` is how long the whole ERP is left alone now; an order that surely was not made is due after it.
    What is done to an order that is there may be done twice: doubt about it only waits.
    """
    delivery = claimed.delivery
    there = delivery.task in ("amend", "cancel")
    match made:
        case None:
            return withdrawn(
                delivery, "nothing of it had left" if delivery.attempt <= 1 else "nothing of it is there", now
            )
        case Delivered() if delivery.task == "cancel":
            return withdrawn(delivery, delivery.withdraw, now)
        case Delivered() if delivery.task == "amend":
            return amended(delivery, made, now)
        case Delivered(ref=ref, created=created):
            return delivered(delivery, ref.number, now, "" if created else "it was there already")
        case Rejected(reason=reason):
            return refused(delivery, reason, now) if there else parked(delivery, reason, now)
        case Uncertain(cause=cause):
            return doubtful(delivery, cause, capabilities, policy, now)
        case Unsent(cause=cause) | Throttled(cause=cause):
            return _later(delivery, made, cause, now, held, old=too_old(delivery, policy, ages))
    raise TypeError(made)


def doubtful(delivery: Delivery, cause: str, capabilities: Capabilities, policy: Policy, now: datetime) -> Settled:
    """Settle a delivery of which nobody knows what became of it. An order that is asked for has its time to appear."""
    if delivery.task in ("amend", "cancel"):
        if delivery.attempt >= policy.doubts:
            return parked(delivery, f"tried {plural(delivery.attempt, 'time')}: {cause}", now)
        return changed(delivery, DeliveryState.WAITING, cause, now, pause(delivery.attempt, policy))
    wait = capabilities.settle if asks(capabilities) else pause(delivery.attempt, policy)
    return changed(since_it_left(delivery), DeliveryState.UNCERTAIN, cause, now, wait)


def since_it_left(delivery: Delivery) -> Delivery:
    """Put right since when something of it may be there: those before the first attempt that counts had no effect."""
    claimed = delivery.updated_at if delivery.state is DeliveryState.SENDING else None
    return replace(delivery, since=claimed) if delivery.attempt == 1 and claimed is not None else delivery


def _later(
    delivery: Delivery, made: Unsent | Throttled, cause: str, now: datetime, held: timedelta, *, old: bool
) -> Settled:
    left = delivery.attempt if made.partly else max(0, delivery.attempt - 1)
    # While nothing of it ever left, the newest version may go out next.
    fresh = replace(delivery, attempt=left, sending=delivery.sending if left else None)
    if old:
        # Nothing of it ever left: a person who sends it again starts a new time of waiting.
        return parked(replace(fresh, since=fresh.since if left else None), f"given up: {cause}", now)
    asked = min(made.after or held, LONGEST) if isinstance(made, Throttled) else held
    return changed(fresh, DeliveryState.WAITING, cause, now, asked)


def asks(capabilities: Capabilities) -> bool:
    """Say whether doubt is ended by asking the ERP, and not by sending once more."""
    return capabilities.idempotency in (Idempotency.LOOKUP, Idempotency.NONE)


def lingers(capabilities: Capabilities) -> timedelta:
    """Give how long a request that was given up may still be carried out: as declared, else as long as a call."""
    return capabilities.settle or capabilities.deadline


def too_old(delivery: Delivery, policy: Policy, ages: Ages) -> bool:
    """Say whether a delivery was surely tried for as long as the policy allows."""
    return delivery.since is not None and ages.at_least(delivery.since) > policy.give_up_after


def pause(attempt: int, policy: Policy) -> timedelta:
    """Give the time before a doubtful order is looked at again: full jitter, longer each time."""
    return backoff(wait_random_exponential(multiplier=0.5, max=policy.longest_wait.total_seconds()), attempt)


def delivered(delivery: Delivery, number: str, now: datetime, remark: str = "") -> Settled:
    """Settle as DELIVERED under the ERP's number, in the version that was on its way."""
    done = replace(_there(delivery, now), erp_number=number, sent=delivery.sending or delivery.version)
    return Settled(done, "order.delivered", f"{number}, {remark}" if remark else number)


def amended(delivery: Delivery, made: Delivered, now: datetime) -> Settled:
    """Settle an order whose copy in the ERP was changed; what a planner had changed is named."""
    version = delivery.sending or delivery.version
    kept = f", left as a planner has them: {', '.join(made.kept)}" if made.kept else ""
    done = replace(_there(delivery, now), sent=version, reason=_still(delivery))
    return Settled(done, "order.amended", f"version {version}{kept}")


def refused(delivery: Delivery, reason: str, now: datetime) -> Settled:
    """Settle an order that is there and stays as it is: the ERP, or whoever has begun, allows no change.

    A change that the withdrawal had overtaken goes out after it.
    """
    back = delivery.task == "cancel"
    told = _told(f"{NOT_BACK if back else 'not changed: '}{reason}")
    stands = replace(_there(delivery, now), reason=told, withdraw="")
    if back and (delivery.sent or 0) < delivery.version:
        stands = replace(stands, state=DeliveryState.WAITING, attempt=0, since=None, due_at=now)
    return Settled(stands, "order.not_withdrawn" if back else "order.not_amended", told)


def withdrawn(delivery: Delivery, reason: str, now: datetime) -> Settled:
    """Settle as WITHDRAWN: it is cancelled in the ERP, or never was there."""
    done = replace(_there(delivery, now), state=DeliveryState.WITHDRAWN, reason=_told(delivery.withdraw))
    return Settled(done, "order.withdrawn", _told(reason))


def _there(delivery: Delivery, now: datetime) -> Delivery:
    return replace(delivery, state=DeliveryState.DELIVERED, reason="", lease_until=None, updated_at=now, sending=None)


def parked(delivery: Delivery, reason: str, now: datetime) -> Settled:
    """Settle as PARKED: a person must act, and reads why."""
    return changed(delivery, DeliveryState.PARKED, reason, now, timedelta(0))


def changed(delivery: Delivery, state: DeliveryState, reason: str, now: datetime, wait: timedelta) -> Settled:
    """Settle in any state that has a reason; it is due again after the wait."""
    told, still = _told(reason), _still(delivery)
    why = _told(f"{still}{_SINCE}{told}") if still else told
    news = replace(delivery, state=state, reason=why, due_at=now + wait, lease_until=None, updated_at=now)
    return Settled(news, f"order.{state.lower()}", told)


def _still(delivery: Delivery) -> str:
    """Give the refusal of a withdrawal that was told and still counts: nobody has asked for another since."""
    if delivery.task != "amend" or not delivery.reason.startswith(NOT_BACK):
        return ""
    return delivery.reason.split(_SINCE, 1)[0][:_LONGEST_STILL]


def _told(reason: str) -> str:
    return _CONTROL.sub(" ", reason)[:_LONGEST_REASON]


def write(tx: Tx, claimed: Claimed, result: Settled, now: datetime) -> bool:
    """Write a settled delivery, with its audit line where it has news; False when the claim was lost."""
    after, told = counted(claimed.delivery, result.delivery, result.detail)
    if not tx.settle(claimed.delivery, after):
        return False
    if told is not None:
        tx.note(result.event, claimed.delivery.key, now, told)
    return True
