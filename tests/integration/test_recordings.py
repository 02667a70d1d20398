"""Real recordings over OPC UA: each damaged bearing becomes one order, the sound one none."""

import csv
import os
from contextlib import AsyncExitStack
from pathlib import Path

import numpy as np
import pytest

from gateway.runtime.settings import load
from tests.rig import running, until

RECORDS = {
    "IR007": ("12k_DE", "105"),
    "OR007-6": ("12k_DE", "130"),
    "B007": ("12k_DE", "118"),
    "NORMAL": ("normal48k", "97"),
}
SECONDS = 30
"""How long the sound machine is listened to: as long as three times the record."""

CONFIG = """
[site]
id = "RIG"
[store]
path = "{folder}/store"
[api]
port = 0
[language]
engine = "lite"
"""
PART = """
[[asset]]
id = "{name}"
bearing = "6205"
speed_rpm = 1797
[line.{line}]
protocol = "opcua"
endpoint = "{endpoint}"
insecure = true
[[line.{line}.tag]]
asset = "{name}"
tag = "vibration"
kind = "waveform"
address = "nsu=urn:andon:line;s={name}.vibration"
unit = "g"
[[line.{line}.tag]]
asset = "{name}"
tag = "speed"
address = "nsu=urn:andon:line;s={name}.speed"
unit = "rpm"
"""


def extracted(data: Path, name: str, folder: Path) -> tuple[Path, str]:
    """Write one record as .npy in g; give its file and rate."""
    group, number = RECORDS[name]
    with (data / "meta.csv").open() as table:
        row = next(row for row in csv.DictReader(table) if row["file"] == number and row["group"] == group)
    with np.load(data / f"{group}.npz") as kept:
        samples = kept[f"{group}_{number}_DE"] * float(row["lsb_DE"])
    np.save(folder / f"{name}.npy", samples.astype(np.float32))
    return folder / f"{name}.npy", row["fs"]


@pytest.mark.data
async def test_each_damaged_bearing_is_one_order_and_the_sound_one_none(tmp_path: Path) -> None:
    data = Path(os.environ.get("ANDON_DATA", "")) / "cwru"
    if not (data / "meta.csv").exists():
        pytest.skip("set ANDON_DATA to a folder that holds cwru/ (CWRU Bearing Data Center, see bench/README.md)")
    async with AsyncExitStack() as stack:
        text = CONFIG.format(folder=tmp_path)
        for name in RECORDS:
            file, rate = extracted(data, name, tmp_path)
            player = await stack.enter_async_context(
                running(
                    tmp_path / f"{name}.log",
                    *("simulators.recording", "--file", str(file), "--rate", rate, "--unit", "g", "--loop"),
                    *("--speed", "1797", "--bearing", "6205", "--asset", name),
                )
            )
            text += PART.format(name=name, line=name.lower(), endpoint=player.ready["endpoint"])
        config = tmp_path / "andon.toml"
        config.write_text(text)
        gateway = await stack.enter_async_context(
            running(tmp_path / "gateway.log", "gateway.cli.main", "up", "-c", str(config))
        )
        store = load(str(config)).store.open()
        stack.push_async_callback(store.close)

        async def heard() -> bool:
            seen = await store.read(lambda tx: tx.diagnoses("NORMAL", limit=1000))
            return len(seen) * 2 >= SECONDS

        await until(heard, "the sound machine to be listened to", 100)
        orders = await store.read(lambda tx: tx.orders())
        assert await gateway.stop() == 0, gateway.said()
    found = sorted((stored.order.asset, stored.order.failure_mode.startswith("bearing_")) for stored in orders)
    assert found == [("B007", True), ("IR007", True), ("OR007-6", True)]
