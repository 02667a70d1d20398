"""The limit on requests in flight, and how claimed orders are put into requests."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.delivery import (
    Delivered,
    Delivery,
    DeliveryState,
    ErpRef,
    Outcome,
    Rejected,
    Throttled,
    Uncertain,
    Unsent,
)
from gateway.core.ports import Claimed
from gateway.flow.deliver import batches
from gateway.flow.limit import Limit
from tests.contracts.store_rows import NOW, order

DONE = Delivered(ErpRef("K", "7"))
OUTCOMES: list[Outcome] = [DONE, Rejected("no"), Throttled(None), Unsent("away"), Uncertain("late")]


def serve(limit: Limit, capacity: int, turns: int, service_s: float = 0.02) -> None:
    """Answer as a server does that works on so many requests at once and lets the others wait."""
    for _ in range(turns):
        flying = limit.lanes
        limit.note(service_s * max(1.0, flying / capacity), flying, [DONE])


@given(st.integers(1, 64), st.lists(st.tuples(st.floats(0, 100), st.sampled_from(OUTCOMES)), max_size=200))
def test_whatever_happens_the_limit_stays_between_one_and_the_most(
    most: int, answers: list[tuple[float, Outcome]]
) -> None:
    limit = Limit(most)
    for took_s, made in answers:
        limit.note(took_s, limit.lanes, [made])
        assert 1 <= limit.lanes <= most


def test_a_server_that_stays_as_fast_gets_all_that_is_allowed() -> None:
    limit = Limit(32)
    serve(limit, capacity=100, turns=200)
    assert limit.lanes == 32


def test_a_server_that_begins_to_queue_is_asked_less_at_once() -> None:
    limit = Limit(64)
    serve(limit, capacity=100, turns=300)
    for _ in range(30):
        limit.note(0.02 * 20, limit.lanes, [DONE])  # something else keeps it busy
    assert limit.lanes <= 24


def test_a_limit_that_was_cut_grows_back_when_all_is_well_again() -> None:
    limit = Limit(16)
    serve(limit, capacity=100, turns=100)
    for _ in range(10):
        limit.note(0.02, limit.lanes, [Throttled(timedelta(seconds=1))])
    assert limit.lanes == 1
    serve(limit, capacity=100, turns=100)
    assert limit.lanes == 16


def test_a_limit_that_nobody_needs_does_not_grow_and_one_that_nobody_answered_does_not_shrink() -> None:
    limit = Limit(64)
    for _ in range(100):
        limit.note(0.02, 1, [DONE])
        limit.note(0.0, 1, [Unsent("no token")])
    assert limit.lanes == 4


def test_what_nobody_was_asked_for_says_nothing_of_how_fast_an_erp_is() -> None:
    limit = Limit(16)
    serve(limit, capacity=100, turns=100)
    for _ in range(300):
        limit.note(0.0, 4, [None])  # an order that was taken back before it left
    serve(limit, capacity=100, turns=5)
    assert limit.lanes == 16


def claimed(number: int, lane: str, attempt: int = 1, erp_number: str | None = None) -> Claimed:
    key = f"{lane}{number}"
    delivery = Delivery(key, lane, "erp", DeliveryState.SENDING, attempt, NOW, erp_number=erp_number)
    return Claimed(delivery, order(key, lane))


@given(
    st.integers(1, 30),
    st.lists(st.tuples(st.sampled_from("ABCDEFGH"), st.integers(1, 2), st.sampled_from([None, "7"])), max_size=30),
)
def test_orders_of_a_lane_share_a_request_in_order_and_nothing_is_left_out(
    size: int, rows: list[tuple[str, int, str | None]]
) -> None:
    taken = [claimed(n, lane, attempt, number) for n, (lane, attempt, number) in enumerate(rows)]
    per_lane: dict[str, int] = {}
    kept = []
    for one in taken:
        per_lane[one.delivery.lane] = per_lane.get(one.delivery.lane, 0) + 1
        if per_lane[one.delivery.lane] <= size:
            kept.append(one)
    made = batches(kept, size)
    assert sorted(one.order.key for batch in made for one in batch) == sorted(one.order.key for one in kept)
    assert all(len(batch) <= size for batch in made)
    seen: dict[str, int] = {}
    for number, batch in enumerate(made):
        for one in batch:
            if one.delivery.task == "create" and one.delivery.attempt == 1:
                assert seen.setdefault(one.delivery.lane, number) == number
    for batch in made:
        for lane in {one.delivery.lane for one in batch}:
            mine = [int(one.order.key[1:]) for one in batch if one.delivery.lane == lane]
            assert mine == sorted(mine)
