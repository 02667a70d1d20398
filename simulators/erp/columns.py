"""The columns of a simulated ERP's table: types, lengths, codes, and which a client may write."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

Kind = Literal["text", "memo", "integer", "boolean", "moment", "choice", "link"]


@dataclass(frozen=True, slots=True)
class Column:
    """One column. `longest` counts UTF-16 units, as databases of these makes do. `once`: not changed afterwards."""

    kind: Kind = "text"
    longest: int | None = None
    choices: tuple[int | str, ...] = ()
    writable: bool = True
    once: bool = False
    needed: bool = False


@dataclass(frozen=True, slots=True)
class Wrong:
    """What a table does not take: the column, why, and a value that helps to say it."""

    column: str
    why: Literal["unknown", "type", "length", "choice", "read only", "missing"]
    detail: str = ""


Table = Mapping[str, Column]


def fault_of(table: Table, body: Mapping[str, Any], *, creates: bool) -> Wrong | None:
    """Give the first thing that a table does not take of a body, or None."""
    for name, value in body.items():
        column = table.get(name)
        if column is None:
            return Wrong(name, "unknown")
        if not column.writable or (column.once and not creates):
            return Wrong(name, "read only")
        wrong = None if value is None else _value(name, column, value)
        if wrong is not None:
            return wrong
    missing = [name for name, column in table.items() if column.needed and creates and body.get(name) in (None, "")]
    return Wrong(missing[0], "missing") if missing else None


def _value(name: str, column: Column, value: Any) -> Wrong | None:
    kinds: dict[str, type | tuple[type, ...]] = {"integer": int, "boolean": bool, "choice": (int, str)}
    wanted = kinds.get(column.kind, str)
    if not isinstance(value, wanted) or (isinstance(value, bool) and column.kind != "boolean"):
        return Wrong(name, "type", type(value).__name__)
    if column.kind == "moment" and not _is_moment(str(value)):
        return Wrong(name, "type", str(value))
    if column.choices and value not in column.choices:
        return Wrong(name, "choice", str(value))
    if column.longest is not None and isinstance(value, str) and len(value.encode("utf-16-le")) // 2 > column.longest:
        return Wrong(name, "length", str(column.longest))
    return None


def _is_moment(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False
