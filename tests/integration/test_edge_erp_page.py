"""The page about the ERP: what its first section shows works against the simulated ERP, as its last one promises."""

import re
from pathlib import Path

import pytest

from gateway.core.delivery import Delivered
from gateway.runtime.settings import parse
from tests.erp_process import SECRET, make_order, running_erp

PAGE = Path(__file__).parents[2] / "docs" / "connect-erp.md"


async def test_the_mapping_of_the_page_reaches_the_simulated_erp(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = re.search(r"^```toml\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert shown is not None
    monkeypatch.setenv("ERP_SECRET", SECRET)
    with running_erp("--client-id", "andon") as erp:
        text = shown[1].replace("https://erp.example/oauth/token", erp.ready["token_url"])
        settings = parse(text.replace("https://erp.example", erp.url)).the_erp
        assert settings is not None
        adapter = settings.open()
        try:
            assert await adapter.verify() == []
            order = make_order("page")
            [outcome] = await adapter.deliver([order])
        finally:
            await adapter.close()
        assert isinstance(outcome, Delivered), outcome
        assert erp.commits(order.key) == 1
