"""Many diagnoses, one episode: debounce, hysteresis, merge (pure).

Terms of ISA-18.2: a trouble is confirmed by several windows (on-delay) and over after many clean ones
(off-delay), so that a value near the limit does not make an order an hour.
"""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Literal

import msgspec
from msgspec.structs import replace

from gateway.core.diagnosis import Diagnosis, Fault
from gateway.core.episode import Decision, Episode, EpisodeState
from gateway.core.report import Extraction, QualityReport
from gateway.flow.troubles import OF_FAULT, felt_as

GIVE_UP = 3
"""A candidate is dropped after this many clean windows."""

WORSE = 0.2
"""A trouble that a person ruled on is a new one when it gets more severe than it ever was by this much."""

SAME_REPORT = timedelta(hours=24)
"""A person who tells the same trouble of the same asset within this time means the same trouble."""


class Rules(msgspec.Struct, frozen=True):
    """How a trouble is confirmed: `confirm` hits, `clear` clean windows, hits from `confidence` up count.

    A second trouble beside an open one needs twice the hits: one defect has many symptoms.
    """

    confirm: int = 3
    clear: int = 30
    confidence: float = 0.5


def fold(live: Iterable[Episode], seen: Diagnosis, rules: Rules, key: Callable[[str, datetime], str]) -> list[Episode]:
    """Fold one window's diagnosis into the asset's live episodes; give those that changed.

    `key(family, started_at)` makes the business key of a new episode. A window that says "I don't
    know" changes nothing. An episode that was ruled on goes on in silence, and gives way to a new one when it gets
    worse.
    """
    mine = [episode for episode in live if episode.asset == seen.asset and episode.source == "machine"]
    if seen.fault is None or seen.confidence < rules.confidence:
        return []
    if seen.fault is Fault.HEALTHY:
        return [_cleaner(episode, seen, rules) for episode in mine]
    trouble = OF_FAULT[seen.fault]
    # A replay may have opened the trouble that is a candidate here: the open one is the trouble.
    ours = sorted(
        (episode for episode in mine if episode.family == trouble.family),
        key=lambda episode: episode.state is not EpisodeState.OPEN,
    )
    same = ours[0] if ours else None
    crowded = any(episode.state is EpisodeState.OPEN for episode in mine if episode.family != trouble.family)
    need = rules.confirm * (2 if crowded else 1)
    if same is not None and not same.ruled:
        return [_hit(same, seen, need)]
    if same is not None and seen.severity < same.peak_severity + WORSE:
        return [replace(same, last_at=max(same.last_at, seen.end), hits=same.hits + 1, misses=0)]
    over = [] if same is None else [replace(same, state=EpisodeState.CLOSED, closed_at=seen.start)]
    begun = Episode(
        key=key(trouble.family, seen.start),
        asset=seen.asset,
        family=trouble.family,
        failure_mode=str(seen.fault),
        source="machine",
        state=EpisodeState.CANDIDATE,
        started_at=seen.start,
        last_at=seen.start,
        hits=0,
    )
    return [*over, _hit(begun, seen, need)]


def _hit(episode: Episode, seen: Diagnosis, need: int) -> Episode:
    tally = {**episode.tally, str(seen.fault): episode.tally.get(str(seen.fault), 0.0) + seen.confidence}
    hits = episode.hits + 1
    opened = episode.state is EpisodeState.OPEN or hits >= need
    best = max(tally, key=lambda mode: tally[mode])
    return replace(
        episode,
        state=EpisodeState.OPEN if opened else EpisodeState.CANDIDATE,
        # The order was named when it was made; a later window must not rename it.
        failure_mode=episode.failure_mode if episode.state is EpisodeState.OPEN else best,
        last_at=max(episode.last_at, seen.end),
        hits=hits,
        misses=0 if opened else episode.misses,
        peak_confidence=max(episode.peak_confidence, seen.confidence),
        peak_severity=max(episode.peak_severity, seen.severity),
        tally=tally,
    )


def _cleaner(episode: Episode, seen: Diagnosis, rules: Rules) -> Episode:
    misses = episode.misses + 1
    enough = rules.clear if episode.state is EpisodeState.OPEN else GIVE_UP
    if misses < enough:
        return replace(episode, misses=misses)
    return replace(episode, misses=misses, state=EpisodeState.CLOSED, closed_at=seen.end)


def same_trouble(live: Iterable[Episode], told: Extraction, report: QualityReport) -> Episode | None:
    """Find the open episode that a report is about, or None when it tells a new trouble.

    The asset must be the same, or without an asset the lot or order number; and the codes must meet.
    Text alone never merges.
    """
    codes = set(told.failure_modes) | set(told.defects)
    subject = subject_of(told)
    known = list(live)
    for episode in known:
        if episode.state is not EpisodeState.OPEN or not _near(episode, report):
            continue
        here = episode.asset == told.asset if told.asset else bool(subject) and episode.subject == subject
        if not here:
            continue
        if episode.source == "report" and codes & set(episode.codes):
            return episode
        if episode.source == "machine" and felt_as(episode.family, codes):
            joined = told_before(known, episode) if episode.decision is Decision.JOINED else None
            return joined or episode
    return None


