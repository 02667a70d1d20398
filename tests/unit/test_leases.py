"""No adapter, whoever wrote it, may hold an order for longer than the store believes a lease."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from gateway.core.delivery import Capabilities, Idempotency
from gateway.flow.settle import Policy, lease_of
from gateway.runtime.faults import Fault
from gateway.runtime.preflight import preflight
from gateway.runtime.settings import Settings, parse

MINUTE = timedelta(minutes=1)


class Stranger:
    """The settings of an adapter of somebody else, and the adapter."""

    name = "mes"

    def __init__(self, deadline: timedelta, **promises: object) -> None:
        given: dict[str, object] = {"idempotency": Idempotency.LOOKUP, "deadline": deadline, **promises}
        self.capabilities = Capabilities(**given)  # type: ignore[arg-type]  # a table of test values
        self.deadline = deadline

    def open(self) -> "Stranger":
        return self


class Receiver(Stranger):
    """One that takes production orders, too."""

    async def produce(self, order: object) -> None: ...

    async def job(self, order_id: str) -> None: ...

    async def close(self) -> None: ...


def faults(stranger: Stranger, receiver: str = "") -> list[Fault]:
    settings: Settings = parse('[site]\nid = "SZ1"\n[language]\nengine = "lite"\n')
    production = replace(settings.production, to=receiver)
    return preflight(replace(settings, erp={"mes": stranger}, production=production))


@pytest.mark.parametrize(
    ("stranger", "fits"),
    [
        (Stranger(14 * MINUTE, settle=31 * MINUTE), True),
        (Stranger(14 * MINUTE, settle=32 * MINUTE), False),
        (Stranger(29 * MINUTE), True),
        (Stranger(30 * MINUTE), False),
        (Stranger(29 * MINUTE, idempotency=Idempotency.CLIENT_ID, settle=32 * MINUTE), True),
        (Stranger(MINUTE, idempotency=Idempotency.CLIENT_ID, settle=61 * MINUTE), False),
    ],
)
def test_an_erp_that_would_hold_an_order_for_more_than_an_hour_is_refused(stranger: Stranger, *, fits: bool) -> None:
    found = faults(stranger)
    assert [fault.at for fault in found] == ([] if fits else ["erp.mes"])
    assert all("more than an hour" in fault.what for fault in found)
    assert (lease_of(stranger.capabilities, Policy()) <= timedelta(hours=1)) or not fits


def test_a_receiver_of_production_orders_is_held_to_the_same() -> None:
    fast = {"idempotency": Idempotency.CLIENT_ID}
    assert faults(Receiver(20 * MINUTE, **fast), "erp.mes") == []
    slow = Receiver(20 * MINUTE, **fast)
    slow.deadline = timedelta(minutes=59, seconds=51)
    [fault] = faults(slow, "erp.mes")
    assert (fault.at, "production order" in fault.what) == ("erp.mes", True)
    [fault] = faults(Stranger(MINUTE), "erp.mes")
    assert fault.at == "production.to"
