"""Thinning: half goes, what changes stays, and the older it is the coarser it gets."""

from datetime import timedelta
from itertools import pairwise
from typing import Literal, get_args

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.core.batch import Batch, SourceGap
from gateway.core.reading import Quality, Reading
from gateway.flow.thin import Thinner
from tests.columns import columns
from tests.fakes import NOON, at, batch, block, line, value

Form = Literal["columns", "readings"]
FORMS = st.sampled_from(get_args(Form))
QUALITIES = st.sampled_from([Quality.GOOD, Quality.GOOD, Quality.GOOD, Quality.BAD])
STREAM = st.lists(st.lists(st.tuples(st.integers(0, 3), QUALITIES), min_size=1, max_size=30), min_size=1, max_size=20)


def made(stream: list[list[tuple[int, Quality]]], in_columns: Form) -> list[Batch]:
    """Batches of numbered values of four tags, as columns or as single readings."""
    number, given = 0, []
    for sequence, rows in enumerate(stream):
        readings = []
        for tag, quality in rows:
            number += 1
            of_bad = quality is Quality.BAD
            one = value("M", f"t{tag}", number, None if of_bad else number, quality)
            readings.append(replace(one, why="Bad_NoCommunication") if of_bad else one)
        whole = batch(sequence, number)
        if in_columns == "columns":
            given.append(replace(whole, series=(columns(readings, at(number), LAYOUT),)))
        else:
            given.append(replace(whole, readings=tuple(readings)))
    return given


LAYOUT = columns([value("M", f"t{tag}", 0, 0) for tag in range(4)], NOON).layout


def thinned(batches: list[Batch]) -> list[Batch]:
    thinner = Thinner()
    return [left for one in batches if (left := thinner.thin(one)) is not None]


def said(batches: list[Batch]) -> dict[str, list[Reading]]:
    found: dict[str, list[Reading]] = {}
    for one in batches:
        for reading in one.values():
            found.setdefault(reading.tag, []).append(reading)
    return found


@given(STREAM, FORMS)
def test_no_value_is_made_up_or_moved_and_every_tag_keeps_its_first(
    stream: list[list[tuple[int, Quality]]], in_columns: Form
) -> None:
    whole = made(stream, in_columns)
    before, after = said(whole), said(thinned(whole))
    assert set(after) == set(before)
    for tag, values in after.items():
        assert values[0].at == before[tag][0].at
        places = [[one.at for one in before[tag]].index(one.at) for one in values]
        assert places == sorted(set(places))
        assert [before[tag][place] for place in places] == [replace(one, received_at=one.received_at) for one in values]


@given(STREAM, FORMS)
def test_the_value_at_which_a_quality_changes_always_stays(
    stream: list[list[tuple[int, Quality]]], in_columns: Form
) -> None:
    whole = made(stream, in_columns)
    before, after = said(whole), said(thinned(whole))
    for tag, values in before.items():
        left = {one.at for one in after[tag]}
        assert all(new.at in left for old, new in pairwise(values) if old.quality != new.quality)


@given(st.integers(64, 500), st.integers(1, 7), FORMS)
def test_again_and_again_makes_it_coarser_and_coarser(count: int, width: int, in_columns: Form) -> None:
    rows = [(0, Quality.GOOD)] * count
    batches = made([rows[first : first + width] for first in range(0, count, width)], in_columns)
    for turn in range(1, 5):
        batches = thinned(batches)
        left = sum(one.count for one in batches)
        assert count / 2**turn - 1 <= left <= count / 2**turn + 1


def test_waveforms_pictures_and_lines_go_one_by_one_and_warnings_stay() -> None:
    whole = [batch(n, n, block("M", n, 1.0), line("M", n, "hot"), line("M", n, "idle")) for n in range(8)]
    whole = [replace(one, lines=(one.lines[0], replace(one.lines[1], severity=6))) for one in whole]
    left = thinned(whole)
    assert [wave.at for one in left for wave in one.waveforms] == [at(n) for n in range(0, 8, 2)]
    assert [one.text for batch in left for one in batch.lines].count("hot") == 8
    assert [one.text for batch in left for one in batch.lines].count("idle") == 4


def test_a_heartbeat_goes_and_a_gap_stays_even_where_no_value_does() -> None:
    gap = SourceGap((("M", "t"),), at(1), at(2), "queue overflow")
    beats = [replace(value("M", "t", n, 1.0), repeated=True) for n in range(1, 6)]
    told = batch(1, 0, value("M", "t", 0, 1.0), *beats)
    thinner = Thinner()
    left = thinner.thin(told)
    assert left is not None and [one.at for one in left.readings] == [at(0)]
    kept = thinner.thin(replace(batch(2, 9, *beats), gaps=(gap,)))
    assert kept is not None and kept.count == 0 and kept.gaps == (gap,)
    assert thinner.thin(batch(3, 9, *beats)) is None


def test_a_switch_keeps_every_change_of_its_state() -> None:
    states = [True, True, True, False, False, True, True, True, True]
    rows = [replace(value("M", "on", n, 0.0), value=state) for n, state in enumerate(states)]
    left = thinned([batch(n, n, row) for n, row in enumerate(rows)])
    kept = [(one.at - NOON) // timedelta(seconds=1) for batch in left for one in batch.readings]
    assert {0, 3, 5} <= set(kept) and len(kept) < len(states)
