"""The simulated ERP of the benches: its process, its faults, and its own database, where orders are counted."""

import json
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx2

ROOT = Path(__file__).parents[2]
STRATEGIES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "header": ("header", {}),
    "upsert": ("lookup", {"create_only": True}),
    "client_id": ("lookup", {"reference_field": "number", "mapping": {"number": "key", "title": "failure_mode"}}),
    "lookup": ("lookup", {}),
}
"""Per strategy: the profile of the simulated ERP, and what `[erp.main]` says beside the usual."""
ASIDE_S = 30.0


class Erp:
    """A running ERP. `commits` are counted in its database and not in what anybody was told."""

    def __init__(self, ready: Mapping[str, str], database: Path) -> None:
        self.ready, self._database = ready, database

    def faults(self, rules: Sequence[Mapping[str, Any]], seed: int) -> None:
        """Put faults in the place of those that are there."""
        self._tell("faults", {"faults": rules, "seed": seed})

    def habits(self, **values: object) -> None:
        """Turn its habits."""
        self._tell("habits", values)

    def _tell(self, what: str, body: object) -> None:
        answer = httpx2.post(f"{self.ready['control_url']}/{what}", json=body, timeout=ASIDE_S, trust_env=False)
        answer.raise_for_status()

    def commits(self) -> dict[str, int]:
        """Count orders by our key."""
        with closing(sqlite3.connect(f"file:{self._database}?mode=ro", uri=True)) as database:
            rows: list[tuple[str, str]] = database.execute("SELECT reference, body FROM orders").fetchall()
        return dict(Counter(key or str(json.loads(body).get("number", "")) for key, body in rows))

    def in_order(self) -> list[tuple[str, str]]:
        """Give (asset, key) of every order as the ERP made them."""
        with closing(sqlite3.connect(f"file:{self._database}?mode=ro", uri=True)) as database:
            return database.execute("SELECT equipment, reference FROM orders ORDER BY id").fetchall()


@contextmanager
def simulated(profile: str, folder: Path, *options: str) -> Iterator[Erp]:
    """Run a simulated ERP while the block runs. Raises `RuntimeError` when it does not start."""
    database = folder / "erp.db"
    command = [sys.executable, "-m", "simulators.erp", "--db", str(database), "--profile", profile, *options]
    child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        yield Erp(_ready(child), database)
    finally:
        child.terminate()
        child.wait(ASIDE_S)
        if child.stdout is not None:
            child.stdout.close()


def _ready(child: "subprocess.Popen[str]") -> dict[str, str]:
    for line in child.stdout or ():
        if line.startswith("READY "):
            return dict(json.loads(line.removeprefix("READY ")))
    raise RuntimeError("the simulated ERP did not start")
