"""Values in columns lead to the same windows as the same values one by one."""

from datetime import timedelta

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.batch import Batch, SourceGap
from gateway.core.reading import Quality, Reading
from gateway.core.window import Window
from gateway.flow.cut import Cutter
from tests.columns import columns
from tests.fakes import at, batch, block, value

TWO, THREE = timedelta(seconds=2), timedelta(seconds=3)

said = st.tuples(
    st.sampled_from(["M", "N"]),
    st.sampled_from(["speed", "load"]),
    st.integers(0, 900),
    st.one_of(st.none(), st.floats(-1e6, 1e6)),
    st.booleans(),
)


def reading(asset: str, tag: str, ms: int, number: float | None, second: int, *, repeated: bool) -> Reading:
    made = at(second + ms / 1000)
    quality, why = (Quality.BAD, "BadSensorFailure") if number is None else (Quality.GOOD, "")
    if number is not None and abs(number) > 5e5:
        quality, why = Quality.UNCERTAIN, "spike"
    told = repeated and number is not None
    return Reading(asset, tag, number, "rpm", quality, made, None, at(second + 1), why, 7, told)


def windows_of(batches: list[Batch]) -> list[Window]:
    cutter = Cutter(TWO, THREE)
    found: list[Window] = []
    for number, each in enumerate(batches, 1):
        cutter.add(number, each)
        found += cutter.ready()
    cutter.tick(at(100))
    return found + cutter.ready()


@settings(max_examples=150, deadline=None)
@given(st.lists(st.lists(said, min_size=1, max_size=12), min_size=1, max_size=6))
def test_columns_give_the_same_windows_as_readings(
    seconds: list[list[tuple[str, str, int, float | None, bool]]],
) -> None:
    one_by_one: list[Batch] = []
    in_columns: list[Batch] = []
    for second, rows in enumerate(seconds):
        # A heartbeat says that the LAST value holds: within one message it stands behind the values.
        readings = sorted(
            (reading(*row[:4], second, repeated=row[4]) for row in rows), key=lambda it: (it.repeated, it.at)
        )
        plain = Batch("line", second + 1, at(second + 1), tuple(readings))
        one_by_one.append(plain)
        in_columns.append(msgspec.structs.replace(plain, readings=(), series=(columns(readings, at(second + 1)),)))
        assert list(in_columns[-1].values()) == readings
        assert in_columns[-1].count == plain.count
    assert windows_of(in_columns) == windows_of(one_by_one)


def test_a_block_whose_clock_is_an_hour_ahead_falls_into_the_same_windows_as_the_others() -> None:
    cutter = Cutter(TWO, THREE)
    ahead = [
        msgspec.structs.replace(value("M", "speed", 3600 + n / 10, float(n)), received_at=at(2)) for n in range(20)
    ]
    cutter.add(1, Batch("line", 1, at(2), series=(columns(ahead, at(2)),)))
    cutter.tick(at(10))
    [*windows] = cutter.ready()
    assert {window.start for window in windows} <= {at(-2), at(0), at(2)}
    assert sum(scalar.count for window in windows for scalar in window.scalars) == 20


@pytest.mark.pain(4)
def test_a_gap_is_in_the_next_window_of_each_of_its_assets_even_when_it_is_long_over() -> None:
    cutter = Cutter(TWO, THREE)
    cutter.add(1, batch(1, 2, block("M", 0, 1.0, seconds=2)))
    assert len(cutter.ready()) == 1
    gap = SourceGap((("M", "speed"), ("M", "load")), at(2), at(40), "server restarted")
    back = batch(2, 42, block("M", 40, 1.0, seconds=2))
    cutter.add(2, msgspec.structs.replace(back, gaps=(gap,)))
    [window] = cutter.ready()
    assert [(found.tag, found.start, found.end, found.cause) for found in window.gaps] == [
        ("speed", at(2), at(40), "server restarted"),
        ("load", at(2), at(40), "server restarted"),
    ]
    cutter.add(3, batch(3, 44, block("M", 42, 1.0, seconds=2)))
    [after] = cutter.ready()
    assert after.gaps == ()


def test_what_history_filled_is_said_to_be_filled() -> None:
    cutter = Cutter(TWO, THREE)
    gap = SourceGap((("M", "speed"),), at(-9), at(0), "connection lost", "history")
    cutter.add(1, msgspec.structs.replace(batch(1, 2, block("M", 0, 1.0, seconds=2)), gaps=(gap,)))
    [window] = cutter.ready()
    assert [found.cause for found in window.gaps] == ["connection lost (filled from history)"]


@pytest.mark.pain(15)
def test_a_heartbeat_keeps_a_value_young_and_is_no_sample() -> None:
    cutter = Cutter(TWO, THREE)
    first = value("M", "speed", 0.5, 1500.0)
    cutter.add(1, batch(1, 1, first))
    beat = msgspec.structs.replace(first, received_at=at(90), repeated=True)
    cutter.add(2, batch(2, 90, beat))
    cutter.add(3, batch(3, 92, block("M", 90, 1.0, seconds=2)))
    cutter.tick(at(100))
    windows = {window.start: window for window in cutter.ready()}
    assert windows[at(0)].scalar("speed").count == 1
    held = windows[at(90)].scalar("speed")
    assert held is not None
    assert (held.last, held.age_s) == (1500.0, 2.0)


def test_an_uncertain_value_is_a_number_and_its_doubt_is_said() -> None:
    doubtful = msgspec.structs.replace(value("M", "speed", 1, 1500.0), quality=Quality.UNCERTAIN, why="stuck")
    for told in (batch(1, 2, doubtful), Batch("line", 1, at(2), series=(columns([doubtful], at(2)),))):
        cutter = Cutter(TWO, THREE)
        cutter.add(1, told)
        cutter.tick(at(9))
        [window] = cutter.ready()
        assert window.scalar("speed") is not None
        assert [gap.cause for gap in window.gaps] == ["uncertain: stuck"]


@pytest.mark.pain(16)
def test_a_window_can_be_left_out_when_samples_are_missing_or_say_what_is_missing() -> None:
    def lacking(*, skip: bool) -> Cutter:
        cutter = Cutter(TWO, THREE, skip=skip)
        cutter.add(1, batch(1, 0.5, block("M", 0, 1.0, seconds=0.5), value("M", "speed", 0, 1500.0)))
        cutter.add(2, batch(2, 4, block("M", 1, 2.0, seconds=3)))
        return cutter

    degraded, skipping = lacking(skip=False), lacking(skip=True)
    assert [(window.start, len(window.gaps)) for window in degraded.ready()] == [(at(0), 1), (at(2), 0)]
    assert [window.start for window in skipping.ready()] == [at(2)]
    assert (degraded.skipped, skipping.skipped) == (0, 1)
