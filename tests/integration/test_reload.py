"""Other settings for a gateway that runs: what did not change is not touched, what does not get well is taken back."""

import asyncio
import json
import os
import signal
import struct
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from gateway.core.ports import Store
from gateway.runtime.parts import changes
from gateway.runtime.settings import load, parse
from tests.modbus_devices import Device, frame
from tests.rig import Proc, running, until

CONFIG = """
[site]
id = "{site}"
[store]
path = "{folder}/store"
journal_budget = "{budget}"
[api]
port = 0
host = "127.0.0.1"
anonymous = ["read", "reports:write"]
[diagnosis]
models = "none"
[language]
engine = "lite"
[[asset]]
id = "M-01"
[[asset]]
id = "M-02"
"""
SOURCE = """
[line.{name}]
protocol = "modbus"
endpoint = "tcp://127.0.0.1:{port}"
every = "50ms"
timeout = "5s"
[[line.{name}.tag]]
asset = "{asset}"
tag = "count"
address = "{address}"
"""
SOON = 40.0

UNKNOWN_ERP = """
[erp.main]
protocol = "rest"
base_url = "http://127.0.0.1:9"
idempotency = "header"
auth = "api_key"
api_key = { env = "ANDON_TEST_NOWHERE" }
"""


class Counting:
    """A device whose register says how often it was read."""

    def __init__(self) -> None:
        self.device = Device(self._answer)
        self.count = 0

    def _answer(self, _: Device, transaction: int, unit: int, function: int, __: int, words: int) -> bytes:
        self.count += 1
        data = struct.pack(f">{words}H", *[self.count % 65536] * words)
        return frame(transaction, unit, struct.pack(">BB", function, len(data)) + data)


@dataclass
class Site:
    """A running gateway with two devices, and its settings file."""

    folder: Path
    first: Counting
    second: Counting
    ports: tuple[int, int]
    gateway: Proc
    http: httpx2.AsyncClient

    def write(self, **changed: Any) -> str:
        text = text_of(self.folder, self.ports, **changed)
        (self.folder / "andon.toml").write_text(text)
        return text

    async def andon(self, *arguments: str) -> tuple[int, str, str]:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway.cli.main", *arguments, "-c", str(self.folder / "andon.toml"),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        async with asyncio.timeout(90):
            out, err = await child.communicate()
        return int(child.returncode or 0), out.decode(), err.decode()

    async def apply(self, *arguments: str) -> tuple[int, Any]:
        code, out, err = await self.andon("apply", "-o", "json", *arguments)
        return code, json.loads(out) if out else err

    async def health(self) -> Any:
        return (await self.http.get("/health/ready")).json()


def text_of(
    folder: Path,
    ports: tuple[int, int],
    *,
    second_address: str = "holding:7",
    second_port: int | None = None,
    site: str = "SZ1",
    budget: str = "64MiB",
    more: str = "",
) -> str:
    return (
        CONFIG.format(folder=folder, site=site, budget=budget)
        + SOURCE.format(name="first", port=ports[0], asset="M-01", address="holding:3")
        + SOURCE.format(name="second", port=second_port or ports[1], asset="M-02", address=second_address)
        + more
    )


@asynccontextmanager
async def site_in(folder: Path) -> AsyncIterator[Site]:
    first, second = Counting(), Counting()
    ports = (await first.device.start(), await second.device.start())
    (folder / "andon.toml").write_text(text_of(folder, ports))
    command = ("gateway.cli.main", "up", "-c", str(folder / "andon.toml"), "--log-format", "json")
    try:
        async with (
            running(folder / "gateway.log", *command) as gateway,
            httpx2.AsyncClient(base_url=gateway.ready["url"], timeout=10) as http,
        ):
            site = Site(folder, first, second, ports, gateway, http)
            await until(lambda: first.count > 10 and second.count > 10, "both devices to be read", SOON)
            yield site
    finally:
        await first.device.stop()
        await second.device.stop()


async def journalled(folder: Path, source: str) -> list[float]:
    """The numbers of a source in the journal, in order."""
    store: Store = load(str(folder / "andon.toml")).store.open()
    try:
        rows = await store.read(lambda tx: tx.batches_after(0, limit=100_000))
    finally:
        await store.close()
    values = [one.value for _, batch in rows if batch.source == source for one in batch.values()]
    return [float(value) for value in values if isinstance(value, int | float)]


