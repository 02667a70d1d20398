"""What was set aside, as a file: whole as JSON lines, or its list as CSV that a spreadsheet runs no formula of."""

import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from gateway.core.errors import Refused
from gateway.flow.parked import SetAside
from gateway.web.masking import written

_ENDS = {".jsonl", ".csv"}
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_COLUMNS = ("name", "since", "at", "reason", "next")


def check(file: Path) -> None:
    """Raise `Refused` for a file whose name says neither JSON lines nor CSV."""
    if file.suffix not in _ENDS:
        raise Refused(f"{file}: name a file that ends in .jsonl or .csv")


def put(file: Path, things: Sequence[tuple[SetAside, Any]]) -> None:
    """Write a new file, for its owner alone. Raises `Refused` when it is there already, or cannot be written."""
    text = _csv(things) if file.suffix == ".csv" else _lines(things)
    try:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            out.write(text)
    except FileExistsError as there:
        raise Refused(f"{file} is there already: name another one") from there
    except OSError as lost:
        raise Refused(f"{file} cannot be written: {lost.strerror}") from lost


def guarded(text: str) -> str:
    """Give a cell that a spreadsheet takes for text: one that begins like a formula gets an apostrophe."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def _lines(things: Sequence[tuple[SetAside, Any]]) -> bytes:
    rows = [msgspec.json.encode({**msgspec.structs.asdict(one), "thing": written(thing)}) for one, thing in things]
    return b"".join(row + b"\n" for row in rows)


def _csv(things: Sequence[tuple[SetAside, Any]]) -> bytes:
    text = io.StringIO(newline="")
    table = csv.writer(text)
    table.writerow(_COLUMNS)
    for one, _ in things:
        row = {**msgspec.structs.asdict(one), "since": one.since.isoformat()}
        table.writerow([guarded(str(row[name])) for name in _COLUMNS])
    return text.getvalue().encode()
