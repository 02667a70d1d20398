"""A gateway whose ERP cannot take the mapping starts, names it, keeps the orders, and sends them once it is right."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.erp_process import Erp, running_erp
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
aliases = ["pump 1"]
[erp.main]
protocol = "frappe"
base_url = "{url}/frappe"
api_key = {{ env = "FRAPPE_KEY" }}
api_secret = {{ env = "FRAPPE_SECRET" }}
doctype = "Asset Repair"
"""


@pytest.fixture
def plant() -> Iterator[Erp]:
    with running_erp("--api-key", "abc") as erp:
        yield erp


async def test_orders_wait_for_a_mapping_that_is_put_right_without_a_restart(plant: Erp, tmp_path: Path) -> None:
    settings = tmp_path / "andon.toml"
    settings.write_text(CONFIG.format(folder=tmp_path, url=plant.url))
    plant.turn("frappe", without=["failure_date"])
    env = {"FRAPPE_KEY": "andon", "FRAPPE_SECRET": "abc"}
    log = tmp_path / "gateway.log"
    async with (
        running(log, "gateway.cli.main", "up", "--config", str(settings), env=env) as up,
        httpx2.AsyncClient(base_url=str(up.ready["url"]), timeout=10, trust_env=False) as http,
    ):

        async def told(path: str) -> Any:
            return (await http.get(path)).json()

        async def named() -> bool:
            troubles = (await told("/health/ready"))["troubles"]
            return troubles == ["erp.main: mapping.failure_date: Asset Repair has no such field"]

        async def order() -> dict[str, Any]:
            found = (await told("/api/v1/orders"))["items"]
            return dict(found[0]) if found else {}

        async def waits() -> bool:
            return "not verified: main: mapping.failure_date" in str((await order()).get("delivery", {}).get("reason"))

        async def delivered() -> bool:
            return (await order())["delivery"]["state"] == "DELIVERED"

        await until(named, "the fault in the mapping")
        body = {"id": "r1", "text": "pump 1 is leaking oil", "reported_at": datetime.now(UTC).isoformat()}
        assert (await http.post("/api/v1/reports", json=body)).status_code == 202
        await until(waits, "an order that waits")
        assert (await order())["delivery"]["state"] == "WAITING"
        assert plant.state()["commits"] == {}
        plant.turn("frappe", without=[])
        await until(delivered, "the order")
        assert list(plant.state()["commits"].values()) == [1]
        assert (await told("/health/ready"))["troubles"] == []
    assert log.read_text().count("erp.not_as_mapped") == 1
