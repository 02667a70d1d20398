"""Values in Tryton's JSON: what a field of a type takes, and whether two values are the same to it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any
from zoneinfo import ZoneInfo

_DAY = ("year", "month", "day")
_TIME = (*_DAY, "hour", "minute", "second", "microsecond")


def encode(value: Any, kind: str, zone: ZoneInfo) -> Any:
    """Give a mapped value as a field of this type takes it. Raises ValueError when it cannot.

    A moment becomes the date that it is in `zone`; Tryton keeps times in UTC, without saying so.
    """
    match kind:
        case "date":
            return _parts("date", _moment(value).astimezone(zone), _DAY)
        case "datetime" | "timestamp":
            return _parts("datetime", _moment(value).astimezone(UTC), _TIME)
        case "numeric":
            return {"__class__": "Decimal", "decimal": str(_decimal(value))}
        case "integer" | "many2one":
            return int(value)
        case "float":
            return float(value)
        case "boolean":
            return bool(value)
        case "char" | "text" | "selection" | "reference":
            return value.strip() if isinstance(value, str) else str(value)
    raise ValueError(f"a field of type {kind} takes no value of an order")


def same(one: Any, other: Any) -> bool:
    """Say whether two values of a field are the same to Tryton: white space at the ends and "" count for nothing."""
    return bool(_plain(one) == _plain(other))


def moment(value: Any) -> str:
    """Give a time of Tryton as ISO 8601, "" for none."""
    if not isinstance(value, Mapping) or value.get("__class__") != "datetime":
        return ""
    try:
        return datetime(*(int(value.get(name, 0)) for name in _TIME), tzinfo=UTC).isoformat()  # type: ignore[misc,arg-type]  # seven integers
    except (TypeError, ValueError):
        return ""


def _moment(value: Any) -> datetime:
    found = datetime.fromisoformat(str(value))
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _parts(name: str, at: datetime, parts: tuple[str, ...]) -> dict[str, Any]:
    return {"__class__": name, **{part: getattr(at, part) for part in parts}}


def _decimal(value: Any) -> Decimal:
    try:
        return Decimal(str(value))
    except InvalidOperation:
        raise ValueError(f"{value!r} is no number") from None


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\r\n", "\n").strip() or None
    if isinstance(value, Mapping) and value.get("__class__") == "Decimal":
        return _decimal(value.get("decimal"))
    return value
