"""What is in a record of the ERP, and what of it is still as we wrote it (pure)."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from connectors.erp.maker import maker
from connectors.erp.mapping import Rule, parts
from connectors.erp.rest.plan import Record, States
from gateway.core.delivery import ErpRef

_LONGEST = 64
_LONGEST_VERSION = 200

Row = Mapping[str, Any]


def dig(value: Any, place: str) -> Any:
    """Give what is at a place, None when nothing is. A name that itself has dots in it is found first."""
    if not place:
        return value
    if not isinstance(value, Mapping):
        return None
    if place in value:
        return value[place]
    parts = place.split(".")
    for end in range(len(parts) - 1, 0, -1):
        head = ".".join(parts[:end])
        if head in value:
            return dig(value[head], ".".join(parts[end:]))
    return None


def put(body: dict[str, Any], place: str, value: Any) -> None:
    """Set what is at a place; objects on the way are made."""
    *way, last = parts(place)
    for name in way:
        body = body.setdefault(name, {})
    body[last] = value


def word(value: Any) -> str:
    """Give a scalar as the text that it is shown as; "" for everything else."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return ""
    return str(value).strip()


def last_part(address: str) -> str:
    """Give the last part of an address: what is in its last brackets, or after its last slash."""
    end = address.split("?", 1)[0].rstrip("/").rsplit("/", 1)[-1]
    return end[end.index("(") + 1 : -1] if end.endswith(")") and "(" in end else end


def ref_of(row: Any, record: Record, states: States, key: str, version: str = "") -> ErpRef | None:
    """Give an order as the ERP shows it; None without a number. `version` counts where a record has none."""
    number = word(dig(row, record.number)) if record.number else ""
    if not isinstance(row, Mapping) or not number or len(number) > _LONGEST:
        return None
    status = word(dig(row, record.status)) if record.status else ""
    shown = word(dig(row, record.version)) if record.version else version
    state = states.meaning(status)
    code = word(dig(row, record.closing)) if record.closing else ""
    return ErpRef(
        key,
        number,
        status[:_LONGEST],
        version=shown if len(shown) <= _LONGEST_VERSION else "",
        closing_code=code[:_LONGEST] or None if state in {"done", "cancelled"} else None,
        state=state,
        maker=maker(dig(row, record.maker)) if record.maker else "",
    )


def id_of(row: Any, record: Record) -> str:
    """Give what other requests call a record by."""
    return last_part(word(dig(row, record.id))) if record.id else word(dig(row, record.number))


def flat(fields: Mapping[str, Any], places: Sequence[str]) -> dict[str, Any]:
    """Give the fields of an order by their places; one without a value is None."""
    return {place: dig(fields, place) for place in places}


def same(one: Any, other: Any) -> bool:
    """Say whether two values are the same to an ERP.

    White space at the ends, "" and missing count for nothing; numbers may be texts, moments may be in another zone.
    """
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return all(same(one.get(name), other.get(name)) for name in {*one, *other})
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(same(*pair) for pair in zip(one, other, strict=True))
    first, second = _plain(one), _plain(other)
    if isinstance(first, bool) or isinstance(second, bool):
        return first is second
    if type(first) is type(second):
        return bool(first == second) or _moment(first) == _moment(second) != first
    return _number(first) is not None and _number(first) == _number(second)


def difference(was: Row, wanted: Row, present: Row) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Give what must be written, by place, and the names of what somebody else has changed meanwhile."""
    change: dict[str, Any] = {}
    kept = []
    for name in sorted({*was, *wanted}):
        old, new, now = was.get(name), wanted.get(name), present.get(name)
        if same(old, new) or same(now, new):
            continue
        if same(now, old):
            change[name] = new
        else:
            kept.append(name)
    return change, tuple(kept)


def foreign(
    key: str, wanted: Mapping[str, Any], shown: Mapping[str, Any], rules: Mapping[str, Rule]
) -> tuple[str, ...]:
    """Name the fields by which a record under our key is another's order; () where it is ours.

    It is ours, whatever a planner did to it, while it is about our asset and one more thing is as we wrote it.
    """
    told = {name: value for name, value in wanted.items() if _tells(rules[name], value)}
    differ = tuple(sorted(name for name, value in told.items() if not same(shown.get(name), value)))
    asset = [name for name in differ if rules[name].source == "asset" and shown.get(name) is not None]
    if asset or not told:
        return tuple(asset)
    ours = len(differ) < len(told) or any(key in str(shown.get(name)) for name in told)
    return () if ours else differ


def _tells(rule: Rule, value: Any) -> bool:
    return rule.constant is None and rule.source != "key" and value is not None


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\r\n", "\n").strip() or None
    return None if value in ([], {}) else value


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def _moment(value: Any) -> Any:
    """Give a text that is a moment as that moment, everything else as it is."""
    if not isinstance(value, str) or "T" not in value:
        return value
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        return value
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at
