"""Reports per second accepted with commit, over HTTP, against the same server code with a commit per report.

`ours` answers 202 after the group commit of the embedded store (`synchronous=FULL`). The baseline writes the same
reports to SQLite one commit each, without any HTTP: what a gateway without group commit cannot exceed.
"""

import asyncio
import json
import os
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx2
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


async def accepted(url: str, seconds: float) -> float:
    """Post reports for a while; give the accepted ones per second."""
    count, number, end = 0, 0, time.monotonic() + seconds

    async def client(http: httpx2.AsyncClient) -> None:
        nonlocal count, number
        while time.monotonic() < end:
            number += 1
            answer = await http.post(f"{url}/api/v1/reports", json=body(number))
            if answer.status_code != httpx2.codes.ACCEPTED:
                raise RuntimeError(f"{answer.status_code}: {answer.text[:200]}")
            count += 1

    limits = httpx2.Limits(max_connections=CLIENTS, max_keepalive_connections=CLIENTS)
    async with httpx2.AsyncClient(timeout=30, limits=limits) as http:
        began = time.monotonic()
        await asyncio.gather(*(client(http) for _ in range(CLIENTS)))
        return count / (time.monotonic() - began)


def one_commit_each(path: Path, seconds: float) -> float:
    """Write the same reports with a commit each; give the rate."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.executescript(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE r (id TEXT PRIMARY KEY, b)"
    )
    began, count = time.monotonic(), 0
    while time.monotonic() - began < seconds:
        count += 1
        connection.execute("INSERT INTO r VALUES (?, ?)", (f"b{count}", json.dumps(body(count))))
    connection.close()
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
                rate = asyncio.run(accepted(said.split()[1], seconds))
            finally:
                gateway.terminate()
        base = one_commit_each(Path(folder) / "bare.db", seconds)
    row = Row("reports accepted with commit, 32 clients", rate, base, "1/s", rate / base, "> 1 x", ok=rate > base)
    publish("accept", [row], options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