@pytest.mark.pain(8, 22)
async def test_a_changed_tag_of_one_line_leaves_the_other_line_alone_and_loses_nothing(tmp_path: Path) -> None:
    async with site_in(tmp_path) as site:
        before = await site.health()
        assert (site.first.device.connections, site.second.device.connections) == (1, 1)
        site.write(second_address="holding:9")

        code, out, _ = await site.andon("plan")
        assert code == 0
        assert "~ line.second (tag M-02/count): begins again: line.second" in out
        assert "line.first" not in out
        assert (await site.health())["config"] == before["config"]

        code, told = await site.apply()
        assert (code, told["outcome"]) == (0, "applied"), told
        reads = site.second.count
        await until(lambda: site.second.count > reads + 5, "the changed line to be read", SOON)
        assert site.second.device.reads[-1][1] != site.second.device.reads[0][1]
        assert (site.first.device.connections, site.second.device.connections) == (1, 2)

        after = await site.health()
        assert after["config"] == told["running"] != before["config"]
        differing = {part for part, digest in after["parts"].items() if before["parts"][part] != digest}
        assert differing == {"line.second"}
        shown = (await site.http.get("/metrics")).text
        assert f'andon_config_info{{digest="{after["config"]}",part="all"}} 1.0' in shown
        assert before["config"] not in shown

        code, out, _ = await site.andon("config", "history", "-o", "json")
        assert [(row["outcome"], row["digest"]) for row in json.loads(out)] == [
            ("applied", after["config"]), ("started", before["config"]),
        ]  # fmt: skip
        code, out, _ = await site.andon("config", "show", before["config"])
        assert parse(out).digest == before["config"]
        assert await site.gateway.stop() == 0, site.gateway.said()
    numbers = await journalled(tmp_path, "first")
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) >= site.first.count - 2  # what was on its way when the gateway ended
    seconds = await journalled(tmp_path, "second")
    assert seconds == sorted(set(seconds))


@pytest.mark.pain(8)
async def test_what_does_not_get_well_is_taken_back_and_said(tmp_path: Path) -> None:
    async with site_in(tmp_path) as site:
        before = await site.health()
        closed = Device(lambda *_: None)
        port = await closed.start()
        await closed.stop()
        site.write(second_port=port)
        code, told = await site.apply("--within", "2s")
        assert (code, told["outcome"]) == (6, "rolled_back"), told
        assert "line.second" in told["why"][0]
        after = await site.health()
        assert after["config"] == before["config"] and after["parts"] == before["parts"]
        assert any("rolled back" in trouble and "line.second" in trouble for trouble in after["troubles"])
        reads = site.second.count
        await until(lambda: site.second.count > reads + 5, "the old line to be read again", SOON)
        assert site.first.device.connections == 1

        code, told = await site.apply("--within", "1s", "--keep")
        assert (code, told["outcome"]) == (0, "kept")
        site.write()
        code, told = await site.apply()
        assert (code, told["outcome"], told["running"]) == (0, "applied", before["config"])
        assert (await site.health())["troubles"] == []
        _, out, _ = await site.andon("config", "history", "-o", "json")
        assert [row["outcome"] for row in json.loads(out)] == ["applied", "kept", "rolled_back", "started"]
        assert site.first.device.connections == 1
        assert await site.gateway.stop() == 0, site.gateway.said()


@pytest.mark.pain(8, 21)
async def test_sighup_reads_the_file_again_and_a_faulty_one_changes_nothing_and_names_all_faults(
    tmp_path: Path,
) -> None:
    async with site_in(tmp_path) as site:
        before = await site.health()
        site.write(more='[line.first]\nprotocol = "modbus"\n')
        site.gateway.child.send_signal(signal.SIGHUP)

        async def refused() -> bool:
            return any("not TOML" in trouble for trouble in (await site.health())["troubles"])

        await until(refused, "the faulty file to be refused", SOON)
        text = site.write(second_address="hodling:9").replace('id = "SZ1"', "id = 7\ncolour = 1")
        (tmp_path / "andon.toml").write_text(text)
        code, told = await site.apply()
        assert code == 2, told
        (tmp_path / "other.toml").write_text(text)
        code, _, said = await site.andon("check", str(tmp_path / "other.toml"))
        assert code == 2
        for fault in ("site.id", "colour", "hodling"):
            assert fault in said
        site.write(more=UNKNOWN_ERP)
        for command in ("plan", "apply"):
            code, out, err = await site.andon(command)
            assert code == 2 and "ANDON_TEST_NOWHERE" in out + err, (command, out, err)
        after = await site.health()
        assert after["config"] == before["config"]
        assert (site.first.device.connections, site.second.device.connections) == (1, 1)

        site.write(second_address="holding:11")
        site.gateway.child.send_signal(signal.SIGHUP)

        async def applied() -> bool:
            return bool((await site.health())["config"] != before["config"])

        await until(applied, "the right file to be applied", SOON)
        await until(lambda: site.second.device.connections == 2, "the changed line to be opened", SOON)
        assert site.first.device.connections == 1
        assert await site.gateway.stop() == 0, site.gateway.said()


