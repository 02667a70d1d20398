"""Sealing: evidence kept, capsule written, order composed on it, all in one transaction."""

from collections.abc import Iterator, Sequence
from typing import Literal

from gateway.core.asset import Asset, Plant
from gateway.core.capsule import MEDIA, Capsule, Grounds, Mark, Seal, Seen, Terms, canonical, read
from gateway.core.diagnosis import Diagnosis, Evidence, Fault
from gateway.core.episode import Episode
from gateway.core.order import WorkOrder
from gateway.core.ports import Diagnoser, Grounded, Tx
from gateway.core.report import Extraction, QualityReport
from gateway.core.window import Window
from gateway.flow import compose, evidence

Language = Literal["zh", "en"]

_LINE_OF: dict[Fault, str] = {
    Fault.BEARING_OUTER: "BPFO",
    Fault.BEARING_INNER: "BPFI",
    Fault.BEARING_BALL: "2BSF",
    Fault.IMBALANCE: "1X",
    Fault.MISALIGNMENT: "2X",
}
_WORDS: dict[Language, dict[str, str]] = {
    "en": {
        "waveform": "vibration {} waveform{s}", "hot": "hot spot {:.0f} degC, {:+.0f} K over the room",
        "frame": "thermal frame", "log": "{} log line{s}", "tags": "{} tag value{s}", "bad": " ({} not good)",
        "gaps": "{} gap{s}", "model": "model {}", "photo": "photo", "report": "the reporter's words",
        "read": "read by {}",
    },
    "zh": {
        "waveform": "振动波形 {} 段", "hot": "热点 {:.0f} degC，比环境 {:+.0f} K", "frame": "热像", "log": "日志 {} 行",
        "tags": "测点 {} 个", "bad": "（{} 个质量不佳）", "gaps": "缺口 {} 处", "model": "模型 {}", "photo": "照片",
        "report": "报修原文（隐去姓名）", "read": "由 {} 解读",
    },
}  # fmt: skip


def judged(diagnoser: Diagnoser, windows: Sequence[Window]) -> list[tuple[Diagnosis, Grounds | None]]:
    """Diagnose windows; with each diagnosis what it stood on, where the diagnoser says it. Call it in the executor."""
    if isinstance(diagnoser, Grounded):
        return diagnoser.judge(windows)
    return [(seen, None) for seen in diagnoser.diagnose(windows)]


def of_episode(
    tx: Tx,
    episode: Episode,
    seen: Diagnosis,
    window: Window,
    grounds: Grounds | None,
    plant: Plant,
    terms: Terms,
    *,
    version: int = 1,
) -> WorkOrder:
    """Make a version of the order about a machine's confirmed trouble, with its evidence and its capsule kept."""
    capsule = shown(tx, episode.key, version, episode, seen, window, grounds, plant, terms)
    return _composed(tx, capsule)


def of_report(
    tx: Tx, episode: Episode, told: Extraction, report: QualityReport, plant: Plant, terms: Terms, *, ruled: bool
) -> WorkOrder:
    """Make the order about what a person reported, with its evidence and its capsule kept."""
    capsule = reported(tx, episode.key, 1, episode, told, report, plant, terms, ruled=ruled)
    return _composed(tx, capsule)


def shown(
    tx: Tx,
    key: str,
    version: int,
    episode: Episode,
    seen: Diagnosis,
    window: Window,
    grounds: Grounds | None,
    plant: Plant,
    terms: Terms,
) -> Capsule:
    """Keep what a machine showed in a window; give the capsule of the order's version that stands on it."""
    kept, facts = evidence.of_window(tx, window, seen, grounds or evidence.NOTHING)
    return Capsule(
        order=key,
        version=version,
        site=plant.site,
        asset=plant.asset(episode.asset) or Asset(id=episode.asset),
        terms=terms,
        model=seen.model,
        episode=episode,
        evidence=kept,
        seen=facts,
        summary=", ".join(_of_machine(kept, facts, terms.language)),
    )


