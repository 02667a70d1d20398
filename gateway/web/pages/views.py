"""What the pages show, gathered in one look at the store and one at the line."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from gateway.core.delivery import DeliveryState
from gateway.core.diagnosis import Diagnosis
from gateway.core.episode import Episode
from gateway.core.ports import StoredOrder, StoredReport, Tx
from gateway.flow.live import AssetView
from gateway.runtime.gateway import Gateway
from gateway.web.line import AssetNow, Line, SourceNow, TagNow, line_of
from gateway.web.masking import shown

STALE_S = 10.0
_KEY_TAGS = ("speed", "load", "temperature")
_SPARK = (120.0, 28.0)
_BAR = 100.0


class Bar(msgspec.Struct, frozen=True):
    """An analog bar in a box of 100 by 10: the normal band, and where the value stands."""

    band_x: float
    band_width: float
    at: float
    inside: bool
    low: float
    high: float


class Gauge(msgspec.Struct, frozen=True):
    """A tag with its bar, if its range is known."""

    tag: TagNow
    bar: Bar | None


class Tile(msgspec.Struct, frozen=True):
    """One asset on the line page. `level` 1..3 is the alarm priority, 0 when nothing is abnormal."""

    asset: AssetNow
    level: int
    state: str
    order: StoredOrder | None
    episode: Episode | None
    gauges: Sequence[Gauge]
    spark: str
    stale: bool


class Overview(msgspec.Struct, frozen=True):
    """Everything that the pages list."""

    line: Line
    tiles: Sequence[Tile]
    orders: Sequence[StoredOrder]
    episodes: Sequence[Episode]
    reviews: Sequence[StoredReport]

    @property
    def parked(self) -> int:
        """Orders that need a person."""
        return sum(held.delivery.state is DeliveryState.PARKED for held in self.orders)

    @property
    def alarms(self) -> Sequence[Tile]:
        """Tiles that are abnormal, the worst first."""
        return sorted((tile for tile in self.tiles if tile.level), key=lambda tile: tile.level)


class Step(msgspec.Struct, frozen=True):
    """One step of the way from the first sign to the closed order."""

    at: datetime
    what: str
    detail: str = ""
    href: str = ""


async def overview(gateway: Gateway, *, limit: int = 100) -> Overview:
    """Gather the line, the orders, the episodes and the review list."""

    def look(tx: Tx) -> tuple[list[StoredOrder], list[Episode], list[StoredReport]]:
        return tx.orders(limit=limit), tx.episodes(limit=limit), tx.reports(route="review", limit=limit)

    orders, episodes, reviews = await gateway.store.read(look)
    line = line_of(gateway)
    tiles = [_tile(gateway, asset, orders, episodes) for asset in line.assets]
    return Overview(line, tiles, orders, episodes, reviews)


def _tile(gateway: Gateway, asset: AssetNow, orders: Sequence[StoredOrder], episodes: Sequence[Episode]) -> Tile:
    view = gateway.live.of(asset.asset)
    open_ones = [held for held in episodes if held.asset == asset.asset and held.state == "open" and not held.ruled]
    by_key = {held.order.key: held for held in orders}
    ordered = [by_key[held.key] for held in open_ones if held.key in by_key]
    worst = min(ordered, key=lambda held: held.order.priority, default=None)
    episode = next((held for held in open_ones if worst is not None and held.key == worst.order.key), None)
    episode = episode or (open_ones[0] if open_ones else None)
    stale = asset.age_s is not None and asset.age_s > STALE_S
    return Tile(
        asset=asset,
        level=min(3, worst.order.priority) if worst is not None else 3 if episode is not None else 0,
        state=_state(asset, episode, stale=stale),
        order=worst,
        episode=episode,
        gauges=gauges(gateway, asset),
        spark=spark(view.anomalies),
        stale=stale,
    )


def _state(asset: AssetNow, episode: Episode | None, *, stale: bool) -> str:
    if episode is not None:
        return episode.failure_mode
    if asset.age_s is None:
        return "no data"
    if stale:
        return "stale"
    if asset.anomaly is None:
        return "watching"
    return "normal" if asset.fault == "healthy" else "unclear"


def gauges(gateway: Gateway, asset: AssetNow) -> list[Gauge]:
    """Give an asset's well-known tags first, then the others, each with its bar."""
    known = gateway.plant.asset(asset.asset)
    rpm = known.speed_rpm if known is not None else None
    rank = {name: place for place, name in enumerate(_KEY_TAGS)}
    tags = sorted(asset.tags, key=lambda tag: (rank.get(tag.tag, len(rank)), tag.tag))
    return [Gauge(tag, _bar(tag, rpm)) for tag in tags]


