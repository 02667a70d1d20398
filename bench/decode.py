"""CPU per value from the bytes of a publish response to a series, against the library's own decoder.

Ours decodes the response and makes what is journalled of it: series, waveforms, pictures. The baseline of
numbers is asyncua's generic decoder of the same bytes, and nothing after it; that of waveforms and pictures
is the same decoder with the same waveform or picture made of what it gives. Both run in this process, in
turns of a few messages.
"""

import struct
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import struct_from_binary, struct_to_binary
from report import Row, arguments, publish

from connectors.line.board import Board
from connectors.line.opcua.convert import Converter
from connectors.line.opcua.decode import Decoder, generic
from connectors.line.opcua.pump import Arrival
from connectors.line.opcua.settings import Node
from gateway.core.batch import Batch

VALUES = 1000
SAMPLES = 8192
SIDE = 1024
AT_ONCE = 10
TYPES = ua.VariantType
MIXED = (TYPES.Double, TYPES.Float, TYPES.Int32, TYPES.UInt16, TYPES.Boolean, TYPES.Int64, TYPES.UInt64)
Run = Callable[[Buffer], Any]
MOST_US, MOST_WAVE_MS, MOST_IMAGE_MS = 0.5, 0.5, 5.0


def response(variants: list[Any]) -> bytes:
    """Make a publish response with an item for each variant, as a server sends it."""
    now = datetime.now(UTC)
    items = [
        ua.MonitoredItemNotification(
            ClientHandle=handle, Value=ua.DataValue(variant, SourceTimestamp=now, ServerTimestamp=now)
        )
        for handle, variant in enumerate(variants)
    ]
    made = ua.PublishResponse()
    made.Parameters.SubscriptionId = 1
    made.Parameters.NotificationMessage.SequenceNumber = 1
    made.Parameters.NotificationMessage.NotificationData = [ua.DataChangeNotification(MonitoredItems=items)]
    return bytes(struct_to_binary(made))


def numbers(kinds: tuple[Any, ...]) -> bytes:
    """Make a response of numbers whose types take turns."""
    return response([ua.Variant(place % 2, kinds[place % len(kinds)]) for place in range(VALUES)])


def converter_of(count: int, **more: Any) -> Converter:
    """Make a converter for so many tags."""
    nodes = [Node(asset="BENCH", tag=f"t{place}", address=f"i={place + 1}", **more) for place in range(count)]
    return Converter("bench", nodes, {}, Board("bench", nodes))


def road(count: int, *, forgetful: bool = False, **more: Any) -> Run:
    """Make the product's road for so many tags: decode, then convert. `forgetful`: each message is the first."""
    decoder, converter = Decoder(), converter_of(count, **more)

    def travel(body: Buffer) -> Batch | None:
        message = (Decoder() if forgetful else decoder).decode(body)
        return converter.batch([Arrival(message.changes, datetime.now(UTC), values=message.values)])

    return travel


def library(body: Buffer) -> Any:
    """Decode as asyncua does."""
    return struct_from_binary(ua.PublishResponse, body)


def behind_library(**more: Any) -> Run:
    """Make the road of one tag whose messages the library decodes."""
    converter = converter_of(1, **more)

    def travel(body: Buffer) -> Batch | None:
        message = generic(library(body))
        return converter.batch([Arrival(message.changes, datetime.now(UTC), values=message.values)])

    return travel


def race(data: bytes, runners: tuple[Run, Run], rounds: int) -> tuple[float, float]:
    """Give the CPU seconds of a message in the quickest round of each runner; they take turns."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for run, mine in zip(runners, times, strict=True):
            bodies = [Buffer(data) for _ in range(AT_ONCE)]
            began = time.process_time()
            for body in bodies:
                run(body)
            mine.append((time.process_time() - began) / AT_ONCE)
    return min(times[0]), min(times[1])


@dataclass(frozen=True, slots=True)
class Case:
    """One kind of message. `unit` is "us" (per value) or "ms" (per message)."""

    name: str
    data: bytes
    ours: Run
    base: Run
    unit: str
    most: float

    def measure(self, rounds: int) -> Row:
        """Measure it."""
        scale = 1e3 if self.unit == "ms" else 1e6 / VALUES
        mine, base = (seconds * scale for seconds in race(self.data, (self.ours, self.base), rounds))
        target = f"<= {self.most:g} {self.unit}"
        return Row(self.name, mine, base, self.unit, base / mine, target, ok=mine <= self.most)


def cases() -> list[Case]:
    """Give what is measured."""
    picture = struct.pack("<HH", SIDE, SIDE) + np.full(SIDE * SIDE, 29815, "<u2").tobytes()
    wave = response([ua.Variant([0.5] * SAMPLES, TYPES.Float)])
    image = response([ua.Variant(picture, TYPES.ByteString)])
    texts = [ua.Variant("run" if kind is TYPES.String else 1, kind) for kind in (*MIXED, TYPES.String)]
    checked = {"scale": 0.1, "low": -10, "high": 1000, "deadband": 1e-9}
    waveform, frame = {"kind": "waveform", "rate_hz": 12800.0}, {"kind": "frame", "encoding": "centikelvin"}
    mixed = numbers(MIXED)
    return [
        Case(f"value, {VALUES} Double", numbers((TYPES.Double,)), road(VALUES), library, "us", MOST_US),
        Case(f"value, {VALUES} of 7 types", mixed, road(VALUES), library, "us", MOST_US),
        Case("the same, scaled, range, deadband", mixed, road(VALUES, **checked), library, "us", MOST_US),
        Case("7 types, the order never seen before", mixed, road(VALUES, forgetful=True), library, "us", 2 * MOST_US),
        Case("value, every 8th a text", response(texts * (VALUES // 8)), road(VALUES), library, "us", 2 * MOST_US),
        Case(f"waveform, Float[{SAMPLES}]", wave, road(1, **waveform), behind_library(**waveform), "ms", MOST_WAVE_MS),
        Case("picture, 2 MB ByteString", image, road(1, **frame), behind_library(**frame), "ms", MOST_IMAGE_MS),
    ]


def main() -> int:
    """Measure and publish."""
    options = arguments("decode")
    rows = [case.measure(5 if options.quick else 30) for case in cases()]
    publish("decode", rows, options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
