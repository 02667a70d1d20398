"""Episode or extraction into a work order (pure)."""

from collections.abc import Sequence
from datetime import UTC
from typing import Literal

from gateway.core.asset import Asset, Plant, Site
from gateway.core.capsule import Seal
from gateway.core.diagnosis import Diagnosis, Evidence, Fault
from gateway.core.episode import Episode
from gateway.core.order import Activity, Level, ProductRef, SourceRef, WorkOrder
from gateway.core.plural import plural
from gateway.core.report import Extraction, QualityReport
from gateway.flow import policy
from gateway.flow.troubles import OF_FAULT, iso_of, named

Language = Literal["zh", "en"]
Priority = Literal[1, 2, 3, 4]

_SHOWN = 16
SUREST = 0.99
"""No model is surer than this in words."""


def of_episode(
    episode: Episode,
    seen: Diagnosis,
    plant: Plant,
    evidence: Sequence[Evidence],
    language: Language,
    config: str,
    seal: Seal | None = None,
    *,
    version: int = 1,
) -> WorkOrder:
    """Make the order about a machine's confirmed trouble; `seen` is the window that confirmed it.

    Pure: `andon verify` makes it again from the capsule alone, and compares every field.
    """
    asset = plant.asset(episode.asset) or Asset(id=episode.asset)
    fault = Fault(episode.failure_mode)
    trouble = OF_FAULT[fault]
    name = named(fault, language)
    return WorkOrder(
        key=episode.key,
        version=version,
        work_type="maintenance",
        activity="condition-based",
        title=f"{asset.id}: {name}",
        description=_machine_text(
            episode, seen, plant.site, asset, name, language, short_form(episode.key, version, seal, language)
        ),
        language=language,
        hierarchy=hierarchy(plant.site, asset),
        asset=asset.id,
        component=trouble.component,
        priority=policy.priority_of(episode.peak_severity, asset),
        impact=policy.impact_of(episode.peak_severity),
        asset_down=False,
        failure_mode=str(fault),
        iso_mode=trouble.iso,
        mechanism=trouble.mechanism,
        detection="condition monitoring",
        action=trouble.action,
        detected_at=seen.end.astimezone(UTC),
        diagnosis=seen,
        evidence=tuple(evidence),
        capsule=seal.sha256 if seal is not None else None,
        source=SourceRef("machine", episode.key),
        config=config,
    )


def of_report(
    episode: Episode,
    told: Extraction,
    report: QualityReport,
    plant: Plant,
    evidence: Sequence[Evidence],
    config: str,
    seal: Seal | None = None,
) -> WorkOrder:
    """Make the order about what a person reported. The text goes out masked: no name leaves."""
    asset = plant.asset(told.asset) if told.asset else None
    goods = told.fine_intent is not None and told.fine_intent.startswith("product_")
    priority: Priority = told.priority or 3
    failure = named(episode.failure_mode, told.language)
    where = asset.id if asset else (told.batch or told.order or "")
    return WorkOrder(
        key=episode.key,
        version=1,
        work_type="quality" if goods or (told.defects and not told.failure_modes) else "maintenance",
        activity=_activity(told, priority),
        title=f"{where}: {failure}" if where else failure,
        description="\n".join([told.masked or failure, *short_form(episode.key, 1, seal, told.language)]),
        language=told.language,
        hierarchy=hierarchy(plant.site, asset),
        asset=asset.id if asset else None,
        component=told.components[0] if told.components else None,
        priority=priority,
        impact="critical" if told.machine_down else "degraded",
        asset_down=told.machine_down,
        failure_mode=episode.failure_mode,
        iso_mode=iso_of(episode.failure_mode),
        cause=told.causes[0] if told.causes else None,
        effect=", ".join((*told.failure_modes, *told.defects)) or None,
        detection="observation",
        action=told.action,
        detected_at=report.reported_at.astimezone(UTC),
        due=told.due.astimezone(UTC) if told.due else None,
        product=product_of(told),
        evidence=tuple(evidence),
        capsule=seal.sha256 if seal is not None else None,
        reporter="person" if told.reporter else "",
        source=SourceRef("report", report.id),
        config=config,
    )


def hierarchy(site: Site, asset: Asset | None) -> tuple[Level, ...]:
    """Give the ISA-95 levels from the enterprise down to the asset's line."""
    levels = [Level("enterprise", site.enterprise), Level("site", site.id)]
    if asset is not None and asset.area:
        levels.append(Level("area", asset.area))
    if asset is not None and asset.line:
        levels.append(Level("line", asset.line))
    return tuple(levels)


def _activity(told: Extraction, priority: Priority) -> Activity:
    if told.action == "inspect":
        return "inspection"
    return "corrective-immediate" if priority == 1 else "corrective-deferred"


def product_of(told: Extraction) -> ProductRef | None:
    """Give the goods that a report names; None when it names none."""
    if not (told.batch or told.order or told.quantity):
        return None
    return ProductRef(batch=told.batch, order=told.order, quantity=told.quantity)


def short_form(key: str, version: int, seal: Seal | None, language: Language) -> list[str]:
    """Say in a line what the order stands on, by which name it is kept, and where to look at it."""
    if seal is None:
        return []
    named = f"{key}-v{version} sha256:{seal.sha256[:_SHOWN]}"
    line = f"证据 {named}：{seal.summary}" if language == "zh" else f"Evidence {named}: {seal.summary}"
    return [line, f"{seal.public_url}/ui/orders/{key}"] if seal.public_url else [line]


def _machine_text(
    episode: Episode, seen: Diagnosis, site: Site, asset: Asset, name: str, language: Language, short: Sequence[str]
) -> str:
    """Say what was found, how sure, since when, by which evidence, and what is not known.

    What was not there is no evidence, whatever weight its absence had in the model.
    """
    shares = ", ".join(
        f"{part.modality} {part.weight:+.2f}" for part in seen.contributions if part.modality in seen.present
    )
    sure = f"{min(episode.peak_confidence, SUREST):.0%}"
    speed = "" if seen.speed_rpm is None else f"{seen.speed_rpm:.0f} rpm"
    since = episode.started_at.astimezone(site.zone).isoformat(sep=" ", timespec="seconds")
    if language == "zh":
        lines = [
            f"{asset.id} {name}，置信度 {sure}，严重度 {episode.peak_severity:.0%}。",
            f"首次出现 {since}，由 {episode.hits} 个窗口确认。",
            f"依据：{shares}" if shares else "",
            f"转速：{speed}" if speed else "",
            *short,
            *(f"注意：{remark}" for remark in seen.remarks),
        ]
    else:
        lines = [
            f"{asset.id}: {name}, confidence {sure}, severity {episode.peak_severity:.0%}.",
            f"First seen {since}, confirmed by {plural(episode.hits, 'window')}.",
            f"Evidence (log-odds): {shares}" if shares else "",
            f"Speed: {speed}" if speed else "",
            *short,
            *(f"Note: {remark}" for remark in seen.remarks),
        ]
    return "\n".join(line for line in lines if line)
