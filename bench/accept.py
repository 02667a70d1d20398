"""Reports per second accepted with commit (`synchronous=FULL`), over HTTP, while they are read and ordered.

The baseline is the same gateway with one client that waits for each 202: one commit each. What 32 clients gain
is the group commit.
"""

import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from report import Row, arguments, publish

CLIENTS = 32
CONFIG = """
[site]
id = "B"
[store]
path = {store}
[api]
port = {port}
anonymous = ["reports:write"]
[language]
engine = "lite"
"""


def free_port() -> int:
    """Give a free loopback port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def body(number: int) -> dict[str, str]:
    """Make one report."""
    text = f"2号线减速机异响，轴承温度偏高，请尽快检修 / gearbox {number} noisy, bearing hot"
    return {"id": f"b{number}", "text": text, "reported_at": "2026-03-18T15:30:00+08:00"}


def request(number: int) -> bytes:
    """Make the bytes of one request."""
    content = json.dumps(body(number), ensure_ascii=False).encode()
    head = "POST /api/v1/reports HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json"
    return f"{head}\r\nContent-Length: {len(content)}\r\n\r\n".encode() + content


async def accepted(url: str, seconds: float, clients: int, first: int) -> float:
    """Post reports for a while over kept connections; give the accepted ones per second.

    The client is bare sockets: a full HTTP client would cost more than the server under test.
    """
    port = int(url.rsplit(":", 1)[1])
    count, number, end = 0, first, time.monotonic() + seconds

    async def client() -> None:
        nonlocal count, number
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while time.monotonic() < end:
            number += 1
            writer.write(request(number))
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            answer = await reader.readexactly(length)
            if b" 202 " not in head.split(b"\r\n")[0]:
                raise RuntimeError(f"{head.decode()}{answer.decode()[:200]}")
            count += 1
        writer.close()

    began = time.monotonic()
    await asyncio.gather(*(client() for _ in range(clients)))
    return count / (time.monotonic() - began)


def main() -> int:
    """Measure and print."""
    options = arguments("accept")
    seconds = 3.0 if options.quick else 15.0
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        config = Path(folder) / "andon.toml"
        config.write_text(CONFIG.format(store=json.dumps(f"{folder}/store"), port=port))
        with subprocess.Popen(
            [sys.executable, "-m", "gateway.cli.main", "up", "-c", str(config)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        ) as gateway:
            try:
                said = gateway.stdout.readline() if gateway.stdout else ""
                if not said.startswith("UP "):
                    sys.stderr.write("the gateway did not start\n")
                    return 1
                url = said.split()[1]
                base = asyncio.run(accepted(url, seconds, 1, 0))
                rate = asyncio.run(accepted(url, seconds, CLIENTS, 1_000_000))
            finally:
                gateway.terminate()
    row = Row(
        f"reports accepted with commit, {CLIENTS} clients", rate, base, "1/s", rate / base, "> 1 x", ok=rate > base
    )
    publish("accept", [row], options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
