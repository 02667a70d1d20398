"""Canaries: secrets and people's names that go in must come out nowhere."""

import base64
import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest
from standardwebhooks.webhooks import Webhook

from tests.rig import Proc, running, until

CLIENT = "canary-client-5b1f"
HOOK = "whsec_" + base64.b64encode(b"canary-webhook-77aa-0123456789ab").decode()
KEYS = "canary-business-key-90cd"
TOKEN = "canary-bearer-31ef"  # noqa: S105  (of this test)
ZH, EN = "张伟", "Johnson"
CANARIES = (CLIENT, HOOK, HOOK.removeprefix("whsec_"), KEYS, TOKEN, ZH, EN)

CONFIG = """
[site]
id = "SZ1"
[store]
path = "{folder}/store"
[api]
port = 0
anonymous = ["read", "reports:write", "review:write"]
erp_secrets = [{{ env = "HOOK" }}]
[language]
engine = "lite"
[orders]
secret = {{ env = "KEYS" }}
[[asset]]
id = "PRESS-03"
kind = "press"
line = "LINE-3"
aliases = ["三号线冲压机", "press 3"]
[erp.main]
protocol = "rest"
base_url = "{base_url}"
token_url = "{token_url}"
client_id = "{client_id}"
client_secret = {{ env = "CLIENT" }}
idempotency = "header"
timeout = "1s"
settle = "1s"
"""
REPORTS = {
    "zh": f"三号线冲压机漏油，请明早8点前派人检修，报告人{ZH}",
    "en": f"press 3 is leaking oil from the cylinder, lot L4711, reported by {EN}",
    "lot": f"lot L4712 burrs on 12 flanges, rework please, reported by {EN}",
    "odd": f"something is odd somewhere, reported by {EN}",
    "怪": f"有点不对劲，报告人{ZH}",
}
FAULTS = [
    {"kind": "error_before", "method": "POST", "path": "/api/orders", "count": 1},
    {"kind": "lost_reply", "method": "POST", "path": "/api/orders", "count": 1},
    {"kind": "throttle", "method": "POST", "path": "/api/orders", "count": 1, "retry_after": 1},
]
COMMANDS = (
    ("orders", "list", "-o", "json"),
    ("episodes", "list", "-o", "json"),
    ("review", "list", "-o", "jsonl"),
    ("review", "list", "-o", "table"),
    ("audit", "list", "-o", "jsonl"),
    ("check",),
)


def found(where: str, text: str) -> list[str]:
    """Name the canaries in a text, also as JSON writes them."""
    spelt = {canary: {canary, json.dumps(canary).strip('"')} for canary in CANARIES}
    return [f"{canary} in {where}" for canary, ways in spelt.items() if any(way in text for way in ways)]


async def wrong_requests(http: httpx2.AsyncClient) -> dict[str, str]:
    """Provoke errors with canaries in the request; give the bodies of the answers."""
    at = datetime.now(UTC).isoformat()
    signed = {"webhook-id": "m1", "webhook-timestamp": "1700000000", "webhook-signature": f"v1,{HOOK}"}
    said = {
        "conflict": await http.post("/api/v1/reports", json={"id": "zh", "text": f"other words, {EN}"}),
        "unknown field": await http.post("/api/v1/reports", json={"text": EN, "reporter": ZH}),
        "wrong type": await http.post("/api/v1/reports", json={"text": [EN], "reported_at": at}),
        "wrong asset": await http.post("/api/v1/reports", json={"text": "noisy", "asset": EN}),
        "wrong time": await http.post("/api/v1/reports", json={"text": "noisy", "reported_at": EN}),
        "not json": await http.post("/api/v1/reports", content=f"{{{EN} {ZH}".encode()),
        "no report": await http.get(f"/api/v1/reports/{EN}"),
        "wrong token": await http.get("/api/v1/reports", headers={"Authorization": f"Bearer {TOKEN}"}),
        "wrong hook": await http.post("/api/v1/webhooks/erp", json={"key": EN}, headers=signed),
        "no order": await http.post("/api/v1/production/order", json={"order_id": EN}),
    }
    assert all(answer.status_code >= 400 for answer in said.values()), {k: v.status_code for k, v in said.items()}
    return {f"the answer to {name}": answer.text for name, answer in said.items()}


