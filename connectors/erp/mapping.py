"""Work order into the ERP's fields: a table of target field, source path, longest text, code list."""

import re
import types
import typing
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
import regex  # type: ignore[import-untyped]  # it ships no types; \X is all that is used

from gateway.core.errors import Misconfigured
from gateway.core.order import Level, WorkOrder

Scalar = str | int | float | bool
_GRAPHEME = regex.compile(r"\X")
_LEVELS = frozenset(typing.get_args(typing.get_type_hints(Level)["level"]))
_DOT = re.compile(r"(?<!@odata)\.")
TEXT = "text"
"""A source path that is no field: title, description and key, so that a cut title loses nothing."""


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"source": "from", "longest": "max"}):
    """One target field. `from` is a source path, `constant` a value; `max` cuts text to so many characters.

    `values` translates our codes ("1" = "Z1"); a code that is not in it stays as it is. A field without a value
    is left out.
    """

    source: str | None = None
    constant: Scalar | None = None
    longest: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] | None = None
    values: dict[str, Scalar] = {}

    def __post_init__(self) -> None:
        if (self.source is None) == (self.constant is None):
            raise ValueError('A mapping says where a field comes from: { from = "path" } or { constant = "value" }')


Table = Mapping[str, str | Rule]
"""Target field -> source path or rule. A dot in the target field makes an object inside the body (not @odata.bind)."""

DEFAULT: Table = {
    "reference": "key",
    "type": "work_type",
    "activity": "activity",
    "title": Rule(source="title", longest=80),
    "description": Rule(source=TEXT, longest=4000),
    "language": "language",
    "equipment": Rule(source="asset", longest=40),
    "component": Rule(source="component", longest=60),
    "plant": "hierarchy.site",
    "location": "hierarchy.line",
    "priority": "priority",
    "impact": "impact",
    "equipment_down": "asset_down",
    "failure_code": Rule(source="iso_mode", longest=40),
    "failure_text": Rule(source="failure_mode", longest=80),
    "mechanism": "mechanism",
    "cause": "cause",
    "effect": "effect",
    "detection": "detection",
    "action": "action",
    "detected_at": "detected_at",
    "required_start": "required_start",
    "due": "due",
    "material": "product.material",
    "batch": "product.batch",
    "production_order": "product.order",
    "quantity": "product.quantity",
    "confidence": "diagnosis.confidence",
    "model": "diagnosis.model",
    "attachments": "evidence",
    "source": "source.kind",
    "source_id": "source.id",
}
"""What an ERP gets that is told nothing else."""


class Body:
    """A checked table. The same order always gives the same bytes: an ERP compares them under one key.

    `key_field` is the target that carries our key; None where the key travels outside of the fields.
    """

    def __init__(self, table: Table, key_field: str | None, key_limit: int) -> None:
        rules = {target: Rule(source=rule) if isinstance(rule, str) else rule for target, rule in table.items()}
        _check(rules, key_field, key_limit)
        self._rules = rules
        # Looked up once: an alarm storm maps a thousand orders a second.
        self._steps = [(parts(target), rule, str(rule.source).split(".")) for target, rule in rules.items()]

    @property
    def rules(self) -> Mapping[str, Rule]:
        """Every target field with its rule."""
        return self._rules

    def of(self, order: WorkOrder) -> bytes:
        """Encode an order as the ERP's JSON."""
        return msgspec.json.encode(self.fields(order), order="sorted")

    def fields(self, order: WorkOrder) -> dict[str, Any]:
        """Give an order as the ERP's fields; what has no value is left out. Times are ISO 8601 text."""
        body: dict[str, Any] = {}
        for path, rule, source in self._steps:
            value = _value(order, rule, source)
            if value is None or value in ([], {}):
                continue
            place = body
            for name in path[:-1]:
                place = place.setdefault(name, {})
            place[path[-1]] = value
        return body


