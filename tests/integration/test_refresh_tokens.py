"""Refresh tokens that turn outlive kill -9, and nobody who only looks uses one up behind the gateway's back."""

import asyncio
import contextlib
import json
import os
import sqlite3
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.erp_process import SECRET, Erp, running_erp
from tests.rig import Proc, running, until

CONFIG = """
[site]
id = "SZ1"
[store]
path = "{folder}/store"
{store}
[api]
port = 0
anonymous = ["read", "reports:write"]
[language]
engine = "lite"
[[asset]]
id = "M-01"
aliases = ["pump 1"]
[erp.main]
protocol = "frappe"
base_url = "{url}/frappe"
client_id = "{client_id}"
client_secret = {{ env = "ERP_SECRET" }}
refresh_token = {{ env = "ERP_REFRESH" }}
{more}
"""
FIRST = "the-first-one"


@pytest.fixture(scope="module")
def process() -> Iterator[Erp]:
    with running_erp() as erp:
        yield erp


@pytest.fixture
def plant(process: Erp) -> Erp:
    process.faults()
    process.tokens(expires_in=300, refresh=FIRST, rotate=True, fail=0)
    process.turn("frappe", rights=["read", "create", "write"], any_asset=True)
    return process


@pytest.fixture
def settings(plant: Erp, tmp_path: Path) -> Path:
    return written(tmp_path / "andon.toml", plant)


def written(file: Path, plant: Erp, more: str = "", store: str = "") -> Path:
    text = CONFIG.format(url=plant.url, client_id=plant.ready["client_id"], folder=file.parent, store=store, more=more)
    file.write_text(text)
    return file


@asynccontextmanager
async def gateway(settings: Path, refresh: str = FIRST) -> AsyncIterator[Proc]:
    env = {"ERP_SECRET": SECRET, "ERP_REFRESH": refresh}
    log = settings.parent / "gateway.log"
    async with running(log, "gateway.cli.main", "up", "--config", str(settings), env=env) as up:
        yield up


def kept(settings: Path) -> bytes:
    """Give what the store holds; nothing before anything was kept."""
    with contextlib.closing(sqlite3.connect(f"file:{settings.parent}/store/andon.db?mode=ro", uri=True)) as book:
        rows = book.execute("SELECT value FROM keepsakes WHERE name = 'oauth.refresh.main'").fetchall()
    return bytes(rows[0][0]) if rows else b""


async def look(settings: Path, refresh: str = FIRST) -> tuple[int, list[dict[str, object]]]:
    """Run `andon check --live`; gives exit code and findings."""
    asking = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "gateway.cli.main", "check", str(settings), "--live", "-o", "json"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "ERP_SECRET": SECRET, "ERP_REFRESH": refresh},
        cwd=settings.parent,
    )
    async with asyncio.timeout(60):
        said, wrong = await asking.communicate()
    assert said, wrong.decode()
    assert FIRST.encode() not in said + wrong
    return asking.returncode or 0, json.loads(said)


def refused(plant: Erp) -> int:
    return int(plant.state()["token_refusals"])


async def looked(up: Proc, times: int = 1) -> None:
    """Wait until gateways with this log have looked at the ERP so many times."""
    await until(lambda: up.log.read_text("utf-8").count("erp.verified") >= times, "the look at the ERP")


async def test_a_token_that_turned_outlives_kill_9_and_is_nowhere_to_be_read(plant: Erp, settings: Path) -> None:
    before, turned = refused(plant), set()
    for times in (1, 2):
        async with gateway(settings) as up:
            await looked(up, times)
            turned.add(kept(settings))
            await up.kill()
    assert refused(plant) == before and len(turned) == 2 and b"" not in turned
    newest = str(plant.state()["refresh_token"])
    told = (settings.parent / "gateway.log").read_bytes()
    held = b"".join(file.read_bytes() for file in (settings.parent / "store").iterdir() if file.is_file())
    assert newest != FIRST
    for secret in (FIRST, newest):
        assert secret.encode() not in told and secret.encode() not in held
    # Somebody consents anew: the new token in the settings is enough, the kept one is left alone.
    plant.tokens(refresh="the-second-one")
    async with gateway(settings, "the-second-one") as up:
        await looked(up, 3)
    assert refused(plant) == before


async def test_a_look_beside_a_running_gateway_uses_no_token_up(plant: Erp, settings: Path) -> None:
    async with gateway(settings) as up:
        await looked(up)
        asked, mine = plant.state()["token_requests"], kept(settings)
        plant.turn("frappe", rights=["read"])
        code, findings = await look(settings)
        assert code == 6 and "may not create Asset Repair" in str(findings)
        written(settings, plant, more='doctype = "Issue"')
        code, findings = await look(settings)
        assert code == 6 and "belongs to the gateway that runs" in str(findings[-1]["detail"])
        assert plant.state()["token_requests"] == asked and kept(settings) == mine


async def test_a_look_without_a_gateway_keeps_the_token_that_came_with_it(plant: Erp, settings: Path) -> None:
    before = refused(plant)
    code, findings = await look(settings)
    assert (code, findings[-1]["ok"]) == (0, True), findings
    async with gateway(settings) as up:
        await looked(up)
    assert refused(plant) == before


async def test_a_store_that_others_may_share_is_no_place_to_look_from(plant: Erp, settings: Path) -> None:
    written(settings, plant, store='url = "postgresql+asyncpg://127.0.0.1:9/x"')
    asked = plant.state()["token_requests"]
    code, findings = await look(settings)
    assert code == 6 and "look where the gateway runs" in str(findings[-1]["detail"])
    assert plant.state()["token_requests"] == asked
