"""Readings per second from OPC UA to a committed journal, against a bare asyncua client on the same server.

Ours is the product's road: source, typing and scaling, one FULL commit per batch, then the
acknowledgement. The baseline subscribes with the library's own handler and only counts. Every value
is its tick's number, so that a loss is counted and not guessed.
"""

import asyncio
import logging
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec
from report import Row, arguments, publish

from connectors.line.opcua import Settings
from gateway.core.batch import Batch
from gateway.core.ports import Store, Tx
from gateway.core.units import decode
from gateway.store.settings import Settings as StoreSettings

TAGS = 1000
PERIOD_S = 0.1
NAMESPACE = "urn:bench:line"
START_S = 120.0
EVEN = 0.95  # the server sets the pace of both


@dataclass(slots=True)
class Tally:
    """What arrived of each tag: how many values, the first tick and the last."""

    count: dict[str, int] = field(default_factory=dict)
    first: dict[str, float] = field(default_factory=dict)
    last: dict[str, float] = field(default_factory=dict)

    def take(self, tag: str, tick: float) -> None:
        """Note one value."""
        if tag not in self.count:
            self.first[tag], self.count[tag] = tick, 0
        self.count[tag] += 1
        self.last[tag] = tick

    @property
    def values(self) -> int:
        """All values."""
        return sum(self.count.values())

    @property
    def lost(self) -> int:
        """Ticks between a tag's first and last value that did not come."""
        return int(sum(self.last[tag] - self.first[tag] + 1 - count for tag, count in self.count.items()))


@dataclass(frozen=True, slots=True)
class Figure:
    """One run: values per second, CPU seconds per 100,000 values, values lost."""

    rate: float
    cpu: float
    lost: int


async def serve() -> None:
    """Be the load source: every tag gets the tick's number every period, on an absolute grid."""
    from asyncua import Server, ua  # noqa: PLC0415 (only in the server's process)

    logging.getLogger("asyncua").setLevel(logging.ERROR)
    server = Server()
    await server.init()
    server.set_endpoint("opc.tcp://127.0.0.1:0")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    index = await server.register_namespace(NAMESPACE)
    nodes = [
        (await server.nodes.objects.add_variable(ua.NodeId(f"t{n}", index), f"t{n}", 0.0)).nodeid for n in range(TAGS)
    ]
    async with server:
        print(server.bserver.port, flush=True)
        due, tick = time.monotonic(), 0
        while True:
            tick, due = tick + 1, due + PERIOD_S
            value = ua.DataValue(ua.Variant(float(tick), ua.VariantType.Double), SourceTimestamp=datetime.now(UTC))
            for node in nodes:
                await server.write_attribute_value(node, value)
            await asyncio.sleep(max(0.0, due - time.monotonic()))


class Append:
    """The step that journals one batch."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch

    def __call__(self, tx: Tx) -> int:
        """Append it."""
        return tx.append(self._batch)


async def ours(port: int, store: Store, seconds: float) -> Figure:
    """Measure the product's road."""
    tags = [{"asset": "BENCH", "tag": f"t{n}", "address": f"nsu={NAMESPACE};s=t{n}", "unit": "g"} for n in range(TAGS)]
    fields = {"name": "bench", "endpoint": f"opc.tcp://127.0.0.1:{port}", "insecure": True, "tag": tags}
    source = msgspec.convert(fields, Settings, dec_hook=decode).open()
    tally = Tally()
    clock = Clock()
    try:
        async with asyncio.timeout(START_S + seconds):
            async for batch in source.batches():
                await store.write(Append(batch))
                for reading in batch.readings:
                    if isinstance(reading.value, float):
                        tally.take(reading.tag, reading.value)
                if clock.over(tally, seconds):
                    break
    finally:
        await source.close()
    return clock.figure(tally)


