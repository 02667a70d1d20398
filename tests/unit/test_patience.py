"""An ailing ERP is left alone, probed ever more rarely, and asked again at once when it answers."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.delivery import Delivered, ErpRef, Outcome, Rejected, Throttled, Uncertain, Unsent
from gateway.flow.patience import DOUBTS, PROBE, Patience

START = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
WELL = Delivered(ErpRef("AN", "1"))


class Clock:
    def __init__(self) -> None:
        self.at = START

    def __call__(self) -> datetime:
        return self.at


def test_a_healthy_erp_gets_what_is_wanted() -> None:
    patience = Patience(Clock(), timedelta(seconds=30))
    patience.note(WELL)
    assert patience.grant(8) == 8 and patience.why == ""


def test_one_that_is_away_gets_nothing_then_one_probe_at_a_time() -> None:
    clock = Clock()
    patience = Patience(clock, timedelta(seconds=30))
    patience.note(Unsent("not sent: ConnectError"))
    assert patience.grant(8) == 0 and patience.why == "not sent: ConnectError"
    clock.at += patience.left
    assert [patience.grant(8), patience.grant(8)] == [1, 0]
    patience.note(WELL)
    assert patience.grant(8) == 8 and patience.why == ""


def test_a_probe_that_was_not_needed_is_given_back() -> None:
    clock = Clock()
    patience = Patience(clock, timedelta(seconds=30))
    patience.note(Unsent("away"))
    clock.at += patience.left
    assert patience.grant(8) == 1
    patience.unused()
    assert patience.grant(8) == 1


@pytest.mark.parametrize("ails", [False, True])
def test_a_grant_that_is_given_back_cuts_no_wait_that_another_learned_of_meanwhile(*, ails: bool) -> None:
    clock = Clock()
    patience = Patience(clock, timedelta(seconds=30))
    if ails:
        patience.note(Unsent("away"))
        clock.at += patience.left
    assert patience.grant(8) > 0
    patience.note(Throttled(timedelta(minutes=7)))
    patience.unused()
    assert patience.left == timedelta(minutes=7)


def test_the_time_that_an_erp_asks_for_is_kept() -> None:
    patience = Patience(Clock(), timedelta(seconds=30))
    patience.note(Throttled(timedelta(minutes=7)))
    assert patience.left == timedelta(minutes=7)


def test_one_order_in_doubt_is_its_own_trouble_and_many_are_the_erps() -> None:
    patience = Patience(Clock(), timedelta(seconds=30))
    for _ in range(DOUBTS - 1):
        patience.note(Uncertain("500"))
    assert patience.grant(8) == 8
    patience.note(Uncertain("500"))
    assert patience.grant(8) == 0


def test_a_refusal_is_an_answer_of_a_healthy_erp() -> None:
    patience = Patience(Clock(), timedelta(seconds=30))
    patience.note(Unsent("away"))
    patience.note(Rejected("422"))
    assert patience.grant(8) == 8


def test_no_one_is_left_alone_for_longer_than_an_hour() -> None:
    patience = Patience(Clock(), timedelta(seconds=30))
    patience.note(Throttled(timedelta(days=2)))
    assert patience.left == timedelta(hours=1)


@pytest.mark.parametrize("jump", [timedelta(seconds=1), timedelta(days=2)])
def test_a_clock_that_goes_back_does_not_stall(jump: timedelta) -> None:
    clock = Clock()
    patience = Patience(clock, timedelta(seconds=30))
    patience.note(Throttled(timedelta(minutes=1)))
    clock.at -= jump
    assert patience.grant(8) == 1
    clock.at -= jump
    assert patience.grant(8) == 1
    clock.at += PROBE / 2
    assert patience.grant(8) == 0


OUTCOMES: st.SearchStrategy[Outcome] = st.sampled_from(
    [WELL, Rejected("no"), Unsent("x"), Uncertain("x"), Throttled(None)]
)


@given(st.lists(st.tuples(OUTCOMES, st.floats(0, 120)), max_size=60))
def test_while_it_ails_at_most_one_probe_a_second_leaves(story: list[tuple[Outcome, float]]) -> None:
    clock = Clock()
    patience = Patience(clock, timedelta(seconds=30))
    probes = []
    for outcome, seconds in story:
        granted = patience.grant(8)
        assert granted in (0, 1, 8)
        if granted == 1:
            probes.append(clock.at)
        patience.note(outcome)
        assert timedelta(0) <= patience.left <= timedelta(seconds=30)
        clock.at += timedelta(seconds=seconds)
    assert all(later - earlier >= PROBE for earlier, later in pairwise(probes))
