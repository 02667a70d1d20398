"""How old something is, though the wall clock is set: never more for sure, never less at most, than it truly is."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.flow.ages import Ages

START = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)


class Clocks:
    """A wall clock that a test sets, and one that nobody sets."""

    def __init__(self) -> None:
        self.at, self.seconds = START, 1000.0

    def wall(self) -> datetime:
        return self.at

    def ticks(self) -> float:
        return self.seconds

    def run(self, time: timedelta) -> None:
        self.at += time
        self.seconds += time.total_seconds()


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture
def ages(clocks: Clocks) -> Ages:
    ages = Ages(clocks.wall, clocks.ticks)
    ages.look()
    return ages


def told(ages: Ages, since: datetime) -> tuple[timedelta, timedelta]:
    return ages.at_least(since), ages.at_most(since)


def test_time_that_passes_is_an_age(clocks: Clocks, ages: Ages) -> None:
    clocks.run(80 * HOUR)
    assert told(ages, START) == (80 * HOUR, 80 * HOUR)
    assert ages.look() == clocks.at


def test_a_clock_that_jumps_ahead_makes_nothing_older_for_sure(clocks: Clocks, ages: Ages) -> None:
    clocks.run(HOUR)
    clocks.at += 3 * DAY
    assert told(ages, START) == (HOUR, HOUR + 3 * DAY)
    since = clocks.at
    clocks.run(HOUR)
    assert told(ages, START) == (2 * HOUR, 2 * HOUR + 3 * DAY)
    assert told(ages, since) == (HOUR, HOUR)


def test_a_clock_that_goes_back_makes_nothing_younger_at_most(clocks: Clocks, ages: Ages) -> None:
    clocks.run(14 * HOUR)
    clocks.at -= 6 * HOUR
    assert told(ages, START) == (8 * HOUR, 14 * HOUR)
    clocks.run(HOUR)
    assert ages.at_most(START) == 15 * HOUR


def test_a_time_that_has_yet_to_come_has_no_age_until_a_step_back_explains_it(clocks: Clocks, ages: Ages) -> None:
    assert ages.at_most(START + HOUR) == -HOUR
    clocks.run(2 * HOUR)
    ages.look()
    clocks.at -= DAY
    assert ages.at_most(START + HOUR) == HOUR


def test_what_is_written_between_two_looks_is_from_before_the_step(clocks: Clocks, ages: Ages) -> None:
    clocks.run(timedelta(seconds=0.5))
    since = clocks.at
    clocks.run(timedelta(seconds=0.2))
    clocks.at += 3 * DAY
    assert ages.at_least(since) < timedelta(seconds=1)


def test_a_clock_that_is_slewed_or_a_slow_look_is_no_step(clocks: Clocks, ages: Ages) -> None:
    for _ in range(50):
        clocks.run(HOUR)
        clocks.at += timedelta(seconds=1)
        assert ages.at_least(START) == ages.at_most(START) == clocks.at - START


def test_without_a_second_clock_the_first_is_believed(clocks: Clocks) -> None:
    ages = Ages(clocks.wall)
    ages.look()
    clocks.at += 3 * DAY
    assert told(ages, START) == (3 * DAY, 3 * DAY)


STEPS = st.just(timedelta(0)) | st.timedeltas(timedelta(minutes=2), 4 * DAY) | st.timedeltas(-4 * DAY, -HOUR)


@given(st.lists(st.tuples(st.timedeltas(timedelta(0), DAY), STEPS), min_size=1, max_size=120), st.data())
def test_however_often_a_clock_is_set_the_true_age_lies_between(
    story: list[tuple[timedelta, timedelta]], data: st.DataObject
) -> None:
    clocks = Clocks()
    ages = Ages(clocks.wall, clocks.ticks)
    written = []
    for passes, step in story:
        ages.look()
        clocks.run(passes)
        written.append((clocks.at, clocks.seconds))
        ages.look()
        clocks.at += step
    ages.look()
    since, ticks = data.draw(st.sampled_from(written))
    truly = timedelta(seconds=clocks.seconds - ticks)
    near = timedelta(milliseconds=1)
    assert ages.at_least(since) <= truly + near
    assert ages.at_most(since) >= truly - near