def reported(
    tx: Tx,
    key: str,
    version: int,
    episode: Episode,
    told: Extraction,
    report: QualityReport,
    plant: Plant,
    terms: Terms,
    *,
    ruled: bool,
) -> Capsule:
    """Keep what a person told; give the capsule of the order's version that stands on it."""
    kept, facts = evidence.of_report(tx, report, told, plant, ruled=ruled)
    words = _WORDS[told.language]
    said = [words[piece.kind] for piece in kept] + [
        words["read"].format(f"{told.engine} {terms.reader}".strip() or "-")
    ]
    return Capsule(
        order=key,
        version=version,
        site=plant.site,
        asset=plant.asset(told.asset) if told.asset else None,
        terms=terms,
        model=f"{told.engine} {terms.reader}".strip(),
        episode=episode,
        evidence=kept,
        told=facts,
        summary=", ".join(said),
    )


def again(capsule: Capsule, sha256: str) -> WorkOrder:
    """Compose the order that follows from a capsule of this name (pure); the same capsule gives the same order.

    Raises ValueError for a capsule that stands on nothing.
    """
    plant = Plant(capsule.site, () if capsule.asset is None else (capsule.asset,))
    seal = Seal(sha256, capsule.summary, capsule.terms.public_url)
    terms = capsule.terms
    if (seen := capsule.seen) is not None:
        return compose.of_episode(
            capsule.episode, seen.diagnosis, plant, capsule.evidence, terms.language, terms.config, seal,
            version=capsule.version,
        )  # fmt: skip
    if (told := capsule.told) is not None:
        report = QualityReport(id=told.report, text=told.extraction.masked or " ", reported_at=told.reported_at)
        return compose.of_report(
            capsule.episode, told.extraction, report, plant, capsule.evidence, terms.config, seal
        )  # fmt: skip
    raise ValueError("the capsule has neither a window nor a report")


def _composed(tx: Tx, capsule: Capsule) -> WorkOrder:
    """Keep a capsule and compose the order from what its document says: nothing else can be in the order."""
    name = keep(tx, capsule)
    return again(read(canonical(capsule)), name)


def keep(tx: Tx, capsule: Capsule) -> str:
    """Keep a capsule; give its name."""
    return tx.keep(canonical(capsule), MEDIA)


def _of_machine(kept: Sequence[Evidence], seen: Seen, language: Language) -> Iterator[str]:
    """Say in a few words what a machine's order stands on."""
    words = _WORDS[language]
    kinds = [piece.kind for piece in kept]
    if waves := kinds.count("waveform"):
        yield _counted(words["waveform"], waves)
    if (mark := _loudest(seen)) is not None:
        yield f"{mark.name} {mark.hz:.1f} Hz ({mark.order:.2f}X)"
    if seen.spot is not None:
        yield words["hot"].format(seen.spot.peak_c, seen.spot.peak_c - seen.spot.background_c)
    elif "frame" in kinds:
        yield words["frame"]
    if seen.lines:
        yield _counted(words["log"], len(seen.lines))
    if seen.tags:
        bad = sum(tag.quality != "good" for tag in seen.tags)
        yield _counted(words["tags"], len(seen.tags)) + (words["bad"].format(bad) if bad else "")
    if seen.gaps:
        yield _counted(words["gaps"], len(seen.gaps))
    yield words["model"].format(seen.diagnosis.model or "-")


def _counted(words: str, count: int) -> str:
    return words.format(count, s="" if count == 1 else "s")


def _loudest(seen: Seen) -> Mark | None:
    """Find the line that speaks for the fault; the loudest one when none is known for it."""
    named = _LINE_OF.get(seen.diagnosis.fault or Fault.HEALTHY)
    own = next((mark for mark in seen.marks if mark.name == named), None)
    return own or max(seen.marks, key=lambda mark: mark.level, default=None)
