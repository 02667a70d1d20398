"""Readings as columns, the way a source with a hot path gives them."""

import struct
from collections.abc import Sequence
from datetime import datetime

from gateway.core.reading import Quality, Reading
from gateway.core.series import Layout, Place, Series, ticks


def columns(readings: Sequence[Reading], received_at: datetime, layout: Layout | None = None) -> Series:
    """Put number readings into one series of float64, row by row, whatever their own receive time."""
    names = {(it.asset, it.tag): it.unit for it in readings}
    laid = layout or Layout([Place(asset, tag, unit) for (asset, tag), unit in sorted(names.items())])
    where = {(place.asset, place.tag): number for number, place in enumerate(laid.places)}
    reasons = ["", *sorted({it.why for it in readings if it.why})]
    count = len(readings)
    return Series(
        laid,
        received_at,
        7,
        "<f8",
        struct.pack(f"<{count}I", *[where[it.asset, it.tag] for it in readings]),
        struct.pack(f"<{count}d", *[0.0 if it.value is None else float(it.value) for it in readings]),
        bytes(it.quality for it in readings),
        bytes(reasons.index(it.why) for it in readings),
        tuple(reasons),
        struct.pack(f"<{count}q", *[ticks(it.sourced_at) for it in readings]),
        struct.pack(f"<{count}q", *[ticks(it.served_at) for it in readings]),
        bytes(it.repeated for it in readings),
    )


def bad(reading: Reading, why: str) -> Reading:
    """The same reading, bad for a reason."""
    return Reading(
        reading.asset, reading.tag, None, reading.unit, Quality.BAD,
        reading.sourced_at, reading.served_at, reading.received_at, why,
    )  # fmt: skip
