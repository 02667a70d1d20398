"""Values in Frappe's fields: what a field of a type takes, and whether two values are the same."""

from collections.abc import Mapping
from datetime import UTC, datetime
from html import escape
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from connectors.erp.mapping import Rule, cut
from connectors.erp.markup import words

Value = str | int | float

WORDS = frozenset({"title", "description", "text", "failure_mode", "cause", "effect", "action", "mechanism"})
"""Sources that are words, which may be cut. A code that is cut would be another code."""

LAYOUT = frozenset({"Section Break", "Column Break", "Tab Break", "Fold", "Heading", "HTML", "Button", "Image"})
"""Field types that hold no value."""

_LINE = 140
"""Characters that a line of Frappe holds when its field says nothing else (`VARCHAR_LEN`)."""
_LINES = frozenset({"Data", "Link", "Select", "Dynamic Link", "Autocomplete", "Phone", "Read Only", "Barcode"})
_RICH = frozenset({"Text Editor", "HTML Editor"})
_LONG = frozenset({"Small Text", "Text", "Long Text", "Code", "Markdown Editor"})
_WHOLE = frozenset({"Int", "Rating", "Duration"})
_BROKEN = frozenset({"Float", "Currency", "Percent"})


class Kind(msgspec.Struct, frozen=True):
    """What a DocType says of one field. `options` are the choices of a Select, or the DocType that a Link means."""

    type: str
    options: tuple[str, ...] = ()
    longest: int = 0
    required: bool = False
    readonly: bool = False
    unique: bool = False
    filled: bool = False


class NoValueError(ValueError):
    """A field cannot take a value; says which and why."""


def kinds(fields: Any) -> dict[str, Kind]:
    """Read the fields of a DocType's meta. Raises ValueError for what are none."""
    if not isinstance(fields, list) or not all(isinstance(one, Mapping) for one in fields):
        raise ValueError("the answer is no DocType with its fields")
    return {str(one["fieldname"]): _kind(one) for one in fields if one.get("fieldname") and one.get("fieldtype")}


def _kind(said: Mapping[str, Any]) -> Kind:
    kind = str(said["fieldtype"])
    length = said.get("length")
    longest = length if isinstance(length, int) and length > 0 else 0
    options = tuple(str(said.get("options") or "").split("\n"))
    # Frappe fills a Select without a default with its first choice.
    first = kind == "Select" and bool(options[0])
    return Kind(
        kind,
        tuple(option for option in options if option),
        longest or (_LINE if kind in _LINES else 0),
        required=bool(said.get("reqd")),
        readonly=bool(said.get("read_only")),
        unique=bool(said.get("unique")),
        filled=bool(said.get("default")) or bool(said.get("fetch_from")) or first,
    )


def written(name: str, value: Any, rule: Rule, kind: Kind, zone: ZoneInfo) -> Value:
    """Give a mapped value as the field takes it; a moment in the site's zone. Raises `NoValueError`."""
    if kind.type == "Select" and kind.options and str(value) not in kind.options:
        raise NoValueError(f"field {name} takes {', '.join(kind.options)}, not {value!r}")
    try:
        found = _written(value, kind, zone)
    except (ValueError, TypeError):
        raise NoValueError(f"field {name} of type {kind.type} does not take {value!r}") from None
    if found is None:
        raise NoValueError(f"field {name} of type {kind.type} takes no value of an order")
    if kind.longest and isinstance(found, str) and len(found) > kind.longest:
        if rule.source not in WORDS:
            raise NoValueError(f"field {name} holds {kind.longest} characters, {found!r} has {len(found)}; see mapping")
        return cut(found, kind.longest)
    return found


def _written(value: Any, kind: Kind, zone: ZoneInfo) -> Value | None:
    if kind.type in _RICH:
        return "<br>".join(escape(line) for line in str(value).split("\n"))
    if kind.type in _LINES | _LONG:
        return str(value)
    if kind.type in _WHOLE:
        return int(value)
    if kind.type in _BROKEN:
        return float(value)
    match kind.type:
        case "Check":
            return int(value if isinstance(value, bool) else str(value).lower() in {"1", "true", "yes"})
        case "Date":
            return f"{_moment(value).astimezone(zone):%Y-%m-%d}"
        case "Datetime":
            return f"{_moment(value).astimezone(zone):%Y-%m-%d %H:%M:%S}"
        case "Time":
            return f"{_moment(value).astimezone(zone):%H:%M:%S}"
    return None


def same(told: Any, ours: Value | None, kind: Kind) -> bool:
    """Say whether what Frappe shows is what we would write. Rich text counts by its words, nothing is as good as ""."""
    if kind.type == "Check":
        return bool(told) == bool(ours)
    if told in (None, "") or ours in (None, ""):
        return told in (None, "") and ours in (None, "")
    if kind.type in _RICH:
        return words(str(told)) == words(str(ours))
    if kind.type in _WHOLE | _BROKEN:
        try:
            return abs(float(told) - float(str(ours))) < 1e-6  # noqa: PLR2004  Frappe rounds to the field's precision
        except (ValueError, TypeError):
            return False
    if kind.type == "Datetime":
        return str(told).split(".", 1)[0] == str(ours)
    if kind.type == "Time":
        return str(told).split(".", 1)[0].zfill(8) == str(ours)
    return str(told).replace("\r\n", "\n").strip() == str(ours).strip()


def added(told: Any, line: str, kind: Kind) -> str:
    """Give what stands in a field with one line more."""
    before = str(told or "")
    if kind.type in _RICH:
        return f"{before}<p>{escape(line)}</p>"
    return f"{before}\n{line}".strip()


def _moment(value: Any) -> datetime:
    at = datetime.fromisoformat(str(value))
    return at if at.tzinfo else at.replace(tzinfo=UTC)
