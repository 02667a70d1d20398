"""Laws of the capsule: one form, nothing lost on the way, and the window comes out of its bytes again."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.core import capsule as capsules
from gateway.core.asset import Asset, Plant, Shift, Site
from gateway.core.capsule import Capsule, Grounds, Mark, Spectrum, Spot, Terms
from gateway.core.diagnosis import Contribution, Diagnosis, Fault
from gateway.core.episode import Decision, Episode, EpisodeState
from gateway.core.reading import LogLine, Quality, ThermalFrame, Waveform
from gateway.core.units import Wall
from gateway.core.window import Gap, Scalar, Window
from gateway.flow import evidence, seal
from gateway.flow.dossier import window_of

START = datetime(2026, 3, 2, 8, tzinfo=UTC)
END = START + timedelta(seconds=2)
SITE = Site(id="SZ1", office_end=Wall(17, 30), shifts=(Shift(name="night", start=Wall(20, 0), end=Wall(8, 0)),))
TERMS = Terms(config="cfg", public_url="https://andon.example")

words = st.text(st.characters(codec="utf-8"), max_size=12)
tags = st.sampled_from(["speed", "temperature", "ambient", "a: b"])
numbers = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-1000, 1000)
moments = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)).map(lambda at: at.replace(tzinfo=UTC))  # noqa: DTZ001
qualities = st.sampled_from(list(Quality))
causes = st.builds("{}{}".format, st.sampled_from(["bad: ", "uncertain: ", ""]), words)
scalars = st.lists(
    st.builds(Scalar, tags, words, numbers, numbers, numbers, numbers, st.integers(1, 9), st.floats(0, 60)),
    max_size=4,
    unique_by=lambda one: one.tag,
).map(lambda some: tuple(sorted(some, key=lambda one: one.tag)))
waves = st.lists(
    st.builds(
        lambda tag, values, rate, quality, at: Waveform(
            "M", tag, np.array(values, "<f4").tobytes(), rate, "g", quality, at, None, at
        ),
        tags, st.lists(st.floats(width=32), max_size=5), st.floats(1, 1e5), qualities, moments,
    ),
    max_size=3,
).map(tuple)  # fmt: skip
frames = st.none() | st.builds(
    lambda pixels, quality, at, scale: ThermalFrame(
        "M", "thermal", np.array(pixels, "<u2").tobytes(), 2, 2, quality, at, None, at, "<u2", scale, -273.15
    ),
    st.lists(st.integers(0, 65535), min_size=4, max_size=4), qualities, moments, st.floats(0.001, 2),
)  # fmt: skip
lines = st.lists(
    st.builds(LogLine, st.just("M"), words, st.integers(0, 7), st.none() | moments, moments), max_size=4
).map(tuple)
gaps = st.lists(st.builds(Gap, tags, moments, moments, causes), max_size=4).map(tuple)
windows = st.builds(
    Window, st.just("M"), st.just(START), st.just(END), scalars, waves, frames, lines, gaps,
    st.lists(st.integers(0, 99), max_size=3).map(tuple),
)  # fmt: skip
diagnoses = st.builds(
    Diagnosis, st.just("M"), st.just(START), st.just(END), st.sampled_from([Fault.IMBALANCE, Fault.BEARING_BALL]),
    st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.dictionaries(words, st.floats(0, 1), max_size=3),
    st.lists(st.builds(Contribution, words, numbers, words, st.none() | numbers), max_size=2).map(tuple),
    st.lists(words, max_size=2).map(tuple), words, st.none() | numbers, st.lists(words, max_size=2).map(tuple),
    st.dictionaries(words, st.none() | numbers, max_size=3),
)  # fmt: skip


class Shelf:
    """The part of a transaction that keeps bytes."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}

    def keep(self, content: bytes, media_type: str) -> str:
        del media_type
        name = capsules.named(content)
        self.blobs[name] = content
        return name


def sealed(window: Window, seen: Diagnosis, shelf: Shelf) -> Capsule:
    grounds = Grounds(
        b"baseline",
        b"features",
        (Spectrum("envelope", "log", 0.5, b"\0" * 8),),
        (Mark("BPFO", 3.59, 105.8, 2.0, 0.01),),
        Spot(1, 1, 60.0, 22.0),
    )
    episode = Episode("AN1", "M", "bearing", str(seen.fault), "machine", EpisodeState.OPEN, START, END, hits=3)
    tx: Any = shelf
    plant = Plant(SITE, (Asset(id="M", speed_rpm=1797),))
    return seal.shown(tx, "AN1", 1, replace(episode, decision=Decision.ORDER), seen, window, grounds, plant, TERMS)


@given(windows, diagnoses)
def test_a_capsule_has_one_form(window: Window, seen: Diagnosis) -> None:
    capsule = sealed(window, seen, Shelf())
    document = capsules.canonical(capsule)
    assert capsules.canonical(capsules.read(document)) == document
    assert document == capsules.canonical(sealed(window, seen, Shelf()))
    assert list(msgspec.json.decode(document)) == sorted(msgspec.json.decode(document))


@given(windows, diagnoses)
def test_the_window_comes_out_of_the_bytes_again(window: Window, seen: Diagnosis) -> None:
    shelf = Shelf()
    known = capsules.read(capsules.canonical(sealed(window, seen, shelf)))
    assert known.seen is not None
    again = window_of(known, known.seen, shelf.blobs)
    assert again == window
    assert known.seen.diagnosis == seen


@given(windows, diagnoses)
def test_all_that_a_capsule_names_is_kept_under_the_name_of_its_bytes(window: Window, seen: Diagnosis) -> None:
    shelf = Shelf()
    known = sealed(window, seen, shelf)
    for piece in known.pieces():
        assert capsules.named(shelf.blobs[piece.sha256]) == piece.sha256
        assert len(shelf.blobs[piece.sha256]) == piece.size


@given(windows, diagnoses)
def test_the_same_capsule_gives_the_same_order(window: Window, seen: Diagnosis) -> None:
    document = capsules.canonical(sealed(window, seen, Shelf()))
    one, other = (seal.again(capsules.read(document), capsules.named(document)) for _ in range(2))
    assert one == other and one.capsule == capsules.named(document)


@given(scalars, gaps)
def test_every_tag_is_told_once_with_its_quality(some: tuple[Scalar, ...], missed: tuple[Gap, ...]) -> None:
    found = list(evidence.tag_values(some, missed))
    names = [one.tag for one in found]
    assert names == sorted(set(names)) and set(names) >= {one.tag for one in some}
    odd = {gap.tag for gap in missed if gap.cause.startswith(("bad: ", "uncertain: "))}
    assert {one.tag for one in found if one.quality != "good"} == odd


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_json_has_no_word_for_is_none(number: float) -> None:
    assert evidence.finite(number) is None


def test_a_plant_has_one_form_and_is_read_back() -> None:
    plant = Plant(SITE, (Asset(id="M", aliases=("泵",)),))
    document = capsules.plant_document(plant)
    assert capsules.read_plant(document) == plant
    assert capsules.plant_document(capsules.read_plant(document)) == document


@given(st.floats(), st.floats(), diagnoses)
def test_a_window_of_any_numbers_can_be_sealed(one: float, other: float, seen: Diagnosis) -> None:
    odd = Window("M", START, END, (Scalar("speed", "rpm", one, other, one, other, 2, 0.5),))
    known = capsules.read(capsules.canonical(sealed(odd, seen, Shelf())))
    assert known.seen is not None
    [tag] = known.seen.tags
    assert tag.last == evidence.finite(one) and tag.mean == evidence.finite(other)