@pytest.mark.pain(8)
async def test_a_line_comes_and_goes_the_plant_changes_and_what_needs_a_restart_is_told(tmp_path: Path) -> None:
    async with site_in(tmp_path) as site:
        third = Counting()
        port = await third.device.start()
        more = SOURCE.format(name="third", port=port, asset="M-02", address="holding:1")
        site.write(more=more)
        assert (await site.apply())[1]["outcome"] == "applied"
        assert "third" in (await site.health())["sources"]
        site.write(more=more, site="SZ2", budget="32MiB")
        _, out, _ = await site.andon("plan")
        assert "~ site (id): begins again: diagnose, listen" in out
        assert "~ store (journal_budget): takes effect at once" in out
        assert (await site.apply())[1]["outcome"] == "applied"
        assert "SZ2" in (await site.http.get("/", follow_redirects=True)).text
        site.write()
        (tmp_path / "other.toml").write_text(text_of(tmp_path, site.ports, site="SZ2", budget="32MiB"))
        code, told = await site.apply(str(tmp_path / "other.toml"))
        assert (code, told["outcome"]) == (0, "applied") and "andon.toml" in told["note"]
        assert "third" not in (await site.health())["sources"]
        connections = third.device.connections
        reads = third.count
        text = site.write(site="SZ2", budget="32MiB").replace(
            'host = "127.0.0.1"', 'host = "127.0.0.1"\nmax_streams = 7'
        )
        (tmp_path / "andon.toml").write_text(text)
        _, out, _ = await site.andon("apply")
        assert "api (max_streams): needs a restart" in out and "nothing to do" in out
        assert (third.count, third.device.connections) == (reads, connections)
        assert (site.first.device.connections, site.second.device.connections) == (1, 1)
        await third.device.stop()
        assert await site.gateway.stop() == 0, site.gateway.said()


async def test_plan_and_apply_without_a_gateway_say_so(tmp_path: Path) -> None:
    async with site_in(tmp_path) as site:
        assert await site.gateway.stop() == 0, site.gateway.said()
        site.write(second_address="holding:9")
        code, out, err = await site.andon("plan")
        assert code == 0 and "~ line.second" in out and "no gateway runs" in err
        code, _, err = await site.andon("apply")
        assert code == 75 and "no gateway runs" in err


def test_comments_and_order_are_no_change_and_every_part_has_its_own_digest(tmp_path: Path) -> None:
    old = parse(text_of(tmp_path, (1, 2)))
    reordered = parse("# other words\n" + SOURCE.format(name="second", port=2, asset="M-02", address="holding:7")
                      + CONFIG.format(folder=tmp_path, site="SZ1", budget="64MiB")
                      + SOURCE.format(name="first", port=1, asset="M-01", address="holding:3"))  # fmt: skip
    assert reordered.digest == old.digest and reordered.parts == old.parts
    assert changes(old.rows, reordered.rows) == []
    assert {"site", "asset.M-01", "asset.M-02", "line.first", "line.second", "api", "store"} <= set(old.parts)


def test_an_edited_tag_table_is_a_changed_part(tmp_path: Path) -> None:
    table = tmp_path / "tags.csv"
    text = (
        f'[[asset]]\nid = "M-01"\n[line.plc]\nprotocol = "modbus"\nendpoint = "tcp://127.0.0.1:1"\ntags = "{table}"\n'
    )
    table.write_text("asset,tag,address\nM-01,count,holding:1\n")
    old = parse(text)
    table.write_text("asset,tag,address\nM-01,count,holding:2\n")
    new = parse(text)
    assert {part for part in old.parts if old.parts[part] != new.parts[part]} == {"line.plc"}
