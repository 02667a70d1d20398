"""What every ERP adapter must keep, whatever the ERP and the network do.

A test class inherits `ErpAdapterContract` and gives the fixtures `erp` (the adapter) and `plant` (the
running ERP with its faults and its oracle, see `erp_process.Erp`). `create` and `ask` say which requests
make an order and which ask for one, as the faults know them. Every promise is counted in the ERP's own database.
`OAuthContract` has more, for adapters that fetch tokens.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from time import monotonic
from typing import ClassVar

import pytest

from gateway.core.delivery import (
    Delivered,
    ErpRef,
    Idempotency,
    Outcome,
    Rejected,
    Throttled,
    Uncertain,
    Unsent,
)
from gateway.core.errors import Refused, Unreachable
from gateway.core.order import WorkOrder
from gateway.core.ports import ErpAdapter
from tests.erp_process import Erp, make_order

LOST = ("lost_reply", "lost_hang", "error_after", "truncated", "garbage", "ghost")
NOT_MADE = ("error_before", "hang", "cut", "unknown_field", "unavailable")


async def resolve(erp: ErpAdapter, order: WorkOrder, outcome: Outcome) -> Delivered:
    """End a doubt as delivery does: by the same key where it is honoured, else by asking after `settle`."""
    deadline = monotonic() + 20
    while not isinstance(outcome, Delivered):
        assert monotonic() < deadline, outcome
        if isinstance(outcome, Uncertain) and erp.capabilities.idempotency is Idempotency.LOOKUP:
            found = await _settled(erp, order.key)
            if found:
                return Delivered(found[0], created=False)
        [outcome] = await erp.deliver([order])
    return outcome


async def _settled(erp: ErpAdapter, key: str) -> list[ErpRef]:
    deadline = monotonic() + erp.capabilities.settle.total_seconds()
    while True:
        with suppress(Unreachable):
            found = await erp.find(key)
            if found or monotonic() > deadline:
                return found
        await asyncio.sleep(0.02)


class ErpAdapterContract:
    """The promises of `gateway.core.ports.ErpAdapter`."""

    create: ClassVar[dict[str, str]] = {"method": "POST", "path": "/api/orders"}
    ask: ClassVar[dict[str, str]] = {"method": "GET", "path": "/api/"}

    async def test_an_order_arrives_and_is_found_by_its_key(self, erp: ErpAdapter, plant: Erp) -> None:
        order = make_order("plain")
        [outcome] = await erp.deliver([order])
        assert isinstance(outcome, Delivered) and outcome.created
        assert [ref.number for ref in await erp.find(order.key)] == [outcome.ref.number]
        assert (await erp.status(outcome.ref)).number == outcome.ref.number
        assert plant.commits(order.key) == 1

    async def test_all_is_well_when_it_is(self, erp: ErpAdapter) -> None:
        assert await erp.verify() == []

    async def test_an_order_that_was_never_sent_is_not_found(self, erp: ErpAdapter) -> None:
        assert await erp.find(make_order("never sent").key) == []

    async def test_a_lost_reply_is_doubt_and_leaves_one_order(self, erp: ErpAdapter, plant: Erp) -> None:
        orders = await _in_doubt(erp, plant, self.create, LOST)
        assert {kind: plant.commits(order.key) for kind, order in orders.items()} == dict.fromkeys(LOST, 1)

    async def test_what_may_have_happened_is_doubt_although_it_did_not(self, erp: ErpAdapter, plant: Erp) -> None:
        orders = await _in_doubt(erp, plant, self.create, NOT_MADE)
        assert {kind: plant.commits(order.key) for kind, order in orders.items()} == dict.fromkeys(NOT_MADE, 1)

    async def test_a_race_of_eight_makes_one_order_each(self, erp: ErpAdapter, plant: Erp) -> None:
        orders = [make_order(f"race {number}", asset=f"M-{number}") for number in range(8)]
        outcomes = await asyncio.gather(*(erp.deliver([order]) for order in orders))
        assert all(isinstance(outcome, Delivered) for [outcome] in outcomes)
        assert [plant.commits(order.key) for order in orders] == [1] * 8

    async def test_the_same_order_eight_times_at_once_is_one_order_where_the_key_counts(
        self, erp: ErpAdapter, plant: Erp
    ) -> None:
        if erp.capabilities.idempotency is Idempotency.LOOKUP:
            return  # this ERP makes eight, which is why its lanes are never raced
        order = make_order("eight at once")
        plant.faults({"kind": "slow", "seconds": 0.3, **self.create})
        outcomes = [outcome for [outcome] in await asyncio.gather(*(erp.deliver([order]) for _ in range(8)))]
        assert all(isinstance(outcome, Delivered | Uncertain | Throttled) for outcome in outcomes)
        numbers = {(await resolve(erp, order, outcome)).ref.number for outcome in outcomes}
        assert len(numbers) == 1
        assert plant.commits(order.key) == 1

    @pytest.mark.parametrize(
        ("style", "retry_after", "least", "most"),
        [("seconds", 7, 7, 7), ("date", 30, 25, 31), ("absurd", 0, 3600, 3600), ("none", 0, None, None)],
    )
    async def test_a_throttling_erp_says_how_long(
        self, erp: ErpAdapter, plant: Erp, style: str, retry_after: float, least: float | None, most: float | None
    ) -> None:
        order = make_order(f"throttled {style}")
        plant.faults({"kind": "throttle", "style": style, "retry_after": retry_after, "count": 1, **self.create})
        [outcome] = await erp.deliver([order])
        assert isinstance(outcome, Throttled)
        if least is None or most is None:
            assert outcome.after is None
        else:
            assert outcome.after is not None
            assert timedelta(seconds=least) <= outcome.after <= timedelta(seconds=most)
        assert plant.commits(order.key) == 0

    async def test_unavailable_with_a_time_is_throttled(self, erp: ErpAdapter, plant: Erp) -> None:
        plant.faults({"kind": "unavailable", "retry_after": 3, "count": 1, **self.create})
        [outcome] = await erp.deliver([make_order("unavailable")])
        assert isinstance(outcome, Throttled) and outcome.after == timedelta(seconds=3)

    @pytest.mark.parametrize("kind", ["refuse", "forbidden", "redirect"])
    async def test_a_refused_order_has_a_reason_without_insides(self, erp: ErpAdapter, plant: Erp, kind: str) -> None:
        order = make_order(f"refused {kind}")
        plant.faults({"kind": kind, "count": 1, **self.create})
        [outcome] = await erp.deliver([order])
        assert isinstance(outcome, Rejected)
        assert outcome.reason.startswith("the ERP answered ")
        assert plant.commits(order.key) == 0

    async def test_a_refusal_names_the_field(self, erp: ErpAdapter, plant: Erp) -> None:
        plant.faults({"kind": "refuse", "count": 1, **self.create})
        [outcome] = await erp.deliver([make_order("refused field")])
        assert isinstance(outcome, Rejected)
        assert "field equipment" in outcome.reason.lower() and "equipment is blocked" in outcome.reason

    async def test_a_traceback_is_never_repeated(self, erp: ErpAdapter, plant: Erp) -> None:
        plant.faults({"kind": "unknown_field", "count": 1, **self.create})
        [outcome] = await erp.deliver([make_order("traceback")])
        assert isinstance(outcome, Uncertain)
        assert "Traceback" not in outcome.cause and "/opt" not in outcome.cause

    async def test_a_closed_port_is_surely_not_sent(self, erp: ErpAdapter, plant: Erp) -> None:
        order = make_order("closed port")
        await erp.verify()
        plant.down(0.6)
        outcome = await _until_down(erp, plant)
        assert isinstance(outcome, Unsent)
        await resolve(erp, order, outcome)
        assert plant.commits(order.key) == 1

    async def test_a_silent_erp_ends_at_the_deadline(self, erp: ErpAdapter, plant: Erp) -> None:
        order = make_order("silent")
        plant.faults({"kind": "hang", "seconds": 30, "count": 1, **self.create})
        began = monotonic()
        [outcome] = await erp.deliver([order])
        assert isinstance(outcome, Uncertain)
        assert monotonic() - began < 3

    async def test_a_question_that_is_not_answered_raises(self, erp: ErpAdapter, plant: Erp) -> None:
        plant.faults({"kind": "error_before", **self.ask})
        with pytest.raises(Unreachable):
            await erp.find("AN000000000000000000")
        plant.faults({"kind": "forbidden", **self.ask})
        with pytest.raises(Refused):
            await erp.find("AN000000000000000000")

    async def test_a_cancelled_delivery_ends_at_once_and_the_next_one_works(self, erp: ErpAdapter, plant: Erp) -> None:
        plant.faults({"kind": "hang", "seconds": 30, "count": 1, **self.create})
        task = asyncio.create_task(erp.deliver([make_order("cancelled")]))
        await plant.until(lambda state: state["faults"][0]["fired"] == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        [outcome] = await erp.deliver([make_order("after the cancelled one")])
        assert isinstance(outcome, Delivered)

    async def test_closing_twice_is_allowed(self, erp: ErpAdapter) -> None:
        await erp.close()
        await erp.close()


class OAuthContract(ErpAdapterContract):
    """The same, of an adapter that fetches its tokens from `plant`. `everything` is where all its paths begin."""

    everything: ClassVar[str] = "/api/"

    async def test_a_revoked_token_is_replaced_within_the_call(self, erp: ErpAdapter, plant: Erp) -> None:
        await erp.verify()
        before = plant.state()["token_requests"]
        plant.revoke()
        [outcome] = await erp.deliver([make_order("revoked")])
        assert isinstance(outcome, Delivered)
        assert plant.state()["token_requests"] == before + 1

    async def test_an_erp_that_refuses_every_token_is_asked_twice_and_left_alone(
        self, erp: ErpAdapter, plant: Erp
    ) -> None:
        order = make_order("always 401")
        plant.faults({"kind": "unauthorized", "path": self.everything})
        before = plant.state()["token_requests"]
        [outcome] = await erp.deliver([order])
        assert isinstance(outcome, Throttled)
        assert plant.state()["token_requests"] <= before + 2
        assert plant.commits(order.key) == 0

    async def test_without_a_token_nothing_is_sent(self, erp: ErpAdapter, plant: Erp) -> None:
        order = make_order("no token")
        plant.revoke()
        plant.tokens(fail=1)
        [outcome] = await erp.deliver([order])
        assert isinstance(outcome, Unsent)
        assert "503" in outcome.cause
        await resolve(erp, order, outcome)
        assert plant.commits(order.key) == 1


async def _in_doubt(erp: ErpAdapter, plant: Erp, create: dict[str, str], kinds: Sequence[str]) -> dict[str, WorkOrder]:
    """Send one order into each kind of trouble, see that each is in doubt, and end the doubt."""
    orders = {kind: make_order(f"doubt {kind}", asset=kind) for kind in kinds}
    plant.faults(
        *({"kind": kind, "count": 1, "seconds": 1.4, "reference": o.key, **create} for kind, o in orders.items())
    )
    outcomes = [outcome for [outcome] in await asyncio.gather(*(erp.deliver([order]) for order in orders.values()))]
    assert [kind for kind, told in zip(orders, outcomes, strict=True) if not isinstance(told, Uncertain)] == []
    await asyncio.gather(*(resolve(erp, *one) for one in zip(orders.values(), outcomes, strict=True)))
    return orders


async def _until_down(erp: ErpAdapter, plant: Erp) -> Outcome:
    """Deliver other orders until the port is closed; gives the first outcome of the closed one."""
    for number in range(1000):
        [outcome] = await erp.deliver([make_order(f"until down {number}")])
        if isinstance(outcome, Unsent):
            return outcome
        plant.faults()
    raise AssertionError("the ERP did not go down")
