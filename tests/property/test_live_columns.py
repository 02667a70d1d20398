"""The live view shows of columns what it shows of the same readings one by one."""

import struct

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.batch import Batch, SourceGap
from gateway.core.reading import Quality, Reading
from gateway.core.series import Layout, Place, Series, ticks
from gateway.flow.live import Live, Missed
from tests.columns import bad, columns
from tests.fakes import at, batch, value

LAYOUT = Layout([Place("M", "speed", "rpm"), Place("M", "load", "%"), Place("N", "speed", "rpm")])

said = st.tuples(
    st.integers(0, 2),
    st.integers(0, 5),
    st.one_of(st.none(), st.floats(-1e6, 1e6)),
    st.booleans(),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(said, min_size=1, max_size=8), min_size=1, max_size=5))
def test_columns_lead_to_the_same_latest_readings(messages: list[list[tuple[int, int, float | None, bool]]]) -> None:
    one_by_one, in_columns = Live(), Live()
    for number, rows in enumerate(messages):
        readings = []
        for place, second, number_said, stamped in rows:
            name = LAYOUT.places[place]
            quality = Quality.GOOD if number_said is not None else Quality.BAD
            made = at(number + second) if stamped else None
            why = "" if number_said is not None else "BadSensorFailure"
            readings.append(
                Reading(name.asset, name.tag, number_said, name.unit, quality, made, None, at(number), why, 7)
            )
        one_by_one.note(Batch("line", number, at(number), tuple(readings)))
        in_columns.note(Batch("line", number, at(number), series=(columns(readings, at(number), LAYOUT),)))
    assert in_columns.latest() == one_by_one.latest()
    assert in_columns.assets() == one_by_one.assets()
    assert in_columns.counted == one_by_one.counted


def test_whole_numbers_and_switches_keep_their_kind() -> None:
    live = Live()
    serial = 2**63 + 7
    for form, code, number in (("<u8", "Q", serial), ("<i8", "q", -12), ("|b1", "?", True)):
        block = Series(LAYOUT, at(1), 1, form, struct.pack("<I", 0), struct.pack(f"<{code}", number))
        live.note(Batch("line", 1, at(1), series=(msgspec.structs.replace(block, received_at=at(2)),)))
        [reading] = live.of("M").readings
        assert reading.value == number and type(reading.value) is type(number)


def test_a_heartbeat_does_not_move_the_stamp() -> None:
    live = Live()
    first = value("M", "speed", 1, 1500.0)
    live.note(Batch("line", 1, at(1), series=(columns([first], at(1)),)))
    beat = msgspec.structs.replace(first, repeated=True, received_at=at(30))
    live.note(Batch("line", 2, at(30), series=(columns([beat], at(30)),)))
    [reading] = live.of("M").readings
    assert (reading.at, reading.received_at) == (at(1), at(1))


def test_the_last_gaps_of_an_asset_are_shown_with_their_tags() -> None:
    live = Live()
    gap = SourceGap((("M", "speed"), ("N", "speed"), ("M", "load")), at(1), at(9), "queue overflow")
    live.note(msgspec.structs.replace(batch(1, 10, value("M", "speed", 10, 1.0)), gaps=(gap,)))
    assert live.of("M").gaps == (Missed("fake", ("load", "speed"), at(1), at(9), "queue overflow"),)
    assert live.of("X").gaps == ()
    for number in range(100):
        live.note(msgspec.structs.replace(batch(number, 10), gaps=(gap,)))
    assert len(live.of("N").gaps) == 20


def test_more_tags_than_fit_are_left_out_and_counted() -> None:
    live = Live(tags=2)
    block = Series(LAYOUT, at(1), 1, "<f8", struct.pack("<3I", 0, 1, 2), struct.pack("<3d", 1, 2, 3))
    live.note(Batch("line", 1, at(1), series=(block,)))
    assert live.latest() == []
    assert live.left_out == 1
    assert ticks(None) < 0


def test_a_new_layout_takes_the_tags_over() -> None:
    live = Live()
    first = Series(LAYOUT, at(1), 1, "<f8", struct.pack("<I", 0), struct.pack("<d", 1.0))
    other = Layout([Place("M", "speed", "1/min")])
    live.note(Batch("line", 1, at(1), series=(first,)))
    live.note(Batch("line", 2, at(2), series=(Series(other, at(2), 2, "<f8", first.places, struct.pack("<d", 2.0)),)))
    [speed] = [reading for reading in live.of("M").readings if reading.tag == "speed"]
    assert (speed.value, speed.unit) == (2.0, "1/min")


def test_what_a_source_said_that_is_gone_is_no_longer_shown_and_leaves_its_room() -> None:
    live = Live(tags=3)
    block = Series(LAYOUT, at(1), 1, "<f8", struct.pack("<3I", 0, 1, 2), struct.pack("<3d", 1, 2, 3))
    live.note(Batch("gone", 1, at(1), series=(block,)))
    live.forget("gone")
    assert (live.latest(), live.assets()) == ([], [])
    live.note(Batch("other", 1, at(2), (value("M", "mode", 2, 1.0),)))
    live.forget("gone")
    assert [reading.tag for reading in live.latest()] == ["mode"]
    live.forget("other")
    assert live.latest() == []
    live.note(Batch("gone", 2, at(3), series=(block,)))
    assert len(live.latest()) == 3


def test_reasons_that_never_end_are_one_of_many_and_end_nothing() -> None:
    live = Live()
    for number in range(1100):
        said = bad(value("M", "speed", 0.0, number), f"unit 1: answer of {number} bytes")
        live.note(Batch("line", number, at(number), series=(columns([said], at(number), LAYOUT),)))
    [last] = live.latest()
    assert (last.quality, last.why) == (Quality.BAD, "one of many reasons")
