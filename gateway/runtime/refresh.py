"""Refresh tokens that turn, kept in the store: durable before what came with them is used."""

import asyncio
from collections.abc import Coroutine
from concurrent.futures import CancelledError
from typing import Any

from connectors.erp.keeper import Remembering
from gateway.core.errors import Unreachable
from gateway.core.ports import ErpAdapter, Store, T, Tx

_WITHIN_S = 30.0


class StoreKeeper:
    """A `connectors.erp.keeper.RefreshKeeper` of one ERP. Asked from other threads; waits for the loop's."""

    def __init__(self, store: Store, loop: asyncio.AbstractEventLoop, erp: str) -> None:
        self._store, self._loop, self._name = store, loop, f"oauth.refresh.{erp}"

    def newest(self) -> str:
        """Give what was kept last, "" for nothing. Raises `Unreachable`."""
        return self._wait(self._store.read(lambda tx: tx.get(self._name) or b"")).decode()

    def keep(self, token: str) -> None:
        """Commit. Raises `Unreachable` or `Full`: it may be kept all the same."""

        def step(tx: Tx) -> None:
            tx.put(self._name, token.encode())

        self._wait(self._store.write(step))

    def _wait(self, asking: Coroutine[Any, Any, T]) -> T:
        try:
            answer = asyncio.run_coroutine_threadsafe(asking, self._loop)
        except RuntimeError:
            asking.close()
            raise Unreachable("the gateway has ended") from None
        try:
            return answer.result(_WITHIN_S)
        except (TimeoutError, CancelledError):
            answer.cancel()
            raise Unreachable("the store did not answer in time") from None


def remember(erp: ErpAdapter, store: Store) -> None:
    """Let an adapter whose refresh token turns keep it in the store. Called in the event loop."""
    if isinstance(erp, Remembering):
        erp.keep_with(StoreKeeper(store, asyncio.get_running_loop(), erp.name))


def turns(settings: Any, erp: ErpAdapter) -> bool:
    """Say whether a look at this ERP uses a refresh token up; one of another make that does not say is believed to."""
    return isinstance(erp, Remembering) and getattr(settings, "refresh_token", "unsaid") is not None
