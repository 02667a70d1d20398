"""The simulated ERP as a real process, and the words that tests say to it."""

import asyncio
import json
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2

from gateway.core.order import SourceRef, WorkOrder, business_key

ROOT = Path(__file__).parents[1]
# A colon, a percent sign, a plus and a euro sign: all of them break a client that does not encode.
SECRET = "s:e%c+r €t"  # noqa: S105  of this test


class Erp:
    """A running ERP: its addresses, its faults and its oracle."""

    def __init__(self, ready: dict[str, str]) -> None:
        self.ready = ready
        self.url = ready["base_url"]
        self._control = httpx2.Client(base_url=ready["control_url"], timeout=10, trust_env=False)
        self.http = httpx2.Client(base_url=self.url, timeout=10, trust_env=False)

    def _post(self, name: str, body: object) -> None:
        answer = self._control.post(f"/{name}", json=body)
        assert answer.status_code == 200, answer.text

    def faults(self, *rules: dict[str, Any], seed: int = 1) -> None:
        self._post("faults", {"faults": list(rules), "seed": seed})

    def habits(self, **values: object) -> None:
        self._post("habits", values)

    def turn(self, desk: str, **values: object) -> None:
        """Set the habits of a system of another make (odoo, sap)."""
        self._post(desk, values)

    def edit(self, number: str, **fields: object) -> None:
        """Change an order of the generic profile as a planner does."""
        self._post("order", {"number": number, **fields})

    def copy(self, number: str) -> None:
        """Have a planner copy an order of the generic profile, with all that it carries."""
        self._post("copy", {"number": number})

    def tokens(self, **values: object) -> None:
        self._post("tokens", values)

    def revoke(self) -> None:
        self._post("revoke", {})

    def down(self, seconds: float, mode: str = "closed") -> None:
        self._post("down", {"seconds": seconds, "mode": mode})

    def state(self) -> dict[str, Any]:
        return dict(self._control.get("/state").json())

    async def until(self, seen: Callable[[dict[str, Any]], bool], seconds: float = 20.0) -> dict[str, Any]:
        """Wait until the oracle says so; fails with what it says after the deadline."""
        deadline = time.monotonic() + seconds
        while not seen(state := self.state()):
            assert time.monotonic() < deadline, state
            await asyncio.sleep(0.02)
        return state

    def commits(self, key: str) -> int:
        return int(self.state()["commits"].get(key, 0))

    def close(self) -> None:
        self._control.close()
        self.http.close()


@contextmanager
def running_erp(*options: str) -> Iterator[Erp]:
    """Start an ERP and end it again, by its own process."""
    command = [sys.executable, "-m", "simulators.erp", "--client-secret", SECRET, *options]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        erp = Erp(_ready(process))
        yield erp
        erp.close()
    finally:
        process.terminate()
        code = process.wait(10)
        if process.stdout is not None:
            process.stdout.close()
    assert code == 0


def _ready(process: subprocess.Popen[str]) -> dict[str, str]:
    assert process.stdout is not None
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if select.select([process.stdout], [], [], 0.5)[0]:
            line = process.stdout.readline()
            if line.startswith("READY "):
                return dict(json.loads(line.removeprefix("READY ")))
            assert line, "the ERP ended"
    raise AssertionError("the ERP did not get ready")


def make_order(name: str, asset: str | None = "M-07", **fields: Any) -> WorkOrder:
    """Make an order about one trouble; the name decides the key."""
    given = {
        "key": business_key(b"test", "SZ1", asset or "", name),
        "version": 1,
        "work_type": "maintenance",
        "activity": "condition-based",
        "title": "M-07: outer race of the bearing",
        "description": "轴承外圈故障，置信度 93%。",
        "language": "zh",
        "hierarchy": (),
        "asset": asset,
        "component": "bearing",
        "priority": 2,
        "impact": "degraded",
        "asset_down": False,
        "failure_mode": "bearing_outer_race",
        "iso_mode": "VIB",
        "detection": "condition monitoring",
        "detected_at": datetime(2026, 11, 21, 8, 0, tzinfo=UTC),
        "source": SourceRef("machine", name),
    }
    return WorkOrder(**{**given, **fields})
