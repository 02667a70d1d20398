"""A stock asyncua server with big values: `payload_server.py wave|image PORT` prints `READY`.

`wave`: four Float[8192] at 10 Hz, s=t0 to s=t3. `image`: one picture of 1024 x 1024 pixels at 10 Hz, s=t0, as a
ByteString of height, width and centikelvin (uint16, little-endian): 2 MiB.
"""

import asyncio
import itertools
import logging
import struct
import sys
import time
from datetime import UTC, datetime

import numpy as np
from asyncua import Server, ua
from grid import NAMESPACE

PERIOD_S = 0.1
WAVES, SAMPLES, SIDE, DIFFERENT = 4, 8192, 1024, 8


def waves() -> list[ua.Variant]:
    """Make some blocks of a vibration."""
    dice = np.random.default_rng(1)
    times = np.arange(SAMPLES) / 25_600
    blocks = [np.sin(2 * np.pi * 87.3 * times) + 0.2 * dice.standard_normal(SAMPLES) for _ in range(DIFFERENT)]
    return [ua.Variant([float(it) for it in block.astype("<f4")], ua.VariantType.Float) for block in blocks]


def images() -> list[ua.Variant]:
    """Make some pictures: a warm spot on a gradient, and a sensor's noise."""
    dice = np.random.default_rng(1)
    down, across = np.mgrid[0:SIDE, 0:SIDE]
    spot = 3000 * np.exp(-((down - 500) ** 2 + (across - 400) ** 2) / 20_000)
    warm = 29_815 + down / 2 + spot
    made = [(warm + dice.normal(0, 5, warm.shape)).astype("<u2").tobytes() for _ in range(DIFFERENT)]
    return [ua.Variant(struct.pack("<HH", SIDE, SIDE) + pixels, ua.VariantType.ByteString) for pixels in made]


async def main(kind: str, port: int) -> None:
    """Serve until killed."""
    logging.getLogger("asyncua").setLevel(logging.CRITICAL)
    server = Server()
    await server.init()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{port}")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    index = await server.register_namespace(NAMESPACE)
    values = waves() if kind == "wave" else images()
    nodes = [
        (await server.nodes.objects.add_variable(ua.NodeId(f"t{n}", index), f"t{n}", values[0])).nodeid
        for n in range(WAVES if kind == "wave" else 1)
    ]
    async with server:
        print("READY", flush=True)
        due = time.monotonic()
        for value in itertools.cycle(values):
            due += PERIOD_S
            for node in nodes:
                await server.write_attribute_value(node, ua.DataValue(value, SourceTimestamp=datetime.now(UTC)))
            await asyncio.sleep(max(0.0, due - time.monotonic()))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
