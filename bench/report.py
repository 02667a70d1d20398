"""What all benches share: the command line, the rows, and how they are printed."""

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, cast

import structlog


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The command line of a bench. `data` is the folder of a recorded set, for benches that need one."""

    quick: bool
    output: Literal["table", "json"]
    data: Path | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One published figure beside its baseline; `ratio` is how many times better ours is, None without baseline.

    `note` says what to know about it: its baseline and its source, or why there is no figure. Without one,
    `ours` and `ok` are None.
    """

    name: str
    ours: float | None
    baseline: float | None
    unit: str
    ratio: float | None
    target: str
    ok: bool | None
    note: str = ""


def arguments(name: str, data: bool = False) -> Options:  # noqa: FBT001, FBT002 (benches say data=True)
    """Read the command line that all benches have; `data` adds --data DIR. Ends the process on a wrong one."""
    parser = argparse.ArgumentParser(prog=f"bench/{name}.py", description=f"Measure: {name}.")
    parser.add_argument("--quick", action="store_true", help="shorter, less exact")
    parser.add_argument("-o", dest="output", choices=("table", "json"), default="table", help="form of the output")
    if data:
        parser.add_argument("--data", type=Path, help="folder of the recorded set")
    given = parser.parse_args()
    return Options(
        quick=bool(given.quick),
        output=cast("Literal['table', 'json']", given.output),
        data=given.data if data else None,
    )


def quiet() -> None:
    """Leave what the gateway logs below what is critical out of what a bench prints."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def publish(name: str, rows: Sequence[Row], output: str) -> None:
    """Print the rows: as a table for people, or as one JSON object in the last line for programs."""
    if output == "json":
        print(json.dumps({"bench": name, "rows": [asdict(row) for row in rows]}, ensure_ascii=False))
    else:
        _print_table([_cells(row) for row in rows])
    sys.stdout.flush()


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.name,
        _figure(row.ours),
        _figure(row.baseline),
        row.unit,
        "" if row.ratio is None else f"{row.ratio:.2f} x",
        row.target,
        {True: "ok", False: "MISSED", None: "-"}[row.ok],
        row.note,
    )


def _figure(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"  # noqa: PLR2004 (four digits are enough)


def _print_table(body: list[tuple[str, ...]]) -> None:
    head = ("what", "ours", "baseline", "unit", "ratio", "target", "", "")
    widths = [max(len(row[place]) for row in (head, *body)) for place in range(len(head))]
    for row in (head, tuple("-" * width for width in widths), *body):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