async def bare(port: int, _: Store, seconds: float) -> Figure:
    """Measure a bare asyncua client: its own subscription, its own handler, nothing kept."""
    from asyncua import Client  # noqa: PLC0415 (beside the product, not in it)

    tally = Tally()
    clock = Clock()

    class Handler:
        def datachange_notification(self, node: Any, value: float, _data: Any) -> None:
            tally.take(node.nodeid.Identifier, value)

    async with asyncio.timeout(START_S + seconds), Client(f"opc.tcp://127.0.0.1:{port}") as client:
        index = await client.get_namespace_index(NAMESPACE)
        subscription = await client.create_subscription(250, Handler())
        await subscription.subscribe_data_change(
            [client.get_node(f"ns={index};s=t{n}") for n in range(TAGS)], queuesize=100, sampling_interval=0
        )
        while not clock.over(tally, seconds):  # noqa: ASYNC110 (waits for a time, not for an event)
            await asyncio.sleep(0.05)
    return clock.figure(tally)


class Clock:
    """Starts when every tag has spoken; measures wall and CPU time from there."""

    def __init__(self) -> None:
        self._began = self._cpu = self._wall = self._used = 0.0
        self._before = 0

    def over(self, tally: Tally, seconds: float) -> bool:
        """Say whether the time is over; called again and again."""
        if not self._began:
            if len(tally.count) == TAGS:
                self._began, self._cpu, self._before = time.monotonic(), time.process_time(), tally.values
            return False
        self._wall, self._used = time.monotonic() - self._began, time.process_time() - self._cpu
        return self._wall >= seconds

    def figure(self, tally: Tally) -> Figure:
        """Give the result."""
        values = tally.values - self._before
        return Figure(values / self._wall, self._used / values * 100_000, tally.lost)


def best(figures: list[Figure]) -> Figure:
    """Take the best of several rounds, for other work on the machine disturbs them; losses add up."""
    return Figure(
        max(figure.rate for figure in figures),
        min(figure.cpu for figure in figures),
        sum(figure.lost for figure in figures),
    )


def run(measure: Callable[[int, Store, float], Any], seconds: float) -> Figure:
    """Start a fresh server and measure against it."""
    command = [sys.executable, __file__, "serve"]
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server,
    ):
        try:
            port = int(server.stdout.readline()) if server.stdout else 0
            return asyncio.run(_measured(measure, port, folder, seconds))
        finally:
            server.kill()


async def _measured(measure: Callable[[int, Store, float], Any], port: int, folder: str, seconds: float) -> Figure:
    store = await asyncio.to_thread(StoreSettings(path=folder).open)
    try:
        figure: Figure = await measure(port, store, seconds)
        return figure
    finally:
        await store.close()


def main() -> int:
    """Run both and publish."""
    if sys.argv[1:] == ["serve"]:
        asyncio.run(serve())
        return 0
    options = arguments("line")
    seconds, rounds = (4.0, 2) if options.quick else (15.0, 3)
    try:
        runs = [(run(ours, seconds), run(bare, seconds)) for _ in range(rounds)]
    except (OSError, ValueError, ZeroDivisionError) as fault:
        sys.stderr.write(f"could not measure: {fault!r}\n")
        return 1
    mine, base = (best([pair[side] for pair in runs]) for side in (0, 1))
    what = f"{TAGS} tags x {1 / PERIOD_S:.0f} Hz"
    rate, cheap = mine.rate / base.rate, base.cpu / mine.cpu
    even, core, bare_core = rate >= EVEN, 100_000 / mine.cpu, 100_000 / base.cpu
    publish(
        "line",
        [
            Row(f"OPC UA to committed journal, {what}", mine.rate, base.rate, "1/s", rate, f">= {EVEN} x", ok=even),
            Row("the same per second of CPU", core, bare_core, "1/s", cheap, ">= 1 x", ok=cheap >= 1),
            Row("CPU per 100,000 values", mine.cpu, base.cpu, "s", cheap, "<= 1", ok=mine.cpu <= 1),
            Row("values lost", mine.lost, base.lost, "values", None, "0", ok=mine.lost == 0),
        ],
        options.output,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
