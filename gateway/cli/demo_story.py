"""The demo's story, scene by scene. Each scene waits for what it shows, with a deadline."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import TypeVar

import httpx2
import msgspec
from rich.console import Console
from rich.syntax import Syntax
from rich.table import Table

from gateway.cli.demo_count import Accepted, Summary, accepted, as_the_erp_got_it, in_erp, summed
from gateway.cli.demo_plant import MACHINES, Plant, Process, plant
from gateway.core.errors import Unreachable
from gateway.core.ports import Store
from gateway.runtime.settings import load

T = TypeVar("T")

FAULTY, LATER = MACHINES[1], MACHINES[2]
LEARN = 4
"""Windows of a machine that are diagnosed before its bearing breaks: its baseline."""

REPORTS = (
    "三号线冲压机漏油，液压压力下降到3bar，请明早8点前派人检修，报告人张伟",
    "air compressor 1 motor tripped and will not start, please repair by Friday 5pm",
)
OUTAGE_REPORTS = (
    "批次B20260318-02铝壳表面有划痕，共37件",
    "lot C4711 burrs on 12 flanges, rework please",
    "1号固化炉温度波动大，请今天下午检查",
    "stamping press 3 light curtain loose, please adjust",
)
OUTAGE_S = 10
_SCENE_S = 90.0
_POLL_S = 0.2
_STOPPED = 130


class Story:
    """Tells the story to a terminal, or its numbers as one JSON object on the last line of standard output."""

    def __init__(self, folder: Path, port: int, seed: int, output: str) -> None:
        self._folder, self._port, self._seed, self._output = folder, port, seed, output
        self._console = Console(stderr=output == "json", highlight=False)
        self._began = monotonic()
        self._first: float | None = None
        self._told: set[str] = set()
        self._parts: tuple[Process, ...] = ()
        self.code = _STOPPED
        """The exit code, also when it is stopped: how the story ended, or that it did not."""

    async def tell(self, *, going_on: bool) -> int:
        """Tell it; give the exit code: 1 when an order was lost or doubled, or a scene did not come."""
        self._say("Starting an ERP, three machines, an oven and the gateway ...")
        async with plant(self._folder, self._port, self._seed) as stage:
            self._parts = stage.parts
            store = load(str(stage.config)).store.open()
            try:
                return await self._play(stage, store, going_on=going_on)
            except Unreachable as lost:
                self._console.print(f"[bold]{lost}[/]\nLogs: {self._folder}")
                return 1
            finally:
                await store.close()

    async def _play(self, stage: Plant, store: Store, *, going_on: bool) -> int:
        async with httpx2.AsyncClient(timeout=10.0) as http:
            self._say(
                f"API           {stage.url}/schema",
                f"Operator page {stage.url}/ui/",
                f"ERP page      {stage.erp.ready['base_url']}/",
            )
            await self._healthy(store)
            self._say(f"A bearing of {FAULTY} begins to break (outer race); a Chinese and an English report are sent.")
            await stage.machines.tell({"inject": "bearing_outer_race", "asset": FAULTY, "severity": 0.8})
            await self._report(http, stage, REPORTS)
            await self._first_order(stage, store)
            await self._until("both reports and the bearing to be ordered", lambda: self._delivered(stage, store, 3))
            await self._outage(http, stage, store)
            summary = await self._sum(stage, store)
            self._print(summary)
            self.code = 1 if summary.lost or summary.duplicates else 0
            if going_on:
                self._say("The line goes on. Open the operator page; Ctrl-C ends everything.")
                self._say(f"Next: {sys.argv[0]} orders list -c {stage.config}")
                self._say(f"      {sys.argv[0]} replay --since 5min --dry-run -c {stage.config}")
                await asyncio.Event().wait()
        return self.code

    async def _healthy(self, store: Store) -> None:
        """Wait until the models know what the healthy machine is like."""
        await self._until(
            "the first windows to be diagnosed",
            lambda: store.read(lambda tx: len(tx.diagnoses(FAULTY, limit=LEARN)) >= LEARN),
        )

    async def _report(self, http: httpx2.AsyncClient, stage: Plant, texts: Sequence[str]) -> None:
        for text in texts:
            name = f"demo-{len(self._told) + 1}"
            body = {"id": name, "text": text, "reported_at": datetime.now(UTC).isoformat()}
            answer = await http.post(f"{stage.url}/api/v1/reports", json=body)
            if answer.status_code != httpx2.codes.ACCEPTED:
                raise Unreachable(f"a report got {answer.status_code}: {answer.text[:300]}")
            self._told.add(name)

    async def _first_order(self, stage: Plant, store: Store) -> None:
        """Show the first order, as ours and as the ERP got it."""

        async def there() -> bool:
            return in_erp(stage.erp_database).orders > 0

        await self._until("the first order", there)
        self._first = round(monotonic() - self._began, 1)
        key = next(iter(in_erp(stage.erp_database).keys))
        stored = await store.read(lambda tx: tx.order(key))
        if stored is None:
            return
        order = stored.order
        table = Table("field", "value", title=f"First work order, {self._first} s after the start", box=None)
        for name in ("key", "asset", "title", "failure_mode", "iso_mode", "priority", "activity", "due", "description"):
            table.add_row(name, str(getattr(order, name) or ""))
        table.add_row("evidence", ", ".join(f"{item.kind} {item.sha256[:12]}" for item in order.evidence))
        self._console.print(table)
        body = msgspec.json.format(msgspec.json.encode(as_the_erp_got_it(stage.erp_database, key)), indent=1).decode()
        self._console.print("The same order as the ERP received it:")
        self._console.print(Syntax(body, "json", word_wrap=True) if self._console.is_terminal else body)

    async def _outage(self, http: httpx2.AsyncClient, stage: Plant, store: Store) -> None:
        """Take the ERP away, lose replies after the commit, and go on accepting."""
        self._say(f"The ERP goes down for {OUTAGE_S} s; before and after it, it commits orders and loses the replies.")
        faults = [
            {"kind": "lost_reply", "method": "POST", "path": "/api/orders", "count": 2},
            {"kind": "error_after", "method": "POST", "path": "/api/orders", "count": 1},
            {"kind": "throttle", "method": "POST", "path": "/api/orders", "count": 1, "retry_after": 1},
        ]
        control = stage.erp.ready["control_url"]
        (await http.post(f"{control}/faults", json={"faults": faults})).raise_for_status()
        await self._report(http, stage, OUTAGE_REPORTS[:2])
        await asyncio.sleep(1.5)
        (await http.post(f"{control}/down", json={"seconds": OUTAGE_S})).raise_for_status()
        await stage.machines.tell({"inject": "imbalance", "asset": LATER, "severity": 0.9})
        await self._report(http, stage, OUTAGE_REPORTS[2:])
        await asyncio.sleep(OUTAGE_S)
        self._say("The ERP is back; what waited is delivered, what is uncertain is asked for first.")
        await self._until("everything to be settled", lambda: self._settled(stage, store))

    async def _delivered(self, stage: Plant, store: Store, least: int) -> bool:
        taken = await self._taken(store)
        there = in_erp(stage.erp_database).keys
        machine = any(line.source == "machine" for line in taken.orders)
        return machine and len(taken.orders) >= least and all(key in there for key in taken.owed)

    async def _settled(self, stage: Plant, store: Store) -> bool:
        """Every order is delivered, or was taken back, and the ERP has what it is owed."""
        states = await store.read(lambda tx: {str(stored.delivery.state) for stored in tx.orders(limit=10_000)})
        taken = await self._taken(store)
        there = in_erp(stage.erp_database).keys
        return states <= {"DELIVERED", "WITHDRAWN"} and not taken.unread and all(key in there for key in taken.owed)

    async def _taken(self, store: Store) -> Accepted:
        told = frozenset(self._told)
        return await store.read(lambda tx: accepted(tx, told))

    async def _sum(self, stage: Plant, store: Store) -> Summary:
        return summed(await self._taken(store), in_erp(stage.erp_database), self._first)

    async def _until(self, what: str, there: Callable[[], Awaitable[bool]]) -> None:
        """Wait for something. Raises `Unreachable` naming it when it does not come."""
        end = monotonic() + _SCENE_S
        while not await there():
            for part in self._parts:
                part.check()
            if monotonic() > end:
                raise Unreachable(f"waited {_SCENE_S:.0f} s for {what}")
            await asyncio.sleep(_POLL_S)

    def _print(self, summary: Summary) -> None:
        table = Table("key", "asset", "trouble", "source", "ERP number", title="Every order, exactly once", box=None)
        for line in summary.orders:
            table.add_row(line.key, line.asset, line.failure_mode, line.source, line.erp_number)
        self._console.print(table)
        self._say(
            f"{summary.readings} readings, {summary.windows} windows, {summary.diagnoses} diagnoses, "
            f"{summary.episodes} episodes, {len(summary.orders)} orders; in the ERP's database {summary.erp_orders}: "
            f"lost {summary.lost}, duplicates {summary.duplicates}."
        )
        if self._output == "json":
            sys.stdout.write(msgspec.json.encode(summary).decode() + "\n")
            sys.stdout.flush()

    def _say(self, *lines: str) -> None:
        for line in lines:
            self._console.print(f"[dim]{monotonic() - self._began:5.1f} s[/]  {line}", soft_wrap=True)
