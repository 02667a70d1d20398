"""The gateway on PostgreSQL: two of them on one database, and a report is one order all the same."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import httpx2
import pytest

from gateway.runtime.settings import load
from tests.postgres import Server, postgres
from tests.rig import running, until

__all__ = ["postgres"]

CONFIG = """
[site]
id = "PG"
[store]
path = "{folder}"
url = {{ env = "ANDON_TEST_DATABASE" }}
[api]
port = 0
anonymous = ["read", "reports:write"]
[language]
engine = "lite"
[[asset]]
id = "P-1"
aliases = ["pump 1"]
"""


@pytest.mark.postgres
async def test_two_gateways_on_one_database_make_one_order_of_each_report(
    postgres: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = {"ANDON_TEST_DATABASE": postgres.database()}
    config = tmp_path / "andon.toml"
    config.write_text(CONFIG.format(folder=tmp_path))
    command = ("gateway.cli.main", "up", "-c", str(config))
    async with (
        running(tmp_path / "one.log", *command, env=env) as one,
        running(tmp_path / "two.log", *command, env=env) as two,
        httpx2.AsyncClient(timeout=10) as http,
    ):
        texts = [f"lot L{number} burrs on 3 flanges" for number in range(10)]
        now = datetime.now(UTC).isoformat()
        answers = await asyncio.gather(
            *(
                http.post(
                    f"{gateway.ready['url']}/api/v1/reports",
                    json={"id": text.split()[1], "text": text, "reported_at": now},
                )
                for text in texts
                for gateway in (one, two)
            )
        )
        assert {answer.status_code for answer in answers} == {202}, answers[0].text
        monkeypatch.setenv("ANDON_TEST_DATABASE", env["ANDON_TEST_DATABASE"])
        store = load(str(config)).store.open()
        try:
            await until(lambda: store.read(lambda tx: len(tx.orders()) == len(texts)), "ten orders", 30)
            assert await store.read(lambda tx: tx.reports(unread=True)) == []
            assert await store.read(lambda tx: tx.counts().orders) == len(texts)
        finally:
            await store.close()
        assert [await gateway.stop() for gateway in (one, two)] == [0, 0]
