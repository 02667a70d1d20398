"""A gateway without models: no network library in its process, little memory, and everything else as always."""

import re
from datetime import UTC, datetime
from pathlib import Path

import httpx2
import psutil
import pytest

from gateway.runtime.settings import load
from tests.modbus_devices import Device, healthy
from tests.rig import running, until

CONFIG = """
[site]
id = "SZ1"
[store]
path = "{folder}/store"
[api]
port = 0
anonymous = ["read", "reports:write"]
[diagnosis]
models = "none"
[language]
engine = "lite"
[[asset]]
id = "M-01"
[line.plc]
protocol = "modbus"
endpoint = "tcp://127.0.0.1:{port}"
every = "50ms"
[[line.plc.tag]]
asset = "M-01"
tag = "current"
address = "holding:7"
"""
HEAVY = {"torch", "xgboost", "transformers", "scipy", "safetensors", "pandas", "sklearn", "pydantic", "asyncua"}
MOST_MIB = 120.0
LEXICON_MIB = 40.0  # what reading the first report takes for good


def imported(log: str) -> set[str]:
    """The top-level packages that a process started with PYTHONPROFILEIMPORTTIME said that it imported."""
    return {name.partition(".")[0] for name in re.findall(r"import time:\s+\d+ \|\s+\d+ \|\s+([\w.]+)", log)}


@pytest.mark.pain(7, 22)
async def test_no_network_library_is_imported_memory_is_small_and_words_still_become_orders(tmp_path: Path) -> None:
    device = Device(healthy)
    config = tmp_path / "andon.toml"
    config.write_text(CONFIG.format(folder=tmp_path, port=await device.start()))
    command = ("gateway.cli.main", "up", "-c", str(config))
    env = {"PYTHONPROFILEIMPORTTIME": "1"}
    async with (
        running(tmp_path / "gateway.log", *command, env=env) as gateway,
        httpx2.AsyncClient(base_url=gateway.ready["url"], timeout=10) as http,
    ):
        await until(lambda: len(device.reads) > 20, "the line to be read")
        idle = psutil.Process(gateway.child.pid).memory_info().rss / 1024**2
        told = {"id": "r1", "text": "M-01 bearing noisy", "reported_at": datetime.now(UTC).isoformat()}
        assert (await http.post("/api/v1/reports", json=told)).status_code == 202
        running_now = (await http.get("/health/ready")).json()

        async def ordered() -> bool:
            return bool((await http.get("/api/v1/orders")).json()["items"])

        await until(ordered, f"the report to become an order\n{gateway.said()}")
        memory = psutil.Process(gateway.child.pid).memory_info().rss / 1024**2
        seen = (await http.get("/health/ready")).json()
        assert seen["status"] == "pass" and seen["model"] == "" and seen["journal"]["values"] > 0
        assert await gateway.stop() == 0, gateway.said()
    await device.stop()
    loaded = imported((tmp_path / "gateway.log").read_text("utf-8", "replace"))
    assert "gateway" in loaded and "numpy" in loaded
    assert not loaded & HEAVY
    assert idle <= MOST_MIB, f"{idle:.0f} MiB"
    assert memory <= MOST_MIB + LEXICON_MIB, f"{memory:.0f} MiB"
    store = load(str(config)).store.open()
    try:
        [row] = await store.read(lambda tx: tx.orders())
    finally:
        await store.close()
    assert row.order.config == running_now["config"]
