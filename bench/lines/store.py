"""Rows of the store: those of bench/store.py."""

import asyncio
import importlib
from collections.abc import Iterator
from dataclasses import replace

from report import Row

from lines.rows import Given

TARGETS = {"journalled batches of one value": 50_000.0, "journalled values in columns, 50 a batch": 50_000.0}
"""Rows a second: one value a commit of its own, and a small batch of values."""


def acknowledged(given: Given) -> Iterator[Row]:
    """Acknowledged rows of 200 producers, FULL; one commit each beside them (the rows of bench/store.py)."""
    bench = importlib.import_module("store")
    for row in asyncio.run(bench.measure(20 if given.quick else 200)):
        least = TARGETS.get(row.name)
        good = row.ok if least is None else (row.ours or 0.0) >= least
        yield replace(row, name=f"store: {row.name}", target="" if least is None else f">= {least:,.0f}", ok=good)
