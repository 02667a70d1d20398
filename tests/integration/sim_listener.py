"""Listens to tags of a simulated line with a plain OPC UA client."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Sequence

from asyncua import Client, ua

URI = "urn:andon:line"


class Listener:
    """Collects data changes by node id; give it to a subscription."""

    def __init__(self) -> None:
        self.changes: dict[str, list[ua.DataValue]] = {}
        self._news = asyncio.Event()

    def datachange_notification(self, node: object, _: object, data: object) -> None:
        """Keep a change (called by the client)."""
        self.changes.setdefault(node.nodeid.Identifier, []).append(data.monitored_item.Value)
        self._news.set()

    def good(self, node: str) -> list[ua.DataValue]:
        """Give the changes of a node that carry a value."""
        return [change for change in self.changes.get(node, []) if change.StatusCode.is_good()]

    async def until(self, told: Callable[[], bool], seconds: float = 30.0) -> None:
        """Wait until a condition on the changes holds."""
        async with asyncio.timeout(seconds):
            while not told():
                self._news.clear()
                await self._news.wait()


@contextlib.asynccontextmanager
async def listening(endpoint: str, nodes: Sequence[str]) -> AsyncIterator[Listener]:
    """Subscribe to nodes (`M-01.vibration`) of a simulated line."""
    logging.getLogger("asyncua").setLevel(logging.ERROR)
    listener = Listener()
    async with Client(endpoint) as client:
        index = await client.get_namespace_index(URI)
        subscription = await client.create_subscription(50, listener)
        wanted = [client.get_node(f"ns={index};s={node}") for node in nodes]
        await subscription.subscribe_data_change(wanted, queuesize=1000, sampling_interval=0)
        yield listener
