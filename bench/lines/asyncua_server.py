"""A stock asyncua server with a grid: every tag has the tick's number, its source time is the tick's.

`asyncua_server.py PORT TAGS PERIOD_MS CERTIFICATE KEY` prints `READY`. The certificate's ApplicationUri is
urn:bench:asyncua. Ticks count from 2026-01-01 UTC on, so that they go on after a restart.
"""

import asyncio
import logging
import sys
import time
from datetime import UTC, datetime, timedelta

from asyncua import Server, ua
from grid import EPOCH_US, NAMESPACE


async def main(port: int, tags: int, period_ms: int, certificate: str, key: str) -> None:
    """Serve until killed."""
    logging.getLogger("asyncua").setLevel(logging.CRITICAL)
    server = Server()
    await server.init()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{port}")
    await server.set_application_uri("urn:bench:asyncua")
    await server.load_certificate(certificate)
    await server.load_private_key(key)
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity, ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt])
    index = await server.register_namespace(NAMESPACE)
    add = server.nodes.objects.add_variable
    nodes = [(await add(ua.NodeId(f"t{n}", index), f"t{n}", 0.0)).nodeid for n in range(tags)]
    epoch = datetime.fromtimestamp(EPOCH_US / 1e6, UTC)
    async with server:
        print("READY", flush=True)
        tick = (time.time_ns() // 1000 - EPOCH_US) // (period_ms * 1000)
        while True:
            tick += 1
            due = EPOCH_US + tick * period_ms * 1000
            await asyncio.sleep(max(0.0, due / 1e6 - time.time()))
            at = epoch + timedelta(milliseconds=tick * period_ms)
            value = ua.DataValue(ua.Variant(float(tick), ua.VariantType.Double), SourceTimestamp=at)
            for node in nodes:
                await server.write_attribute_value(node, value)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], sys.argv[5]))
