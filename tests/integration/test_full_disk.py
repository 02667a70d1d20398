"""A disk that is really full under the running gateway: 507, nothing corrupt, nothing lost, and on by itself."""

import asyncio
import os
import sqlite3
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import httpx2
import pytest

from gateway.cli.demo_count import in_erp
from gateway.runtime.settings import load
from tests.rig import running, until

CONFIG = """
[site]
id = "SZ1"
[store]
path = "{folder}/store"
[api]
port = 0
anonymous = ["read", "reports:write"]
[language]
engine = "lite"
[[asset]]
id = "M-01"
[erp.main]
protocol = "rest"
base_url = "{base_url}"
token_url = "{token_url}"
client_id = "{client_id}"
client_secret = {{ env = "ERP_SECRET" }}
idempotency = "header"
timeout = "1s"
settle = "1s"
"""
ROOM = 1_500_000


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, too small."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> None:
    """Leave little room."""
    held = os.statvfs(folder)
    with (folder / "ballast").open("wb") as ballast:
        os.posix_fallocate(ballast.fileno(), 0, held.f_bavail * held.f_frsize - ROOM)


def give_room(folder: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=64m", str(folder)], check=True)


def whole(folder: Path) -> str:
    with closing(sqlite3.connect(f"file:{folder}/store/andon.db?mode=ro", uri=True)) as raw:
        return str(raw.execute("PRAGMA integrity_check").fetchone()[0])


class Reporter:
    """Sends one new trouble after the other, and remembers what was accepted."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self.http, self.accepted, self._number = http, list[str](), 0

    async def send(self) -> httpx2.Response:
        self._number += 1
        name = f"full-{self._number}"
        text = f"lot L{self._number + 1000} burrs on 3 parts"
        body = {"id": name, "text": text, "reported_at": datetime.now(UTC).isoformat()}
        answer = await self.http.post("/api/v1/reports", json=body)
        if answer.status_code == 202:
            self.accepted.append(name)
        return answer

    async def until(self, status: int, seconds: float) -> httpx2.Response:
        async with asyncio.timeout(seconds):
            while (answer := await self.send()).status_code != status:
                assert answer.status_code in {202, 507}, answer.text
                await asyncio.sleep(0.01)
        return answer


async def test_a_full_disk_refuses_loses_nothing_and_goes_on_when_there_is_room(small: Path, tmp_path: Path) -> None:
    database = tmp_path / "erp.db"
    async with running(tmp_path / "erp.log", "simulators.erp", "--db", str(database)) as erp:
        names = ("base_url", "token_url", "client_id")
        config = tmp_path / "andon.toml"
        config.write_text(CONFIG.format(folder=small, **{name: erp.ready[name] for name in names}))
        secret = {"ERP_SECRET": str(erp.ready["client_secret"])}
        command = ("gateway.cli.main", "up", "-c", str(config))
        async with (
            running(tmp_path / "gateway.log", *command, env=secret) as gateway,
            httpx2.AsyncClient(base_url=gateway.ready["url"], timeout=10) as http,
        ):
            reporter = Reporter(http)
            for _ in range(5):
                assert (await reporter.send()).status_code == 202
            fill(small)
            answer = await reporter.until(507, 30)
            assert answer.headers["content-type"].startswith("application/problem+json")
            assert answer.json()["status"] == 507
            assert whole(small) == "ok"
            early = list(reporter.accepted)

            give_room(small)
            began = time.monotonic()
            await reporter.until(202, 10)
            assert time.monotonic() - began < 10
            assert gateway.child.returncode is None

            store = load(str(config)).store.open()
            try:

                async def delivered() -> bool:
                    rows = await store.read(lambda tx: tx.orders(limit=10_000))
                    settled = {row.order.source.id for row in rows if row.delivery.state == "DELIVERED"}
                    return settled >= set(reporter.accepted)

                await until(delivered, f"every accepted report to be an order\n{gateway.said()}", 40)
                rows = await store.read(lambda tx: tx.orders(limit=10_000))
            finally:
                await store.close()
            assert await gateway.stop() == 0, gateway.said()
            held = in_erp(database).keys
        keys = {row.order.source.id: row.order.key for row in rows}
        assert len(early) > 5
        assert Counter({name: held.get(keys[name], 0) for name in reporter.accepted}) == dict.fromkeys(
            reporter.accepted, 1
        )
        assert set(held.values()) == {1}
        assert whole(small) == "ok"
