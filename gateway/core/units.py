"""Durations, sizes, wall clock times and zones as people write them: "250ms", "2GiB", "17:00", "Asia/Shanghai"."""

import re
from datetime import time
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {"B": 1, "kB": 1000, "MB": 1000**2, "GB": 1000**3, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
_CLOCK = re.compile(r"^([01]?\d|2[0-3]):([0-5]\d)$")
_AMOUNT = re.compile(r"^(\d+(?:\.\d+)?)\s*([A-Za-z]+)$")


class Duration(float):
    """A duration in seconds, written with its unit."""


class Wall(time):
    """A local wall clock time, written as "17:00"."""


class Size(int):
    """A size in bytes, written with its unit."""


def decode(kind: type, value: Any) -> Any:
    """Decode what msgspec does not know (its `dec_hook`). Raises ValueError with an example."""
    if kind is Duration:
        return Duration(_measure(value, _SECONDS, "250ms, 10s, 5min"))
    if kind is Size:
        return Size(_measure(value, _BYTES, "64MiB, 2GiB"))
    if kind is Wall:
        found = _CLOCK.match(value) if isinstance(value, str) else None
        if found is None:
            raise ValueError(f"Expected a time of day (for example 17:00), got {value!r}")
        return Wall(int(found[1]), int(found[2]))
    raise NotImplementedError(kind)


def encode(value: Any) -> Any:
    """Encode what msgspec does not know (its `enc_hook`): the other way of `decode`, for a time of day."""
    if isinstance(value, Wall):
        return f"{value:%H:%M}"
    raise NotImplementedError(f"{type(value).__name__} has no form in JSON")


def zone_of(name: str) -> ZoneInfo:
    """Give a time zone. Raises ValueError with an example."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: the name of a folder of zones
        raise ValueError(f"time zone {name!r} is not known (for example Asia/Shanghai)") from None


def _measure(value: Any, units: dict[str, Any], example: str) -> float:
    found = _AMOUNT.match(value) if isinstance(value, str) else None
    if found is None or found[2] not in units:
        raise ValueError(f"Expected an amount with a unit (for example {example}), got {value!r}")
    return float(found[1]) * float(units[found[2]])