def told_before(live: Iterable[Episode], confirmed: Episode) -> Episode | None:
    """Find the open, ordered episode in which a person told of a machine's trouble before the machine did."""
    for episode in live:
        ordered = episode.source == "report" and episode.decision is Decision.ORDER and not episode.ruled
        if not ordered or episode.state is not EpisodeState.OPEN or episode.asset != confirmed.asset:
            continue
        near = abs(confirmed.started_at - episode.last_at) <= SAME_REPORT
        if near and felt_as(confirmed.family, episode.codes):
            return episode
    return None


def contradicted(live: Iterable[Episode], told: Extraction, report: QualityReport) -> list[Episode]:
    """Find machines' troubles that somebody ruled out and a person now tells of: their silence is over."""
    codes = set(told.failure_modes) | set(told.defects)
    return [
        episode
        for episode in live
        if episode.ruled and episode.source == "machine" and episode.asset == told.asset
        if _near(episode, report) and felt_as(episode.family, codes)
    ]


def ruled_on(known: Iterable[Episode], told: Extraction, report: QualityReport) -> list[Episode]:
    """Find the troubles that somebody ruled on, over or silent, and a person now tells of."""
    return [
        episode for episode in known if episode.ruled and same_trouble([_unruled(episode)], told, report) is not None
    ]


def ruled_before(known: Iterable[Episode], confirmed: Episode) -> list[Episode]:
    """Find the troubles that somebody ruled on, over or silent, and a machine now shows again."""
    return [
        episode
        for episode in known
        if episode.ruled and episode.key != confirmed.key
        if (episode.source == "machine" and episode.family == confirmed.family)
        or told_before([_unruled(episode)], confirmed) is not None
    ]


def may_be_one(one: Episode, other: Episode) -> bool:
    """Tell whether two troubles of one asset, or of the same goods, may be the same, by what they are called."""
    if one.asset != other.asset or (not one.asset and one.subject != other.subject):
        return False
    if one.source == other.source:
        return one.family == other.family or bool(set(one.codes) & set(other.codes))
    machine, person = (one, other) if one.source == "machine" else (other, one)
    return felt_as(machine.family, person.codes)


def _unruled(episode: Episode) -> Episode:
    return replace(episode, state=EpisodeState.OPEN, ruled="")


def _near(episode: Episode, report: QualityReport) -> bool:
    """Tell whether a report is of an episode's time; one that was stamped next year is not of all of this year's."""
    after, before = report.reported_at - episode.last_at, episode.started_at - report.reported_at
    return max(after, before) <= SAME_REPORT


def closed(episode: Episode, at: datetime, ruled: Literal["", "false", "cancelled"] = "") -> Episode:
    """End an episode; a ruling that it has stays."""
    over = replace(episode, ruled=ruled or episode.ruled)
    return over if over.state is EpisodeState.CLOSED else replace(over, state=EpisodeState.CLOSED, closed_at=at)


def seconded(episode: Episode, confirmed: Episode) -> Episode:
    """Append a machine's confirmation to the episode that a person opened."""
    return replace(episode, hits=episode.hits + 1, last_at=max(episode.last_at, confirmed.last_at))


def merged(first: Episode, more: Episode) -> Episode:
    """Put what a later episode of a machine's trouble has seen into the first one: they are the same trouble."""
    modes = dict.fromkeys((*first.tally, *more.tally))
    return replace(
        first,
        last_at=max(first.last_at, more.last_at),
        hits=first.hits + more.hits,
        misses=more.misses,
        peak_confidence=max(first.peak_confidence, more.peak_confidence),
        peak_severity=max(first.peak_severity, more.peak_severity),
        tally={mode: first.tally.get(mode, 0.0) + more.tally.get(mode, 0.0) for mode in modes},
    )


def witness(episode: Episode, report: QualityReport) -> Episode:
    """Append a report to an open episode."""
    return replace(
        episode,
        hits=episode.hits + 1,
        last_at=max(episode.last_at, report.reported_at),
        reports=(*episode.reports[-99:], report.id),
    )


def told_episode(key: str, told: Extraction, report: QualityReport) -> Episode:
    """Open an episode from a person's words: confirmed at once."""
    codes = (*told.failure_modes, *told.defects)
    first = codes[0] if codes else (told.action or "request").upper()
    return Episode(
        key=key,
        asset=told.asset or "",
        family=f"report:{first}",
        failure_mode=first,
        source="report",
        state=EpisodeState.OPEN,
        started_at=report.reported_at,
        last_at=report.reported_at,
        peak_confidence=told.confidence,
        codes=codes,
        subject=subject_of(told),
        reports=(report.id,),
    )


def subject_of(told: Extraction) -> str:
    """What stands for the asset when there is none: the lot, or the order number."""
    return told.batch or told.order or ""
