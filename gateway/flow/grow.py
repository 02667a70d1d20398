"""Growth: the next version of an order whose trouble has grown in a way that a planner acts on (pure).

What an order says is never taken back: its priority and impact only get worse, its text only gets longer, and its
key, asset, source, title and name stay. What is over is told by its end, not by an amendment.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec.structs import asdict, replace

from gateway.core.asset import Asset, Plant
from gateway.core.capsule import Capsule, Seal
from gateway.core.diagnosis import Diagnosis, Evidence, Fault
from gateway.core.episode import Episode, Said
from gateway.core.order import WorkOrder
from gateway.core.report import Extraction, QualityReport
from gateway.flow import compose, policy
from gateway.flow.troubles import OF_FAULT, named

MOST = 20
"""From this version on only what makes an order more urgent changes it, which can happen a few times at most."""
GAP = timedelta(minutes=10)
"""A machine's newer finding waits at least so long, by the line's time: no ERP is asked to follow every window."""
CLEARLY = 1.5
"""A failure mode takes the place of another of its family with so many times the summed confidence."""

_URGENCY = ("priority", "impact", "asset_down")
_IMPACTS = ("incipient", "degraded", "critical")
_LONGEST_WORDS = 500
_WORDS = {
    "en": {
        "confirmed": "Condition monitoring confirms it, {when}: {name}, confidence {sure:.0%}, severity {severe:.0%}.",
        "grown": "It grew, {when}: {name}, confidence {sure:.0%}, severity {severe:.0%}.",
        "reported": "Reported too, {when}: {words}",
        "down": "The machine is down.",
    },
    "zh": {
        "confirmed": "状态监测确认，{when}：{name}，置信度 {sure:.0%}，严重度 {severe:.0%}。",
        "grown": "已加重，{when}：{name}，置信度 {sure:.0%}，严重度 {severe:.0%}。",
        "reported": "另有报告，{when}：{words}",
        "down": "设备已停机。",
    },
}


def leading(episode: Episode) -> str:
    """Give the failure mode that a machine's trouble goes by now: the one last said, until another clearly leads."""
    held = episode.said.failure_mode if episode.said is not None else episode.failure_mode
    best = max(episode.tally, key=lambda mode: episode.tally[mode], default=held)
    return best if episode.tally.get(best, 0.0) >= CLEARLY * episode.tally.get(held, 0.0) else held


def said(episode: Episode, at: datetime) -> Said:
    """Give what an order that is brought up to date by the window that ends at `at` says of the trouble."""
    return Said(episode.peak_severity, leading(episode), at)


def speaks(episode: Episode, at: datetime) -> bool:
    """Tell by the episode alone whether its order may have to be changed by the window that ends at `at`."""
    told = episode.said
    if told is None or _step(episode.peak_severity) > _step(told.severity):
        return True
    return leading(episode) != told.failure_mode and at - told.at >= GAP


def by_machine(
    before: WorkOrder,
    episode: Episode,
    seen: Diagnosis,
    plant: Plant,
    evidence: Sequence[Evidence] = (),
    seal: Seal | None = None,
) -> WorkOrder | None:
    """Give the next version of an order by what a machine shows; None when there is nothing for a planner in it.

    `episode` is the machine's trouble with `seen` folded in. The order may be a person's, which the machine confirms.
    A window that the order stands on already, or one before it, changes nothing.
    """
    if before.diagnosis is not None and seen.end <= before.diagnosis.end:
        return None
    asset = plant.asset(episode.asset) or Asset(id=episode.asset)
    trouble = OF_FAULT[Fault(leading(episode))]
    news: dict[str, Any] = {
        "priority": min(before.priority, policy.priority_of(episode.peak_severity, asset)),
        "impact": _worse(before.impact, policy.impact_of(episode.peak_severity)),
    }
    first = before.diagnosis is None
    newer = not first and episode.said is not None and leading(episode) != episode.said.failure_mode
    if not (_urgent(before, news) or ((first or newer) and before.version < MOST)):
        return None
    line = _WORDS[before.language]["confirmed" if first else "grown"].format(
        when=_when(seen.end, plant),
        name=named(leading(episode), before.language),
        sure=min(episode.peak_confidence, compose.SUREST),
        severe=episode.peak_severity,
    )
    news |= {
        "diagnosis": seen,
        "component": before.component or trouble.component,
        "mechanism": before.mechanism or trouble.mechanism,
        "action": before.action or trouble.action,
    }
    return _next(before, news, [line], evidence, seal)


