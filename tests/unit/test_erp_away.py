"""An ERP that is not there: what is said names its place, and nothing else of its address."""

import httpx2
import pytest

from connectors.erp.http import ErpClient, Lost


async def test_an_erp_that_is_not_there_is_named_by_its_place() -> None:
    async with httpx2.AsyncClient(base_url="http://user:geheim@127.0.0.1:9", trust_env=False) as plain:
        with pytest.raises(Lost) as caught:
            await ErpClient(plain, 5.0).ask("GET", "/orders?key=geheim")
    assert str(caught.value) == "not sent: no connection to 127.0.0.1:9 (ConnectError)"
    assert not caught.value.sent
