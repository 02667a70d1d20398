"""docs/connect-modbus.md, command by command: from an address to live values."""

import asyncio
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx2

from tests.integration.sim_process import running as simulating
from tests.line_rigs import free_port
from tests.rig import running, until

GUIDE = Path(__file__).parents[2] / "docs" / "connect-modbus.md"
BLOCK = re.compile(r"^```(sh|toml)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def say(command: str, place: Path) -> subprocess.CompletedProcess[str]:
    words = shlex.split(command)
    assert words[0] == "andon"
    return subprocess.run(
        [sys.executable, "-m", "gateway.cli.main", *words[1:]],
        cwd=place,
        env={**os.environ, "PYTHONPATH": str(GUIDE.parents[1])},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


async def values(url: str) -> dict[str, Any]:
    async with httpx2.AsyncClient() as client:
        line = (await client.get(f"{url}/api/v1/line")).json()
    return {tag["tag"]: tag["value"] for asset in line["assets"] for tag in asset["tags"]}


async def test_the_guide_leads_from_an_address_to_live_values(tmp_path: Path) -> None:
    with simulating("modbus", "--warp", "1") as oven:
        text = GUIDE.read_text("utf-8").replace("10.2.0.12:502", f"127.0.0.1:{oven.ready['port']}")
        port = free_port()
        blocks = BLOCK.findall(text.replace("port = 8000", f"port = {port}"))
        units, registers, table, check, up = [block for kind, block in blocks if kind == "sh"]
        settings = next(block for kind, block in blocks if kind == "toml")

        found = await asyncio.to_thread(say, units, tmp_path)
        assert [json.loads(line)["unit"] for line in found.stdout.splitlines()] == [1], found.stderr

        seen = await asyncio.to_thread(say, registers, tmp_path)
        rows = {row["offset"]: row for row in map(json.loads, seen.stdout.splitlines())}
        mean = rows[10]["float32"][0]
        assert 0 < mean < 400
        assert [rows[10 + 2 * order]["float32"][order] for order in range(4)] == [mean] * 4

        saved = await asyncio.to_thread(say, table, tmp_path)
        assert "4 tags" in saved.stderr, saved.stderr
        (tmp_path / "andon.toml").write_text(settings, "utf-8")

        looked = await asyncio.to_thread(say, check, tmp_path)
        said = looked.stdout + looked.stderr
        assert "input_10" in said and "Modicon 300011" in said, said
        assert "is the byte order right?" in said

        assert up.strip() == "andon up"
        arguments = ("gateway.cli.main", "up", "--config", str(tmp_path / "andon.toml"))
        where = {"PYTHONPATH": str(GUIDE.parents[1])}
        before = Path.cwd()
        os.chdir(tmp_path)  # the settings name their files from where the gateway is started
        try:
            async with running(tmp_path / "log.txt", *arguments, env=where) as gateway:
                url = str(gateway.ready.get("url") or f"http://127.0.0.1:{port}")

                async def alive() -> bool:
                    now = await values(url)
                    return isinstance(now.get("input_10"), float) and 0 < now["input_10"] < 400

                await until(alive, "a live value")
        finally:
            os.chdir(before)
