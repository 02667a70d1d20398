"""What every ERP adapter must keep, whatever the ERP and the network do.

A test class inherits `ErpAdapterContract`. It gives

- `open(plant)`: makes the adapter; called again where a second one must go on (after a crash);
- the fixture `plant`: the running ERP with its faults and its oracle (`tests.erp_plant.Plant`);
- the fixture `planner`: a person at that ERP (`tests.erp_plant.Planner`; those there are: `tests.erp_planners`);
- `create`, `ask`, `change`, `withdraw`: which requests make an order, ask for one, change one and take one back, as
  the faults know them; `bad`: fields of an order that the ERP refuses; `everything`: where all its paths begin (the
  first part of that of `ask`, when it is empty).

A class may give the fixture `erp` itself, where opening is not enough. Every promise is counted in the ERP's own
database. Each test is about one declared capability: where it is not declared, the opposite must be so. `OAuthContract`
has more, for adapters that fetch tokens.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import suppress
from datetime import timedelta
from time import monotonic
from typing import Any, ClassVar

import pytest

from gateway.core.delivery import Delivered, Idempotency, Outcome, Rejected, Throttled, Uncertain, Unsent
from gateway.core.errors import Refused, Unreachable
from gateway.core.order import WorkOrder
from gateway.core.ports import ErpAdapter, Tried
from tests.contracts.erp_changes import ErpChanges, delivered
from tests.erp_plant import Planner, Plant, keyed, looked_up, resolve
from tests.erp_process import Erp, make_order

LOST = ("lost_reply", "lost_hang", "error_after", "truncated", "garbage", "ghost")
NOT_MADE = ("error_before", "hang", "cut", "unknown_field", "unavailable")


class ErpAdapterContract(ErpChanges):
    """The promises of `gateway.core.ports.ErpAdapter`."""

    create: ClassVar[dict[str, str]] = {"method": "POST", "path": "/api/orders"}
    ask: ClassVar[dict[str, str]] = {"method": "GET", "path": "/api/"}
    bad: ClassVar[dict[str, Any]] = {"priority": 9}
    everything: ClassVar[str] = ""

    def open(self, plant: Any) -> ErpAdapter:
        """Make an adapter for this ERP."""
        raise NotImplementedError("give `open(plant)`: a delivery after a crash is another adapter's")

    @pytest.fixture
    async def erp(self, plant: Plant) -> AsyncIterator[ErpAdapter]:
        adapter = self.open(plant)
        yield adapter
        await adapter.close()

    async def test_an_order_arrives_and_is_found_by_its_key(self, erp: ErpAdapter, plant: Plant) -> None:
        order = make_order("plain")
        [outcome] = await erp.deliver([order])
        assert isinstance(outcome, Delivered) and outcome.created
        if looked_up(erp):
            assert [ref.number for ref in await erp.find(order.key)] == [outcome.ref.number]
        else:
            with pytest.raises(Refused):
                await erp.find(order.key)
        assert (await erp.status(outcome.ref)).number == outcome.ref.number
        assert plant.commits(order.key) == 1

    async def test_a_whole_key_arrives(self, erp: ErpAdapter, plant: Plant, planner: Planner) -> None:
        order = make_order("suite: whole key")
        assert len(order.key) == 20 <= erp.capabilities.key_limit
        [outcome] = await erp.deliver([order])
        assert isinstance(outcome, Delivered) and outcome.ref.key == order.key
        assert plant.commits(order.key) == 1
        shown = (outcome.ref.number, *(str(value) for value in _leaves(planner.fields(outcome.ref))))
        assert any(order.key in value for value in shown)

    async def test_all_is_well_when_it_is(self, erp: ErpAdapter) -> None:
        assert await erp.verify() == []

    async def test_no_way_that_is_right_is_called_wrong(self, erp: ErpAdapter) -> None:
        await erp.verify()
        # The addresses of most adapters are their own and not the settings': there is nothing to try.
        ways = await erp.ways() if isinstance(erp, Tried) else None
        assert ways is None or {"create", "read"} <= {way.what for way in ways}
        assert [way for way in ways or () if way.right is False] == []

    async def test_an_order_that_was_never_sent_is_not_found(self, erp: ErpAdapter) -> None:
        if looked_up(erp):
            assert await erp.find(make_order("never sent").key) == []
        else:
            with pytest.raises(Refused):
                await erp.find(make_order("never sent").key)

    async def test_a_lost_reply_is_doubt_and_leaves_one_order(self, erp: ErpAdapter, plant: Plant) -> None:
        orders = await _in_doubt(erp, plant, self.create, LOST)
        assert {kind: plant.commits(order.key) for kind, order in orders.items()} == dict.fromkeys(LOST, 1)

    async def test_what_may_have_happened_is_doubt_although_it_did_not(self, erp: ErpAdapter, plant: Plant) -> None:
        orders = await _in_doubt(erp, plant, self.create, NOT_MADE)
        ends = 1 if looked_up(erp) else 0  # where nobody can ask, a person has to
        assert {kind: plant.commits(order.key) for kind, order in orders.items()} == dict.fromkeys(NOT_MADE, ends)

    async def test_a_crash_between_sending_and_marking_leaves_one_order(self, erp: ErpAdapter, plant: Plant) -> None:
        order = make_order("suite: crash")
        plant.faults({"kind": "lost_hang", "seconds": 30, "count": 1, **self.create})
        sending = asyncio.create_task(erp.deliver([order]))
        await plant.until(lambda state: state["commits"].get(order.key) == 1 or state["faults"][0]["fired"] == 1)
        sending.cancel()
        with suppress(asyncio.CancelledError):
            await sending
        await erp.close()
        await plant.until(lambda state: state["faults"][0]["fired"] == 1)
        again = self.open(plant)
        if looked_up(again):
            # What a lease that ran out means: nobody knows.
            assert (await resolve(again, order, Uncertain("the gateway was killed"))).ref.key == order.key
        await plant.until(lambda state: state["commits"].get(order.key, 0) >= 1)
        assert plant.commits(order.key) == 1
        await again.close()

    async def test_the_same_order_twice_is_one_order_where_the_key_counts(self, erp: ErpAdapter, plant: Plant) -> None:
        order = make_order("suite: twice in a row")
        [first] = await erp.deliver([order])
        [second] = await erp.deliver([order])
        assert isinstance(first, Delivered) and isinstance(second, Delivered)
        if keyed(erp):
            assert first.ref.number == second.ref.number and not second.created
            assert plant.commits(order.key) == 1
        elif looked_up(erp):
            # It may look first. Where it does not, both are found: the sweep depends on it.
            assert len(await erp.find(order.key)) == plant.commits(order.key)

    async def test_a_request_that_was_given_up_is_carried_out_within_the_declared_time(
        self, erp: ErpAdapter, plant: Plant
    ) -> None:
        order = make_order("suite: slow commit")
        plant.faults({"kind": "ghost", "seconds": 1.4, "count": 1, **self.create})
        [outcome] = await erp.deliver([order])
        given_up = monotonic()
        assert isinstance(outcome, Uncertain)
        if not keyed(erp):
            await plant.until(lambda state: state["commits"].get(order.key, 0) == 1)
        if erp.capabilities.idempotency is Idempotency.LOOKUP:
            assert monotonic() - given_up < erp.capabilities.settle.total_seconds()
        if looked_up(erp):
            await resolve(erp, order, outcome)
        assert plant.commits(order.key) == 1

    async def test_a_race_of_eight_makes_one_order_each(self, erp: ErpAdapter, plant: Plant) -> None:
        orders = [make_order(f"race {number}", asset=f"M-{number}") for number in range(8)]
        outcomes = await asyncio.gather(*(erp.deliver([order]) for order in orders))
        assert all(isinstance(outcome, Delivered) for [outcome] in outcomes)
        assert [plant.commits(order.key) for order in orders] == [1] * 8

    async def test_the_same_order_eight_times_at_once_is_one_order_where_the_key_counts(
        self, erp: ErpAdapter, plant: Plant
    ) -> None:
        order = make_order("eight at once")
        plant.faults({"kind": "slow", "seconds": 0.3, **self.create})
        outcomes = [outcome for [outcome] in await asyncio.gather(*(erp.deliver([order]) for _ in range(8)))]
        assert all(isinstance(outcome, Delivered | Uncertain | Throttled) for outcome in outcomes)
        if not keyed(erp):
            # This ERP may make eight, which is why its lanes are never raced. They are seen, at least.
            made = plant.commits(order.key)
            assert made >= 1 and (not looked_up(erp) or len(await erp.find(order.key)) >= min(made, 2))
            return
        numbers = {(await resolve(erp, order, outcome)).ref.number for outcome in outcomes}
        assert len(numbers) == 1
        assert plant.commits(order.key) == 1

    @pytest.mark.parametrize(
        ("style", "retry_after", "least", "most"),
        [("seconds", 7, 7, 7), ("date", 30, 25, 31), ("absurd", 0, 3600, 3600), ("none", 0, None, None)],
    )
    async def test_a_throttling_erp_says_how_long(
        self, erp: ErpAdapter, plant: Plant, style: str, retry_after: float, least: float | None, most: float | None
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

    async def test_unavailable_with_a_time_is_throttled(self, erp: ErpAdapter, plant: Plant) -> None:
        plant.faults({"kind": "unavailable", "retry_after": 3, "count": 1, **self.create})
        [outcome] = await erp.deliver([make_order("unavailable")])
        assert isinstance(outcome, Throttled) and outcome.after == timedelta(seconds=3)

    @pytest.mark.parametrize("kind", ["refuse", "forbidden", "redirect"])
    async def test_a_refused_order_has_a_reason_without_insides(self, erp: ErpAdapter, plant: Plant, kind: str) -> None:
        order = make_order(f"refused {kind}")
        plant.faults({"kind": kind, "count": 1, **self.create})
        [outcome] = await erp.deliver([order])
        assert isinstance(outcome, Rejected)
        assert outcome.reason.startswith("the ERP answered ")
        assert plant.commits(order.key) == 0

    async def test_a_refusal_names_the_field(self, erp: ErpAdapter, plant: Plant) -> None:
        plant.faults({"kind": "refuse", "count": 1, **self.create})
        [outcome] = await erp.deliver([make_order("refused field")])
        assert isinstance(outcome, Rejected)
        assert "field equipment" in outcome.reason.lower() and "equipment is blocked" in outcome.reason

    async def test_a_traceback_is_never_repeated(self, erp: ErpAdapter, plant: Plant) -> None:
        plant.faults({"kind": "unknown_field", "count": 1, **self.create})
        [outcome] = await erp.deliver([make_order("traceback")])
        assert isinstance(outcome, Uncertain)
        assert "Traceback" not in outcome.cause and "/opt" not in outcome.cause

    async def test_a_closed_port_is_surely_not_sent(self, erp: ErpAdapter, plant: Plant) -> None:
        order = make_order("closed port")
        await erp.verify()
        plant.down(0.6)
        outcome = await _until_down(erp, plant)
        assert isinstance(outcome, Unsent)
        await resolve(erp, order, outcome)
        assert plant.commits(order.key) == 1

    async def test_one_bad_order_does_not_keep_the_others_out(self, erp: ErpAdapter, plant: Plant) -> None:
        names = ["first", "second", "bad", "fourth", "last"]
        orders = [
            make_order(f"suite: {name}", **({"asset": f"M-{number:02d}"} | (self.bad if name == "bad" else {})))
            for number, name in enumerate(names, 1)
        ]
        outcomes = await erp.deliver(orders)
        assert [isinstance(outcome, Delivered) for outcome in outcomes] == [name != "bad" for name in names]
        assert isinstance(outcomes[2], Rejected) and outcomes[2].reason
        keys = [outcome.ref.key for outcome in outcomes if isinstance(outcome, Delivered)]
        assert keys == [order.key for order, name in zip(orders, names, strict=True) if name != "bad"]
        assert [plant.commits(order.key) for order in orders] == [int(name != "bad") for name in names]

    async def test_a_full_batch_has_an_outcome_for_each_order_in_order(self, erp: ErpAdapter, plant: Plant) -> None:
        size = min(erp.capabilities.batch, 12)
        orders = [make_order(f"suite: full batch {number}", asset=f"M-{number:02d}") for number in range(1, size + 1)]
        outcomes = await erp.deliver(orders)
        assert [outcome.ref.key for outcome in outcomes if isinstance(outcome, Delivered)] == [o.key for o in orders]
        assert len({outcome.ref.number for outcome in outcomes if isinstance(outcome, Delivered)}) == size
        commits = plant.state()["commits"]
        assert [commits.get(order.key) for order in orders] == [1] * size

    async def test_credentials_that_count_no_more_pause_the_erp_and_make_nothing(
        self, erp: ErpAdapter, plant: Plant
    ) -> None:
        order = make_order("suite: expired")
        everything = self.everything or f"/{self.ask['path'].split('/')[1]}/"
        plant.faults({"kind": "unauthorized", "path": everything})
        [outcome] = await erp.deliver([order])
        assert isinstance(outcome, Throttled) and "401" in outcome.cause
        assert plant.commits(order.key) == 0
        plant.faults()
        [outcome] = await erp.deliver([order])
        assert isinstance(outcome, Delivered)

    async def test_a_silent_erp_ends_at_the_deadline(self, erp: ErpAdapter, plant: Plant) -> None:
        order = make_order("silent")
        plant.faults({"kind": "hang", "seconds": 30, "count": 1, **self.create})
        began = monotonic()
        [outcome] = await erp.deliver([order])
        assert isinstance(outcome, Uncertain)
        assert monotonic() - began < min(3, erp.capabilities.deadline.total_seconds())

    async def test_a_question_that_is_not_answered_raises(self, erp: ErpAdapter, plant: Plant) -> None:
        ref, _ = await delivered(erp, "suite: asked about")
        for kind, error in (("error_before", Unreachable), ("forbidden", Refused)):
            plant.faults({"kind": kind, **self.ask})
            with pytest.raises(error):
                await (erp.find(ref.key) if looked_up(erp) else erp.status(ref))

    async def test_a_cancelled_delivery_ends_at_once_and_the_next_one_works(
        self, erp: ErpAdapter, plant: Plant
    ) -> None:
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
    """The same, of an adapter that fetches its tokens from `plant`."""

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


def _leaves(value: object) -> Iterator[object]:
    if isinstance(value, dict):
        for one in value.values():
            yield from _leaves(one)
    else:
        yield value


async def _in_doubt(
    erp: ErpAdapter, plant: Plant, create: dict[str, str], kinds: Sequence[str]
) -> dict[str, WorkOrder]:
    """Send one order into each kind of trouble, see that each is in doubt, and end the doubt."""
    orders = {kind: make_order(f"doubt {kind}", asset=kind) for kind in kinds}
    plant.faults(
        *({"kind": kind, "count": 1, "seconds": 1.4, "reference": o.key, **create} for kind, o in orders.items())
    )
    outcomes = [outcome for [outcome] in await asyncio.gather(*(erp.deliver([order]) for order in orders.values()))]
    assert [kind for kind, told in zip(orders, outcomes, strict=True) if not isinstance(told, Uncertain)] == []
    if looked_up(erp):
        await asyncio.gather(*(resolve(erp, *one) for one in zip(orders.values(), outcomes, strict=True)))
    else:
        late = orders.get("ghost")
        if late is not None:
            await plant.until(lambda state: state["commits"].get(late.key, 0) == 1)
    return orders


async def _until_down(erp: ErpAdapter, plant: Plant) -> Outcome:
    """Deliver other orders until the port is closed; gives the first outcome of the closed one."""
    for number in range(1000):
        [outcome] = await erp.deliver([make_order(f"until down {number}")])
        if isinstance(outcome, Unsent):
            return outcome
        plant.faults()
    raise AssertionError("the ERP did not go down")