async def closed_by_the_erp(http: httpx2.AsyncClient, order: dict[str, Any]) -> int:
    """Send a signed status, as the ERP would."""
    at = datetime.now(UTC)
    body = json.dumps({"key": order["reference"], "number": order["number"], "status": "Closed"})
    signature = Webhook(HOOK).sign("msg_1", at, body)
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": signature,
        "content-type": "application/json",
    }
    return (await http.post("/api/v1/webhooks/erp", content=body, headers=headers)).status_code


def printed(config: Path) -> Iterator[tuple[str, str]]:
    """Give what the commands print."""
    for words in COMMANDS:
        command = [sys.executable, "-m", "gateway.cli.main", *words, "-c", str(config)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
        assert done.returncode == 0, done.stderr
        yield f"andon {' '.join(words)}", done.stdout + done.stderr


def received(database: Path) -> str:
    """Give everything that stands in the ERP's database, as text."""
    with closing(sqlite3.connect(database)) as raw:
        tables = [name for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        rows = [raw.execute(f"SELECT * FROM {name}").fetchall() for name in tables]  # noqa: S608  (its own names)
    return "\n".join(
        value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
        for table in rows
        for row in table
        for value in row
    )


async def seen(http: httpx2.AsyncClient) -> dict[str, str]:
    """Give what a reader can see."""
    paths = [
        "/metrics",
        "/health/ready",
        "/health/live",
        "/api/v1/reports",
        *(f"/api/v1/reports/{name}" for name in REPORTS),
        "/api/v1/orders",
        "/api/v1/review",
        "/",
    ]
    answers = {path: await http.get(path) for path in paths}
    return {path: answer.text for path, answer in answers.items()}


async def drive(gateway: Proc, http: httpx2.AsyncClient, control: str) -> dict[str, str]:
    """Put the reports in, wait for their orders, and give all that was said."""
    async with httpx2.AsyncClient(timeout=5) as other:
        (await other.post(f"{control}/faults", json={"faults": FAULTS})).raise_for_status()
        for name, text in REPORTS.items():
            body = {"id": name, "text": text, "reported_at": datetime.now(UTC).isoformat()}
            assert (await http.post("/api/v1/reports", json=body)).status_code == 202
        unread = await http.get("/api/v1/reports")

        async def settled() -> bool:
            orders = (await http.get("/api/v1/orders")).json()["items"]
            states = [row["delivery"]["state"] for row in orders]
            return len(states) >= 2 and set(states) == {"DELIVERED"}

        await until(settled, f"the orders to be delivered\n{gateway.said()}", 30)
        texts = await wrong_requests(http)
        state = (await other.get(f"{control}/state")).json()
    assert await closed_by_the_erp(http, state["orders"][0]) == 202
    assert sum(state["faults_fired"].values() if isinstance(state["faults_fired"], dict) else [1]) > 0
    return {**texts, "unread reports": unread.text, **await seen(http), "the ERP's orders": json.dumps(state["orders"])}


async def test_no_secret_and_no_name_of_a_person_comes_out_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database, log = tmp_path / "erp.db", tmp_path / "gateway.log"
    for name, value in {"HOOK": HOOK, "KEYS": KEYS, "CLIENT": CLIENT}.items():
        monkeypatch.setenv(name, value)
    command = ("simulators.erp", "--db", str(database), "--client-secret", CLIENT)
    async with running(tmp_path / "erp.log", *command) as erp:
        config = tmp_path / "andon.toml"
        names = ("base_url", "token_url", "client_id")
        config.write_text(CONFIG.format(folder=tmp_path, **{name: erp.ready[name] for name in names}))
        up = ("gateway.cli.main", "up", "-c", str(config), "--log-level", "DEBUG", "--log-format", "json")
        async with (
            running(log, *up) as gateway,
            httpx2.AsyncClient(base_url=gateway.ready["url"], timeout=10) as http,
        ):
            texts = await drive(gateway, http, erp.ready["control_url"])
            assert await gateway.stop() == 0, gateway.said()
            assert gateway.child.stdout is not None
            texts["stdout"] = (await gateway.child.stdout.read()).decode()
        texts["stderr"] = log.read_text("utf-8", "replace")
        texts["the ERP's database"] = received(database)
    texts |= dict(printed(config))
    assert "L4712" in texts["the ERP's database"] and "漏油" in texts["/api/v1/reports"], "the search would find it"
    assert [fault for where, text in texts.items() for fault in found(where, text)] == []
