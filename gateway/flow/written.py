"""Writing down what became of a request: patiently, fenced, with what an operator and the sweep must know."""

import contextlib
from collections.abc import Callable
from datetime import datetime

import structlog
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from gateway.core.delivery import Capabilities, Delivered, Idempotency, Rejected
from gateway.core.errors import Unreachable
from gateway.core.ports import Claimed, ErpAdapter, Store, T, Tx
from gateway.flow.attempt import Made
from gateway.flow.refusal import refused
from gateway.flow.settle import Policy, Settled, lingers, write
from gateway.flow.sweep import watch

log: structlog.stdlib.BoundLogger = structlog.get_logger()

_LOUD = {
    "order.parked": "delivery.parked",
    "order.not_amended": "delivery.not_amended",
    "order.not_withdrawn": "delivery.not_withdrawn",
}


async def write_patiently(store: Store, step: Callable[[Tx], T], policy: Policy) -> T:
    """Write a result; a store that is away or full is asked again until the lease is nearly over.

    Raises `Unreachable` then.
    """
    with contextlib.suppress(Unreachable):  # the rule, at a tenth of what the machinery of the exception costs
        return await store.write(step)
    trying = AsyncRetrying(
        retry=retry_if_exception_type(Unreachable),
        wait=wait_random_exponential(multiplier=0.1, max=5),
        stop=stop_after_delay(policy.margin.total_seconds()),
        reraise=True,
    )
    return await trying(store.write, step)


def keep(tx: Tx, claimed: Claimed, made: Made, result: Settled, erp: ErpAdapter, now: datetime) -> bool:
    """Write a result down, and remember to look for a ghost where there may be one; False when the claim was lost."""
    if not write(tx, claimed, result, now):
        return False
    if isinstance(made, Rejected):
        refused(tx, claimed, made, now)
    if _haunted(claimed, made, result.delivery.attempt, erp.capabilities):
        watch(tx, claimed.delivery.key, now, lingers(erp.capabilities))
    return True


def _haunted(claimed: Claimed, made: Made, sent: int, promised: Capabilities) -> bool:
    """Say whether a request before this one may have made the order too, or may still make it.

    `sent` counts the requests. What an ERP that honours keys has made only now never arrived before; or it honours
    none, and somebody has promised too much for it.
    """
    if sent <= 1 or claimed.delivery.task != "create":
        return False
    if made is None:
        return promised.idempotency is not Idempotency.NONE
    if not isinstance(made, Delivered):
        return False
    return promised.idempotency is Idempotency.LOOKUP or (promised.idempotency is Idempotency.HEADER and made.created)


def tell(erp: str, made: Made, result: Settled, *, ours: bool) -> None:
    """Log what an operator must know; a delivered order is silent."""
    key = result.delivery.key
    if not ours:
        log.warning("delivery.lease_lost", erp=erp, order=key, outcome=type(made).__name__)
    elif result.event in _LOUD:
        log.warning(_LOUD[result.event], erp=erp, order=key, why=result.detail)
    elif made is not None and not isinstance(made, Delivered):
        log.info("delivery.later", erp=erp, order=key, state=str(result.delivery.state), why=result.detail)
