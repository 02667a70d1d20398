"""Laws of the pure steps: alignment, windows, keys, episodes."""

from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.diagnosis import Diagnosis, Fault
from gateway.core.episode import Episode, EpisodeState
from gateway.core.order import business_key
from gateway.flow.cut import Cutter
from gateway.flow.episode import Rules, fold
from tests.fakes import at, batch, block

verdicts = st.lists(
    st.tuples(
        st.sampled_from([None, Fault.HEALTHY, Fault.BEARING_OUTER, Fault.BEARING_INNER, Fault.IMBALANCE, Fault.SENSOR]),
        st.floats(0, 1),
    ),
    max_size=60,
)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=30), st.integers(0, 30))
def test_windows_do_not_overlap_and_a_restart_cuts_the_same_ones(tenths: list[int], stop: int) -> None:
    """Blocks of any length, cut whole and cut with a restart in the middle, give the same windows."""
    batches, start = [], 0.0
    for number, length in enumerate(tenths, 1):
        seconds = length / 10
        batches.append((number, batch(number, start + seconds, block("M", start, float(number), seconds))))
        start += seconds

    def new() -> Cutter:
        return Cutter(timedelta(seconds=2), timedelta(seconds=3))

    whole, before, after = new(), new(), new()
    seen = {}
    for number, each in batches:
        whole.add(number, each)
        if number <= stop:
            before.add(number, each)
            seen |= {window.start: window for window in before.ready()}
    expected = {}
    while ready := whole.ready():
        expected |= {window.start: window for window in ready}
    for number, each in batches:
        if number >= (before.oldest if stop else 1):
            after.add(number, each)
    while ready := after.ready():
        seen = {window.start: window for window in ready} | seen  # what was written first stays
    assert seen == expected
    starts = sorted(expected)
    assert all(later - earlier >= timedelta(seconds=2) for earlier, later in pairwise(starts))


@given(st.lists(st.text(max_size=8), max_size=4), st.lists(st.text(max_size=8), max_size=4))
def test_a_business_key_keeps_its_facts_apart(left: list[str], right: list[str]) -> None:
    first, second = business_key(b"secret", *left), business_key(b"secret", *right)
    assert (first == second) == (left == right)
    assert len(first) == 20
    assert set(first[2:]) <= set("0123456789ABCDEFGHJKMNPQRSTVWXYZ")


@pytest.mark.pain(24)
@given(verdicts)
def test_an_asset_never_has_two_live_episodes_of_one_family(told: list[tuple[Fault | None, float]]) -> None:
    live: dict[str, Episode] = {}
    rules = Rules(confirm=3, clear=5)
    for number, (fault, confidence) in enumerate(told):
        seen = Diagnosis("M", at(2 * number), at(2 * number + 2), fault, confidence, 0.5, 0.5, {})
        for episode in fold(live.values(), seen, rules, lambda family, start: f"{family}/{start.isoformat()}"):
            live[episode.key] = episode
        live = {key: episode for key, episode in live.items() if episode.state is not EpisodeState.CLOSED}
        families = [episode.family for episode in live.values()]
        assert len(families) == len(set(families))
        opened = [episode for episode in live.values() if episode.state is EpisodeState.OPEN]
        assert all(episode.hits >= rules.confirm for episode in opened)