def parts(target: str) -> list[str]:
    """Give the names on the way to a target field; the dot of an OData annotation is part of its name."""
    return _DOT.split(target)


def cut(text: str, longest: int) -> str:
    """Cut text to at most so many characters, never inside what a reader sees as one."""
    if len(text) <= longest:
        return text
    kept = 0
    for found in _GRAPHEME.finditer(text):
        if found.end() > longest:
            break
        kept = found.end()
    return text[:kept]


def long_text(order: WorkOrder) -> str:
    """Give title, description and key as one text."""
    return f"{order.title}\n{order.description}\n[{order.key}]"


def _value(order: WorkOrder, rule: Rule, source: list[str]) -> Any:
    if rule.constant is not None:
        return rule.constant
    value = _fetch(order, source)
    if value is None:
        return None
    if not isinstance(value, str | int | float):
        value = msgspec.to_builtins(value)
    if rule.values and isinstance(value, str | int | float | bool):
        word = str(value).lower() if isinstance(value, bool) else str(value)
        value = rule.values.get(word, value)
    if rule.longest is None:
        return value
    if rule.source == TEXT and len(value) > rule.longest:
        # The key must survive the cut: it is how the order is found by people.
        tail = f"\n[{order.key}]"
        return cut(long_text(order).removesuffix(tail), rule.longest - len(tail)) + tail
    return cut(value if isinstance(value, str) else str(value), rule.longest)


def _fetch(order: WorkOrder, source: list[str]) -> Any:
    if source[0] == TEXT:
        return long_text(order)
    if source[0] == "hierarchy" and len(source) > 1:
        return next((level.id for level in order.hierarchy if level.level == source[1]), None)
    value: Any = order
    for name in source:
        value = value.get(name) if isinstance(value, dict) else getattr(value, name)
        if value is None:
            return None
    return value


def _check(rules: Mapping[str, Rule], key_field: str | None, key_limit: int) -> None:
    faults = []
    for target, rule in rules.items():
        if rule.source is not None and not _exists(rule.source):
            faults.append(
                f"mapping.{target}: no field {rule.source!r} in a work order; there are {', '.join(sources())}"
            )
        if not all(parts(target)):
            faults.append(f"mapping.{target}: a name is missing between dots")
        shadow = [other for other in rules if other.startswith(f"{target}.")]
        if shadow:
            faults.append(f"mapping.{target}: {shadow[0]} wants it to be an object")
        if rule.source == TEXT and rule.longest is not None and rule.longest < 2 * key_limit:
            faults.append(f"mapping.{target}: max is too short for a text with its key")
    if key_field is not None and not _whole(rules.get(key_field), key_limit):
        faults.append(f'mapping.{key_field}: must be "key", whole: an order is found by it')
    if faults:
        raise Misconfigured("the mapping to the ERP is wrong", tuple(faults))


def _whole(key: Rule | None, key_limit: int) -> bool:
    if key is None or key.source != "key" or key.values:
        return False
    return key.longest is None or key.longest >= key_limit


def sources() -> list[str]:
    """Name every source path of the first level, and the texts that are made up of several."""
    return sorted([*WorkOrder.__struct_fields__, TEXT, *(f"hierarchy.{level}" for level in _LEVELS)])


def _exists(path: str) -> bool:
    if path == TEXT:
        return True
    first, *rest = path.split(".")
    if first == "hierarchy":
        return not rest or (len(rest) == 1 and rest[0] in _LEVELS)
    kind: Any = WorkOrder
    for name in (first, *rest):
        hints = _fields(kind)
        if hints is None or name not in hints:
            return False
        kind = hints[name]
    return True


def _fields(kind: Any) -> dict[str, Any] | None:
    """Give the fields of a struct, also of an optional one; None for everything else."""
    options = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    for option in options:
        if isinstance(option, type) and issubclass(option, msgspec.Struct):
            return typing.get_type_hints(option)
    return None