def _bar(tag: TagNow, rpm: float | None) -> Bar | None:
    if not isinstance(tag.value, int | float) or isinstance(tag.value, bool):
        return None
    ranges = {"%": (0.0, 100.0, 0.0, 90.0)}
    if rpm:  # a rotating machine: what is normal for an oven nobody told us
        ranges |= {"degC": (0.0, 120.0, 0.0, 80.0), "rpm": (0.0, 1.3 * rpm, 0.0, 1.1 * rpm)}
    if tag.unit not in ranges:
        return None
    low, high, normal_low, normal_high = ranges[tag.unit]

    def place(value: float) -> float:
        return round(min(1.0, max(0.0, (value - low) / (high - low))) * _BAR, 1)

    return Bar(
        band_x=place(normal_low),
        band_width=round(place(normal_high) - place(normal_low), 1),
        at=place(tag.value),
        inside=normal_low <= tag.value <= normal_high,
        low=low,
        high=high,
    )


def spark(anomalies: Sequence[float]) -> str:
    """Give the points of a sparkline of the anomaly score (0..1) in a box of 120 by 28."""
    width, height = _SPARK
    if len(anomalies) < 2:  # noqa: PLR2004  (a line has two points)
        return ""
    step = width / (len(anomalies) - 1)
    return " ".join(
        f"{number * step:.1f},{(1 - min(1.0, max(0.0, score))) * (height - 2) + 1:.1f}"
        for number, score in enumerate(anomalies)
    )


class Equipment(msgspec.Struct, frozen=True):
    """One asset's page; `failing` are its tags that give no good value, and why."""

    tile: Tile
    view: AssetView
    diagnosis: Diagnosis | None
    shares: Sequence[tuple[str, float, str]]
    steps: Sequence[Step]
    failing: Sequence[SourceNow]


async def equipment(gateway: Gateway, name: str, seen: Overview) -> Equipment | None:
    """Gather one asset's page; None when nobody knows the asset."""
    tile = next((tile for tile in seen.tiles if tile.asset.asset == name), None)
    if tile is None:
        return None
    view = gateway.live.of(name)
    diagnosis = view.diagnosis
    if diagnosis is None:
        held = await gateway.store.read(lambda tx: tx.diagnoses(name, limit=1))
        diagnosis = held[0] if held else None
    shares = shares_of(diagnosis) if diagnosis is not None else []
    failing = [state for state in seen.line.sources if not state.healthy and state.name.startswith(f"{name}/")]
    return Equipment(tile, view, diagnosis, shares, steps_of(tile.order, tile.episode), failing)


def shares_of(diagnosis: Diagnosis) -> list[tuple[str, float, str]]:
    """Give each modality's share of the verdict in per cent, with the feature that spoke most."""
    total = sum(abs(part.weight) for part in diagnosis.contributions) or 1.0
    return [(part.modality, round(100 * abs(part.weight) / total, 0), part.feature) for part in diagnosis.contributions]


def steps_of(order: StoredOrder | None, episode: Episode | None) -> list[Step]:
    """Tell the way of a trouble from its first sign to the ERP's last word."""
    steps = []
    if episode is not None:
        steps.append(Step(episode.started_at, "first sign", f"{episode.hits} ×"))
    if order is not None:
        href = f"/ui/orders/{order.order.key}"
        steps.append(Step(order.order.detected_at, "order drafted", order.order.key, href))
        if order.delivery.since is not None:
            steps.append(Step(order.delivery.since, "first sent", order.delivery.erp, href))
        if order.delivery.updated_at is not None:
            detail = order.delivery.erp_number or order.delivery.reason
            steps.append(Step(order.delivery.updated_at, order.delivery.state.value, detail, href))
    if episode is not None and episode.closed_at is not None:
        steps.append(Step(episode.closed_at, "over"))
    return steps


class Piece(msgspec.Struct, frozen=True):
    """A piece of a report's text; `slot` is what was read out of it, "" for the rest."""

    text: str
    slot: str = ""


def pieces(stored: StoredReport) -> list[Piece]:
    """Cut a report's text at its slots, in order, names covered; an overlapping or impossible slot is left out."""
    seen = shown(stored)
    text, place, found = seen.report.text, 0, []
    slots = seen.extraction.slots if seen.extraction is not None else ()
    for slot in sorted(slots, key=lambda slot: (slot.start, slot.end)):
        if slot.start < place or not slot.start < slot.end <= len(text):
            continue
        if slot.start > place:
            found.append(Piece(text[place : slot.start]))
        found.append(Piece(text[slot.start : slot.end], slot.slot))
        place = slot.end
    if place < len(text):
        found.append(Piece(text[place:]))
    return found