def by_report(
    before: WorkOrder,
    told: Extraction,
    report: QualityReport,
    plant: Plant,
    evidence: Sequence[Evidence] = (),
    seal: Seal | None = None,
) -> WorkOrder | None:
    """Give the next version of an order by what one more person tells; None when there is nothing new in it.

    The words go out masked. A time, a priority, a standstill is taken over where it is more urgent; the goods where
    none were named.
    """
    news: dict[str, Any] = {
        "priority": min(before.priority, told.priority or before.priority),
        "impact": _worse(before.impact, "critical" if told.machine_down else "degraded"),
        "asset_down": before.asset_down or told.machine_down,
        "due": _earlier(before.due, told.due),
    }
    if not _urgent(before, news) and before.version >= MOST:
        return None
    if news["asset_down"] > before.asset_down or news["priority"] == 1 < before.priority:
        news["activity"] = "corrective-immediate"
    effects = (*(before.effect or "").split(", "), *told.failure_modes, *told.defects)
    news |= {
        "product": before.product or compose.product_of(told),
        "component": before.component or next(iter(told.components), None),
        "cause": before.cause or next(iter(told.causes), None),
        "action": before.action or told.action,
        "effect": ", ".join(dict.fromkeys(filter(None, effects))) or None,
        "reporter": before.reporter or ("person" if told.reporter else ""),
    }
    words = _WORDS[before.language]
    lines = []
    if (heard := _short(told.masked)) and not any(_heard(line, heard) for line in before.description.splitlines()):
        lines.append(words["reported"].format(when=_when(report.reported_at, plant), words=heard))
    if news["asset_down"] > before.asset_down:
        lines.append(words["down"])
    if not lines and all(getattr(before, field) == value for field, value in news.items()):
        return None
    return _next(before, news, lines, evidence, seal)


def changed(before: WorkOrder, after: WorkOrder) -> tuple[str, ...]:
    """Name the fields in which two versions differ."""
    was, now = asdict(before), asdict(after)
    return tuple(field for field in was if field != "version" and was[field] != now[field])


def _next(
    before: WorkOrder, news: dict[str, Any], lines: Sequence[str], evidence: Sequence[Evidence], seal: Seal | None
) -> WorkOrder:
    """Make the next version: what was said stays, what is new stands below it."""
    version = before.version + 1
    known = {(piece.kind, piece.sha256) for piece in before.evidence}
    fresh = tuple(piece for piece in evidence if (piece.kind, piece.sha256) not in known)
    held = before.description.splitlines()
    short = compose.short_form(before.key, version, seal, before.language)
    text = [before.description, *lines, *(line for line in short if line not in held)]
    return replace(
        before,
        version=version,
        description="\n".join(text),
        evidence=(*before.evidence, *fresh),
        capsule=seal.sha256 if seal is not None else before.capsule,
        **news,
    )


def _urgent(before: WorkOrder, news: dict[str, Any]) -> bool:
    """Tell whether it is worse than the order says. Each of these can happen a few times only."""
    return any(field in news and news[field] != getattr(before, field) for field in _URGENCY)


def _step(severity: float) -> int:
    return (severity >= policy.SERIOUS) + (severity >= policy.SEVERE)


def _worse(one: str, other: str) -> str:
    return max(one, other, key=_IMPACTS.index)


def _earlier(one: datetime | None, other: datetime | None) -> datetime | None:
    times = [time.astimezone(UTC) for time in (one, other) if time is not None]
    return min(times, default=None)


def _when(at: datetime, plant: Plant) -> str:
    return at.astimezone(plant.site.zone).isoformat(sep=" ", timespec="seconds")


def _short(masked: str) -> str:
    """Give a person's words in one line; all of them are in the evidence."""
    words = " ".join(masked.split())
    return words if len(words) <= _LONGEST_WORDS else words[: _LONGEST_WORDS - 1] + "…"


def _heard(line: str, words: str) -> bool:
    """Tell whether a line of the order says these words already."""
    return _short(line) == words or _short(line).endswith((f": {words}", f"：{words}"))


def again(before: WorkOrder, capsule: Capsule, sha256: str) -> WorkOrder | None:
    """Make the version that follows from the one before it and from its capsule; the same two give the same one.

    None when nothing follows: a capsule of another order, or one that stands on nothing.
    """
    if capsule.order != before.key or capsule.version != before.version + 1:
        return None
    plant = Plant(capsule.site, () if capsule.asset is None else (capsule.asset,))
    seal = Seal(sha256, capsule.summary, capsule.terms.public_url)
    if (seen := capsule.seen) is not None:
        return by_machine(before, capsule.episode, seen.diagnosis, plant, capsule.evidence, seal)
    if (told := capsule.told) is not None:
        report = QualityReport(id=told.report, text=told.extraction.masked or " ", reported_at=told.reported_at)
        return by_report(before, told.extraction, report, plant, capsule.evidence, seal)
    return None
