"""Kill -9, again and again: every accepted report and every episode has exactly one order at the end."""

import asyncio
import os
import random
import socket
from datetime import UTC, datetime
from pathlib import Path

import httpx2
import pytest

from gateway.cli.demo_count import accepted, in_erp, summed
from gateway.runtime.settings import load
from tests.rig import Proc, launch, running, until

KILLS = int(os.environ.get("ANDON_KILLS", "20"))
SEED = int(os.environ.get("ANDON_SEED", "20261121"))

CONFIG = """
[site]
id = "SZ1"
[store]
path = "{folder}/store"
[api]
port = {port}
anonymous = ["read", "reports:write"]
[language]
engine = "lite"
[[asset]]
id = "M-01"
bearing = "6205"
speed_rpm = 1797
aliases = ["pump 1"]
[[asset]]
id = "P-02"
aliases = ["pump 2", "2号泵"]
[line.cell]
protocol = "opcua"
endpoint = "{opcua}"
insecure = true
{tags}
[erp.main]
protocol = "rest"
base_url = "{base_url}"
token_url = "{token_url}"
client_id = "{client_id}"
client_secret = {{ env = "ERP_SECRET" }}
idempotency = "{idempotency}"
timeout = "1s"
settle = "1s"
"""
TAG = """
[[line.cell.tag]]
asset = "M-01"
tag = "{tag}"
kind = "{kind}"
address = "nsu=urn:andon:line;s=M-01.{tag}"
unit = "{unit}"
"""
FAULTS = [
    {"kind": "lost_reply", "method": "POST", "path": "/api/orders", "probability": 0.15},
    {"kind": "error_after", "method": "POST", "path": "/api/orders", "probability": 0.1},
    {"kind": "error_before", "method": "POST", "path": "/api/orders", "probability": 0.1},
    {"kind": "throttle", "method": "POST", "path": "/api/orders", "probability": 0.1, "retry_after": 1},
    {"kind": "cut", "method": "POST", "path": "/api/orders", "probability": 0.05},
]
TROUBLES = ("lot L{n} burrs on 3 parts", "batch B{n} cracks found, 2 pcs", "批次Q{n}表面有划痕，共5件")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Reporter:
    """Reports one new trouble after the other, and remembers what was accepted."""

    def __init__(self, url: str) -> None:
        self.url, self.accepted, self._number = url, set[str](), 0

    async def run(self) -> None:
        async with httpx2.AsyncClient(timeout=5) as http:
            while True:
                self._number += 1
                name = f"k{self._number}"
                text = TROUBLES[self._number % len(TROUBLES)].format(n=1000 + self._number)
                body = {"id": name, "text": text, "reported_at": datetime.now(UTC).isoformat()}
                try:
                    answer = await http.post(f"{self.url}/api/v1/reports", json=body)
                    if answer.status_code == 202:
                        self.accepted.add(name)
                except httpx2.TransportError:
                    await asyncio.sleep(0.05)
                await asyncio.sleep(0.1)


@pytest.mark.pain(5, 24)
@pytest.mark.kill
@pytest.mark.timeout(540)
@pytest.mark.parametrize("idempotency", ["header", "lookup"])
async def test_kill_minus_9_loses_nothing_and_doubles_nothing(tmp_path: Path, idempotency: str) -> None:
    chance = random.Random(f"{SEED}-{idempotency}")
    database = tmp_path / "erp.db"
    port = free_port()
    erp_command = ("simulators.erp", "--db", str(database), "--profile", idempotency, "--seed", str(SEED))
    line_command = ("simulators.opcua", "--asset", "M-01", "--bearing", "6205", "--speed", "1797", "--seed", "3")
    async with (
        running(tmp_path / "erp.log", *erp_command) as erp,
        running(tmp_path / "line.log", *line_command) as line,
    ):
        tags = [("vibration", "waveform", "g"), ("speed", "value", "rpm"), ("temperature", "value", "degC")]
        text = CONFIG.format(
            folder=tmp_path,
            port=port,
            opcua=line.ready["endpoint"],
            idempotency=idempotency,
            tags="".join(TAG.format(tag=tag, kind=kind, unit=unit) for tag, kind, unit in tags),
            **{name: erp.ready[name] for name in ("base_url", "token_url", "client_id")},
        )
        config = tmp_path / "andon.toml"
        config.write_text(text)
        async with httpx2.AsyncClient(timeout=5) as http:
            (await http.post(f"{erp.ready['control_url']}/faults", json={"faults": FAULTS})).raise_for_status()

        async def start() -> Proc:
            return await launch(
                tmp_path / "gateway.log",
                *("gateway.cli.main", "up", "-c", str(config)),
                env={"ERP_SECRET": str(erp.ready["client_secret"])},
            )

        reporter = Reporter(f"http://127.0.0.1:{port}")
        reporting = asyncio.create_task(reporter.run())
        for number in range(KILLS // 2):  # half of the kills in each strategy
            gateway = await start()
            if number == 2:
                await line.tell(inject="bearing_outer_race", asset="M-01", severity=0.9)
            await asyncio.sleep(chance.uniform(0.2, 5.0))
            await gateway.kill()
        gateway = await start()
        await asyncio.sleep(0.5)
        reporting.cancel()
        store = load(str(config)).store.open()
        try:
            told = frozenset(reporter.accepted)

            async def settled() -> bool:
                taken = await store.read(lambda tx: accepted(tx, told))
                states = await store.read(lambda tx: {str(row.delivery.state) for row in tx.orders(limit=10_000)})
                machine = any(order.source == "machine" for order in taken.orders)
                return states == {"DELIVERED"} and not taken.unread and machine

            await until(settled, f"everything to be delivered (seed {SEED})\n{gateway.said()}", 120)
            assert await gateway.stop() == 0, gateway.said()
            summary = summed(await store.read(lambda tx: accepted(tx, told)), in_erp(database), None)
        finally:
            await store.close()
            await gateway.kill()
    assert len(told) > 20
    assert (summary.lost, summary.duplicates) == (0, 0), f"seed {SEED}"
    assert summary.erp_orders == len(summary.orders)
