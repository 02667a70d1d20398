"""Cutting streams into windows."""

import struct
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from gateway.core.reading import Quality, Waveform
from gateway.flow.cut import Cutter
from tests.fakes import at, batch, block, frame, line, value

TWO = timedelta(seconds=2)
THREE = timedelta(seconds=3)


def levels(samples: bytes) -> tuple[float, ...]:
    return struct.unpack(f"<{len(samples) // 4}f", samples)


def test_a_window_closes_as_soon_as_its_waveform_has_passed_the_end() -> None:
    cutter = Cutter(TWO, THREE)
    cutter.add(1, batch(1, 1, block("M", 0, 1.0)))
    assert cutter.ready() == []
    cutter.add(2, batch(2, 2, block("M", 1, 2.0)))
    [window] = cutter.ready()
    assert (window.start, window.end, window.asset) == (at(0), at(2), "M")
    [wave] = window.waveforms
    assert levels(wave.samples) == (1.0,) * 100 + (2.0,) * 100
    assert window.gaps == ()
    assert window.journal == (1, 2)


def test_blocks_are_cut_at_the_windows_edges_and_no_sample_is_lost_or_doubled() -> None:
    cutter = Cutter(TWO, THREE)
    for number in range(1, 6):
        cutter.add(number, batch(number, number * 0.9, block("M", (number - 1) * 0.9, float(number), seconds=0.9)))
    windows = cutter.ready()
    joined = [level for window in windows for wave in window.waveforms for level in levels(wave.samples)]
    whole = [float(number) for number in range(1, 6) for _ in range(90)]
    assert joined == whole[: len(joined)]
    assert [len(window.waveforms[0].samples) // 4 for window in windows] == [200, 200]


def test_a_missing_block_is_a_gap_and_is_not_filled_in() -> None:
    cutter = Cutter(TWO, THREE)
    cutter.add(1, batch(1, 0.5, block("M", 0, 1.0, seconds=0.5)))
    cutter.add(2, batch(2, 2, block("M", 1, 2.0)))
    [window] = cutter.ready()
    assert [len(wave.samples) // 4 for wave in window.waveforms] == [50, 100]
    [gap] = window.gaps
    assert (gap.tag, gap.start, gap.end) == ("vibration", at(0.5), at(1))


def test_a_silent_input_is_waited_for_no_longer_than_the_limit() -> None:
    cutter = Cutter(TWO, THREE)
    cutter.add(1, batch(1, 1, block("M", 0, 1.0)))
    cutter.add(2, batch(2, 4.9, value("N", "speed", 4.9, 1.0)))
    assert [window.asset for window in cutter.ready()] == []
    cutter.add(3, batch(3, 5, value("N", "speed", 5, 1.0)))
    [window] = cutter.ready()
    assert window.asset == "M"
    assert [gap.start for gap in window.gaps] == [at(1)]


def test_what_comes_after_its_window_closed_is_counted_and_changes_nothing() -> None:
    cutter = Cutter(TWO, THREE)
    cutter.add(1, batch(1, 2, block("M", 0, 1.0, seconds=2)))
    assert len(cutter.ready()) == 1
    cutter.add(2, batch(2, 2.1, value("M", "speed", 1.0, 5.0)))
    assert cutter.late == 1
    assert cutter.ready() == []


def test_a_value_that_changes_rarely_is_held_and_its_age_is_said() -> None:
    cutter = Cutter(TWO, THREE)
    cutter.add(1, batch(1, 0, value("M", "speed", 0, 1500.0)))
    for second in range(6):
        cutter.add(2 + second, batch(2 + second, second + 1, block("M", second, 0.0)))
    windows = cutter.ready()
    assert [window.scalar("speed").age_s for window in windows if window.scalar("speed")] == [2.0, 4.0, 6.0]


def test_a_bad_value_is_no_number_but_a_gap_with_its_reason() -> None:
    cutter = Cutter(TWO, THREE)
    cutter.add(1, batch(1, 1, value("M", "speed", 1, None, Quality.BAD), block("M", 0, 0.0, seconds=2)))
    [window] = cutter.ready()
    assert window.scalar("speed") is None
    assert [gap.tag for gap in window.gaps] == ["speed"]


def test_the_last_picture_and_the_lines_of_the_window_are_in_it() -> None:
    cutter = Cutter(TWO, THREE)
    cutter.add(1, batch(1, 0.5, frame("M", 0.2, 20.0), frame("M", 0.5, 30.0), line("M", 0.4, "oil low")))
    cutter.add(2, batch(2, 2, block("M", 0, 0.0, seconds=2)))
    [window] = cutter.ready()
    assert window.frame is not None
    assert levels(window.frame.pixels) == (30.0,) * 4
    assert [entry.text for entry in window.lines] == ["oil low"]


def test_a_source_whose_clock_is_an_hour_ahead_falls_into_the_same_windows() -> None:
    cutter = Cutter(TWO, THREE)
    ahead = block("M", 3600, 1.0, seconds=2)
    cutter.add(1, batch(1, 2, msgspec.structs.replace(ahead, received_at=at(2))))
    [window] = cutter.ready()
    assert abs((window.start - at(0)).total_seconds()) <= 2


def test_a_restart_at_the_oldest_needed_batch_gives_the_same_windows() -> None:
    batches = [(number, batch(number, number, block("M", number - 1, float(number)))) for number in range(1, 12)]
    whole = Cutter(TWO, THREE)
    first = Cutter(TWO, THREE)
    seen = []
    for number, each in batches:
        whole.add(number, each)
        if number <= 5:
            first.add(number, each)
            seen += first.ready()
    again = Cutter(TWO, THREE)
    for number, each in batches:
        if number >= first.oldest:
            again.add(number, each)
    both = {window.start: window for window in [*again.ready(), *seen]}
    assert [both[window.start] for window in whole.ready()] == [both[start] for start in sorted(both)]


def test_hours_of_silence_give_no_empty_windows() -> None:
    cutter = Cutter(TWO, THREE)
    cutter.add(1, batch(1, 2, block("M", 0, 1.0, seconds=2)))
    cutter.add(2, batch(2, 7202, block("M", 7200, 1.0, seconds=2)))
    windows = cutter.ready() + cutter.ready()
    assert [window.start for window in windows] == [at(0), at(7200)]


def stamped(item: Waveform, moment: datetime) -> Waveform:
    return msgspec.structs.replace(item, sourced_at=moment)


MEANINGLESS = [
    datetime(2100, 1, 1, tzinfo=UTC),
    datetime(1970, 1, 1, tzinfo=UTC),
    datetime.max.replace(tzinfo=UTC),
    datetime.min.replace(tzinfo=UTC),
]


@pytest.mark.parametrize("moment", MEANINGLESS)
@pytest.mark.parametrize("place", [1, 3])
def test_one_block_with_a_meaningless_stamp_holds_up_nobody(moment: datetime, place: int) -> None:
    cutter = Cutter(TWO, THREE)
    seen = []
    for number in range(1, 41):
        own = block("M", number - 1, 1.0)
        cutter.add(number, batch(number, number, stamped(own, moment) if number == place else own))
        seen += cutter.ready()
    assert [window.start for window in seen[1:]] == [at(2 * number) for number in range(1, 20)]
    assert cutter.oldest >= 39, "the journal can be trimmed and a restart begins near the end"


@pytest.mark.parametrize("moment", MEANINGLESS)
def test_a_tag_that_is_always_stamped_meaninglessly_harms_no_other_tag(moment: datetime) -> None:
    cutter = Cutter(TWO, THREE)
    seen = []
    for number in range(1, 41):
        bad = msgspec.structs.replace(value("M", "speed", number, 1500.0), sourced_at=moment)
        cutter.add(number, batch(number, number, block("M", number - 1, 1.0), bad))
        seen += cutter.ready()
    assert len(seen) == 20
    assert all(len(wave.samples) == 800 for window in seen for wave in window.waveforms)
    assert all(window.scalar("speed") for window in seen)
    assert cutter.late == 0
    assert cutter.oldest >= 39


def test_old_lines_of_a_file_are_no_news() -> None:
    cutter = Cutter(TWO, THREE)
    old = msgspec.structs.replace(line("M", 0, "bearing seized"), sourced_at=datetime(2020, 1, 1, tzinfo=UTC))
    cutter.add(1, batch(1, 1, old))
    cutter.add(2, batch(2, 2, block("M", 0, 1.0, seconds=2)))
    [window] = cutter.ready()
    assert window.lines == ()
    assert cutter.late == 1


def test_names_that_say_something_once_are_forgotten() -> None:
    cutter = Cutter(TWO, THREE)
    for number in range(100):
        cutter.add(number + 1, batch(number, 1, line(f"host-{number}", 0.5, "hello")))
    cutter.tick(at(10))
    assert len(cutter.ready()) == 100
    assert len(cutter._assets) == 0


def test_a_value_that_comes_late_does_not_take_the_place_of_a_newer_one() -> None:
    cutter = Cutter(TWO, THREE)
    cutter.add(1, batch(1, 2, value("M", "speed", 1.5, 1500.0), value("M", "speed", 0.5, 10.0)))
    cutter.add(2, batch(2, 2, block("M", 0, 0.0, seconds=2)))
    [window] = cutter.ready()
    speed = window.scalar("speed")
    assert speed is not None and speed.last == 1500.0


def test_a_block_that_begins_a_moment_before_the_grid_loses_no_window() -> None:
    cutter = Cutter(TWO, THREE)
    early = block("M", 0, 1.0, seconds=2)
    moment = early.sourced_at - timedelta(microseconds=1)
    cutter.add(1, batch(1, 2, msgspec.structs.replace(early, sourced_at=moment, received_at=at(2))))
    cutter.add(2, batch(2, 4, block("M", 2, 1.0, seconds=2)))
    assert [window.start for window in cutter.ready()] == [at(0), at(2)]
