"""The tags of a source: those of the settings, and those of the CSV table that they name."""

import csv
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from connectors.line.tags import Tag, distinct
from gateway.core.errors import Misconfigured
from gateway.core.units import decode

TagKind = TypeVar("TagKind", bound=Tag)
_COMMA = re.compile(r"-?\d+,\d+")


def all_tags(
    line: str,
    own: tuple[TagKind, ...],
    table: str | None,
    kind: type[TagKind],
    wrong: Callable[[tuple[TagKind, ...]], Iterable[str]] = distinct,
) -> tuple[TagKind, ...]:
    """Give a source's own tags and those of its table. Raises `Misconfigured` with every fault that `wrong` names."""
    every = (*own, *(read_table(Path(table), kind) if table else ()))
    if faults := tuple(wrong(every)):
        raise Misconfigured(f"line {line}", faults)
    return every


def read_table(path: Path, kind: type[TagKind]) -> tuple[TagKind, ...]:
    """Read a CSV tag table: a header of field names, a row per tag.

    Takes Excel's BOM and `;`. An empty cell is an absent field. Types come from the declaration, they
    are never guessed. Raises `Misconfigured` with every fault, each with file, line and column.
    """
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError as lost:
        row = lost.object.count(b"\n", 0, lost.start) + 1
        raise Misconfigured(f"{path}:{row}: not UTF-8 text: save the tag table as CSV UTF-8") from lost
    except OSError as lost:
        raise Misconfigured(f"tag table {path} cannot be read: {lost}") from lost
    lines = text.splitlines()
    if not lines:
        raise Misconfigured(f"{path}:1: the table is empty")
    comma = ";" if lines[0].count(";") > lines[0].count(",") else ","
    rows = csv.reader(lines, delimiter=comma, strict=True)
    columns = [cell.strip() for cell in next(rows)]
    known = set(kind.__struct_fields__)
    faults = [
        f"{path}:1: column {place}: {name!r} is not a field; known: {', '.join(sorted(known))}"
        for place, name in enumerate(columns, 1)
        if name not in known
    ]
    if faults:
        raise Misconfigured(f"tag table {path}", tuple(faults))
    return _rows_of(path, rows, columns, kind)


def _rows_of(path: Path, rows: Iterable[list[str]], columns: list[str], kind: type[TagKind]) -> tuple[TagKind, ...]:
    tags: list[TagKind] = []
    faults: list[str] = []
    try:
        for number, row in enumerate(rows, 2):
            cells = [cell.strip() for cell in row]
            if not any(cells):
                continue
            if len(cells) > len(columns):
                faults.append(f"{path}:{number}: {len(cells)} cells under {len(columns)} columns")
                continue
            given = {name: cell for name, cell in zip(columns, cells, strict=False) if cell}
            try:
                tags.append(msgspec.convert(given, kind, strict=False, dec_hook=decode))
            except msgspec.ValidationError as fault:
                faults.append(f"{path}:{number}: {_column_of(str(fault), given, columns)}")
    except csv.Error as fault:
        faults.append(f"{path}: {fault}")
    if faults:
        raise Misconfigured(f"tag table {path}", tuple(faults))
    return tuple(tags)


def _column_of(fault: str, given: Mapping[str, str], columns: Sequence[str]) -> str:
    """Turn msgspec's `at $.low` into the column's number and name, with what stands there."""
    for place, name in enumerate(columns, 1):
        if f"`$.{name}`" in fault:
            cell = given.get(name, "")
            comma = "; a decimal point is wanted, no comma" if _COMMA.fullmatch(cell) else ""
            return f"column {place} ({name}): {fault.split(' - at ', maxsplit=1)[0]}: {cell!r}{comma}"
    return fault
