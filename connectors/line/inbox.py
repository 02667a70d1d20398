"""Inbox: what has arrived and waits for its commit. Bounded by who offers: an offer ends when it is committed."""

import asyncio
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Inbox(Generic[Item]):
    """Between those who receive and the one who commits.

    `offer` gives a future that is done when the item was committed; who offers awaits it before the next
    offer, so that at most one item per offering task waits here. `take` drains what waits; an empty list
    means that nothing more will come.
    """

    def __init__(self) -> None:
        self._waiting: list[tuple[Item, asyncio.Future[None]]] = []
        self._taken: list[asyncio.Future[None]] = []
        self._wake = asyncio.Event()
        self._ended = False

    def offer(self, item: Item) -> asyncio.Future[None]:
        """Hand an item over; the future is done when it is committed."""
        committed = asyncio.get_running_loop().create_future()
        self._waiting.append((item, committed))
        self._wake.set()
        return committed

    async def take(self) -> list[Item]:
        """Wait for items and take all of them; the ones taken before are not yet committed."""
        while not self._waiting and not self._ended:
            self._wake.clear()
            await self._wake.wait()
        items = [item for item, _ in self._waiting]
        self._taken += [committed for _, committed in self._waiting]
        self._waiting.clear()
        return items

    def committed(self) -> None:
        """Say that everything taken so far is committed."""
        for waiting in self._taken:
            if not waiting.done():
                waiting.set_result(None)
        self._taken.clear()

    def end(self) -> None:
        """Say that nothing more will come; what still waits can be taken."""
        self._ended = True
        self._wake.set()
