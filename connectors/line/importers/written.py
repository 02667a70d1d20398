"""Written: settings and tag tables as text."""

import csv
import io
import json
from collections.abc import Iterator, Sequence

from connectors.line.importers.found import Field, Imported, ImportedLine

_COLUMNS = ("asset", "tag", "address", "unit", "device", "low", "high", "scale", "offset", "every", "deadband", "group")
_AS_TEXT = frozenset({"asset", "tag", "address", "unit", "every", "group"})


def toml_of(found: Imported, tables: dict[str, str] | None = None, source: str = "") -> str:
    """Write the settings. `tables` names the tag table (CSV) of a line; without one its tags stand in the text."""
    head = f"# Taken over from {source}; see the notes.\n" if source else ""
    lines = (_line(line, (tables or {}).get(line.name)) for line in found.lines)
    return "\n".join(part for part in (head, *map(_asset, found.assets), *lines) if part)


def csv_of(line: ImportedLine) -> str:
    """Write a line's tag table: the columns that are used, in the order that people read them."""
    columns = [name for name in _COLUMNS if any(tag.get(name) for tag in line.tags)]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    for tag in line.tags:
        writer.writerow([tag.get(name, "") for name in columns])
    return out.getvalue()


def _asset(name: str) -> str:
    return f"[[asset]]\nid = {text(name)}\n"


def _line(line: ImportedLine, table: str | None) -> str:
    rows = [f"[line.{line.name}]", f"protocol = {text(line.protocol)}"]
    rows += [f"{name} = {value_of(value)}" for name, value in line.fields.items()]
    if table is not None:
        rows.append(f"tags = {text(table)}")
    for group in line.groups:
        rows += ["", f"[[line.{line.name}.group]]", *(f"{name} = {value_of(value)}" for name, value in group.items())]
    if table is None:
        rows += _tags(line.name, line.tags)
    return "\n".join(rows) + "\n"


def _tags(line: str, tags: Sequence[dict[str, str]]) -> Iterator[str]:
    for tag in tags:
        yield ""
        yield f"[[line.{line}.tag]]"
        for name in _COLUMNS:
            if tag.get(name):
                yield f"{name} = {text(tag[name]) if name in _AS_TEXT or not _number(tag[name]) else tag[name]}"


def _number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return cell[-1:].isdigit()


def value_of(value: Field | dict[str, str]) -> str:
    """Write one value as TOML."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return text(value)
    if isinstance(value, list):
        return f"[{', '.join(map(text, value))}]"
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{name} = {value_of(member)}' for name, member in value.items())} }}"
    return repr(value)


def text(value: str) -> str:
    """Write a text as a TOML basic string."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")
