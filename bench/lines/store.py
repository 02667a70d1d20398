"""Rows of the store: those of bench/store.py."""

import asyncio
import importlib
from collections.abc import Iterator
from dataclasses import replace

from report import Row

from lines.rows import Given


def acknowledged(given: Given) -> Iterator[Row]:
    """Acknowledged rows of 200 producers, FULL; one commit each beside them (the rows of bench/store.py)."""
    bench = importlib.import_module("store")
    for row in asyncio.run(bench.measure(20 if given.quick else 200)):
        yield replace(row, name=f"store: {row.name}")
