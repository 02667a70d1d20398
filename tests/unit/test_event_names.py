"""The machine's resolver: one that hangs is asked by few and waited for by nobody."""

import asyncio
import socket
import threading
from typing import Any

import pytest

from connectors.events.names import Names


async def test_the_machine_knows_itself_and_not_what_does_not_exist() -> None:
    names = Names()
    assert "127.0.0.1" in await names.of("localhost", 80)
    for host in ("nowhere.invalid", "x" * 70 + ".example"):
        with pytest.raises(OSError, match=r".*"):
            await names.of(host, 80)


async def test_a_resolver_that_hangs_is_asked_by_few(monkeypatch: pytest.MonkeyPatch) -> None:
    go = threading.Event()

    def hangs(*_: Any, **__: Any) -> list[Any]:
        go.wait(20)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("8.8.8.8", 443))] * 2

    monkeypatch.setattr(socket, "getaddrinfo", hangs)
    names = Names()
    asked = [asyncio.create_task(names.of("mes.example", 443)) for _ in range(4)]
    await asyncio.sleep(0)
    with pytest.raises(OSError, match="does not answer"):
        await names.of("mes.example", 443)
    asked[0].cancel()  # who gave up is not told
    go.set()
    async with asyncio.timeout(10):
        told = await asyncio.gather(*asked, return_exceptions=True)
    assert isinstance(told[0], asyncio.CancelledError)
    assert told[1:] == [["8.8.8.8"]] * 3
    async with asyncio.timeout(10):
        assert await names.of("mes.example", 443) == ["8.8.8.8"]
