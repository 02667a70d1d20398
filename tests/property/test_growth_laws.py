"""Laws of growing orders: whatever is seen and told, an order only gets more urgent, longer, and one version on."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.core.capsule import Seal
from gateway.core.diagnosis import Evidence, Fault
from gateway.core.episode import Decision, Episode, EpisodeState
from gateway.core.order import WorkOrder
from gateway.core.report import Extraction, QualityReport
from gateway.flow import compose, grow
from gateway.flow.episode import fold, told_episode
from gateway.flow.policy import SERIOUS, SEVERE
from tests.fakes import at
from tests.growing import BOOK, OUTER, PLANT, TOLD, seen

Move = tuple[float, float, float, Fault] | tuple[float, Extraction]

BEARING = (Fault.BEARING_OUTER, Fault.BEARING_INNER, Fault.BEARING_BALL)
severities = st.sampled_from((0.0, 0.39, SERIOUS, 0.6, 0.74, SEVERE, 1.0)) | st.floats(0, 1)
gaps = st.sampled_from((2.0, 60.0, 599.0, 600.0, 3600.0))
windows = st.tuples(gaps, severities, st.floats(0.5, 1), st.sampled_from(BEARING))
extractions = st.builds(
    lambda words, down, priority, due, codes, batch: replace(
        TOLD, masked=words, machine_down=down, priority=priority, due=None if due is None else at(due),
        failure_modes=codes, batch=batch,
    ),
    st.sampled_from(("", "noisy", "it\nsmokes", "烟很大", "[name] says: stop it")) | st.text(max_size=600),
    st.booleans(),
    st.sampled_from((None, 1, 2, 3, 4)),
    st.none() | st.floats(0, 1e6),
    st.sampled_from((("NOI",), ("NOI", "VIB"), ("OHE",), ())),
    st.sampled_from((None, "L7", "L8")),
)  # fmt: skip
moves = st.lists(windows | st.tuples(gaps, extractions), max_size=40)
_IMPACTS = ("incipient", "degraded", "critical")


class Story:
    """An order and the machine's trouble behind it, as they grow move by move."""

    def __init__(self, *, asset: str, by_person: bool) -> None:
        self.asset, self.now = asset, 6.0
        first = seen(4, asset=asset)
        self.episode = Episode(
            "AN1", asset, "bearing", str(OUTER), "machine", EpisodeState.OPEN, at(0), at(6), 3, 0, 0.9, 0.5,
            {str(OUTER): 0.6}, decision=Decision.JOINED if by_person else Decision.ORDER,
        )  # fmt: skip
        report = QualityReport(id="r0", text="noisy", reported_at=at(0))
        told = replace(TOLD, asset=asset, priority=4)
        if by_person:
            self.order = compose.of_report(told_episode("AN1", told, report), told, report, PLANT, (), "cfg")
        else:
            self.order = compose.of_episode(self.episode, first, PLANT, (), "zh", "cfg")
            self.episode = replace(self.episode, said=grow.said(self.episode, first.end))

    def next(self, move: Move, number: int) -> tuple[WorkOrder | None, WorkOrder | None]:
        """Give the version that a move makes of the order, and what the same move makes of that version."""
        self.now += move[0]
        kept = (Evidence("report", f"{number:064x}", 1, "text/plain", at(self.now)),)
        seal = Seal(f"{number:064x}", "what there is", "https://andon.example")
        if len(move) == 2:
            told = replace(move[1], asset=self.asset)
            report = QualityReport(id=f"r{number}", text=told.masked or "-", reported_at=at(self.now))
            after = grow.by_report(self.order, told, report, PLANT, kept, seal)
            return after, None if after is None else grow.by_report(after, told, report, PLANT, kept, seal)
        _, severity, confidence, fault = move
        verdict = seen(self.now - 2, fault, severity, confidence, self.asset)
        [episode] = fold([self.episode], verdict, BOOK.rules, lambda *_: "AN2")
        self.episode = episode
        if not grow.speaks(episode, verdict.end):
            return None, None
        after = grow.by_machine(self.order, episode, verdict, PLANT, kept, seal)
        self.episode = replace(episode, said=grow.said(episode, verdict.end))
        return after, None if after is None else grow.by_machine(after, episode, verdict, PLANT, kept, seal)


@given(told=moves, asset=st.sampled_from(("M", "N")), by_person=st.booleans())
def test_an_order_only_gets_more_urgent_and_longer_one_version_at_a_time(
    *, told: list[Move], asset: str, by_person: bool
) -> None:
    story = Story(asset=asset, by_person=by_person)
    for number, move in enumerate(told):
        before = story.order
        after, twice = story.next(move, number)
        assert twice is None
        if after is None:
            continue
        assert grow.changed(before, after)
        assert after.version == before.version + 1
        for field in ("key", "asset", "title", "source", "failure_mode", "detected_at", "language", "hierarchy"):
            assert getattr(after, field) == getattr(before, field)
        assert after.priority <= before.priority
        assert _IMPACTS.index(after.impact) >= _IMPACTS.index(before.impact)
        assert after.asset_down >= before.asset_down
        assert before.due is None or (after.due is not None and after.due <= before.due)
        assert after.description.startswith(before.description)
        assert after.evidence[: len(before.evidence)] == before.evidence
        assert after.product == before.product or before.product is None
        story.order = after


@given(told=moves, by_person=st.booleans())
def test_an_order_has_a_bounded_number_of_versions_and_an_emergency_always_gets_through(
    *, told: list[Move], by_person: bool
) -> None:
    story = Story(asset="M", by_person=by_person)
    story.order = replace(story.order, version=grow.MOST)
    for number, move in enumerate(told):
        before = story.order
        story.order = story.next(move, number)[0] or before
        worse = (before.priority, before.impact, before.asset_down)
        assert story.order is before or (story.order.priority, story.order.impact, story.order.asset_down) != worse
    assert story.order.version <= grow.MOST + 6
    alarm = replace(TOLD, machine_down=True, priority=1, masked="it burns")
    after, _ = story.next((1.0, alarm), 999)
    assert (after or story.order).priority == 1
    assert (after or story.order).asset_down


@given(st.lists(windows, max_size=60))
def test_a_machine_alone_tells_of_newer_findings_no_oftener_than_the_gap(told: list[Move]) -> None:
    story = Story(asset="M", by_person=False)
    last = 6.0
    for number, move in enumerate(told):
        before = story.order
        after, _ = story.next(move, number)
        if after is None:
            continue
        if (after.priority, after.impact) == (before.priority, before.impact):
            assert timedelta(seconds=story.now - last) >= grow.GAP
        story.order, last = after, story.now


@given(told=moves, by_person=st.booleans())
def test_the_same_story_makes_the_same_order(*, told: list[Move], by_person: bool) -> None:
    ends = []
    for _ in range(2):
        story = Story(asset="M", by_person=by_person)
        for number, move in enumerate(told):
            story.order = story.next(move, number)[0] or story.order
        ends.append(story.order)
    assert ends[0] == ends[1]
