"""A whole gateway hears how its order ended: by a webhook that is only a hint, and by asking alone."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.rig import running, until

CONFIG = """
[site]
id = "SZ1"
[store]
path = "{folder}/store"
[api]
port = 0
anonymous = ["read", "reports:write"]
[api.frappe]
secrets = [{{ env = "TEST_HOOK" }}]
[language]
engine = "lite"
[orders]
follow = "{follow}"
[[asset]]
id = "PRESS-03"
kind = "press"
line = "LINE-3"
aliases = ["press 3"]
[erp.main]
protocol = "frappe"
base_url = "{base_url}/frappe"
api_key = {{ env = "TEST_NAME" }}
api_secret = {{ env = "TEST_KEY" }}
[erp.main.mapping]
asset = "asset"
failure_date = "detected_at"
"""
HOOK, KEY = "hook-0123456789abcdef0123456789", "0123456789abcdef"


@pytest.mark.parametrize(("follow", "told"), [("24h", True), ("1s", False)])
async def test_the_end_of_an_order_is_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, follow: str, *, told: bool
) -> None:
    for name, value in {"HOOK": HOOK, "NAME": "andon", "KEY": KEY}.items():
        monkeypatch.setenv(f"TEST_{name}", value)
    async with running(tmp_path / "erp.log", "simulators.erp", "--api-key", KEY) as erp:
        config = tmp_path / "andon.toml"
        config.write_text(CONFIG.format(folder=tmp_path, follow=follow, base_url=erp.ready["base_url"]))
        up = ("gateway.cli.main", "up", "-c", str(config), "--log-format", "json")
        async with (
            running(tmp_path / "gateway.log", *up) as gateway,
            httpx2.AsyncClient(base_url=gateway.ready["url"], timeout=10) as http,
            httpx2.AsyncClient(base_url=erp.ready["control_url"], timeout=10) as control,
        ):

            async def order() -> dict[str, Any]:
                items: list[dict[str, Any]] = (await http.get("/api/v1/orders")).json()["items"]
                return items[0] if items else {"delivery": {"state": ""}, "erp_state": ""}

            async def delivered() -> bool:
                return bool((await order())["delivery"]["state"] == "DELIVERED")

            async def over() -> bool:
                return bool((await order())["erp_state"] == "done")

            body = {"text": "press 3 is leaking oil from the cylinder", "reported_at": datetime.now(UTC).isoformat()}
            assert (await http.post("/api/v1/reports", json=body)).status_code == 202
            await until(delivered, f"the order to be delivered\n{gateway.said()}", 30)
            hook = f"{gateway.ready['url']}/api/v1/webhooks/frappe" if told else ""
            edit = {"name": (await order())["delivery"]["erp_number"], "repair_status": "Completed"}
            turned = await control.post("/frappe", json={"hook": hook, "hook_secret": HOOK, "edit": edit})
            assert turned.status_code == 200
            await until(over, f"the order to be over\n{gateway.said()}", 30)
            assert await gateway.stop() == 0, gateway.said()
