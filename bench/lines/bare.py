"""The baseline: a bare asyncua client, its own subscription, its own handler, nothing kept.

`bare.py PORT TAGS URI [--defaults]` prints `LIVE` when every tag has spoken, and its count for each line on stdin.
It asks for queues of 100 values, every change and a publish each 250 ms, as the product does; `--defaults` leaves
queue and sampling to the library, and publishes as often as the values change: what people write first.
"""

import asyncio
import sys
from typing import Any

from asyncua import Client

START_S = 120.0


class Handler:
    """Counts the values."""

    def __init__(self) -> None:
        self.count = 0

    def datachange_notification(self, _node: Any, _value: Any, _data: Any) -> None:
        """Take one value."""
        self.count += 1


async def main(port: int, tags: int, uri: str, *, defaults: bool) -> None:
    """Subscribe and count until standard input ends."""
    handler = Handler()
    wishes = {} if defaults else {"queuesize": 100, "sampling_interval": 0}
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async with Client(f"opc.tcp://127.0.0.1:{port}") as client:
        async with asyncio.timeout(START_S):
            index = await client.get_namespace_index(uri)
            subscription = await client.create_subscription(100 if defaults else 250, handler)
            nodes = [client.get_node(f"ns={index};s=t{n}") for n in range(tags)]
            for start in range(0, tags, 1000):
                part = nodes[start : start + 1000]
                await subscription.subscribe_data_change(part, **wishes)
            while handler.count < tags:  # noqa: ASYNC110 (waits for a time, not for an event)
                await asyncio.sleep(0.1)
        print("LIVE", flush=True)
        while await reader.readline():
            print("COUNT", handler.count, flush=True)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], defaults="--defaults" in sys.argv))
