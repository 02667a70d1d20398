"""An open62541 server in its Python wrapping (package `o6`), for `bench/line.py --open62541`.

`open62541_o6.py PORT TAGS PERIOD_MS [CERTIFICATE KEY]`, run by a Python of its own that has o6 installed. Prints
`READY urn:bench:open62541`. Every tag s=t0.. is a Double: the number of the tick since 2026-01-01 UTC, with the
tick's time as source time. o6 is a commercial build; without a credential it ends itself after ten minutes.
"""

import asyncio
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import o6

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
URI = "urn:bench:open62541"


async def done(answer: Any) -> Any:
    """Wait for an answer where there is one to wait for."""
    return await answer if hasattr(answer, "__await__") else answer


async def main(port: int, tags: int, period_ms: int, *pair: str) -> None:
    """Serve until killed."""
    secured = {"certificate": pair[0], "privateKey": pair[1], "acceptAllCertificates": True} if pair else {}
    server = o6.Server(port=port, applicationUri=URI, **secured)
    nodes = [o6.NodeId(f"ns=1;s=t{n}") for n in range(tags)]
    async with server:
        for n, node in enumerate(nodes):
            await done(server.addVariable(f"t{n}", server.objectsNode, o6.Double(0.0), nodeId=node))
        print("READY", URI, flush=True)
        tick = (time.time_ns() // 1_000_000 - int(EPOCH.timestamp() * 1000)) // period_ms
        while True:
            tick += 1
            at = EPOCH + timedelta(milliseconds=tick * period_ms)
            await asyncio.sleep(max(0.0, at.timestamp() - time.time()))
            value = o6.DataValue(value=o6.Double(tick), sourceTimestamp=o6.DateTime(at))
            await done(server.write(nodes, [value] * tags))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:6]))
