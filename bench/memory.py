"""Peak memory of `andon demo --once`, all processes together, and the time to its first order.

`--without-ml` measures instead an idle gateway without models that polls one device: resident memory after ten seconds.
"""

import asyncio
import json
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from report import Row, arguments, publish

MEMORY_MIB = 1536.0
FIRST_ORDER_S = 60.0
LIMIT_S = 300.0
WITHOUT_ML = "--without-ml"
LEAN_MIB = 120.0
IDLE_S = 10.0
LEAN = """
[store]
path = "{folder}/store"
[api]
port = 0
anonymous = ["read", "reports:write"]
[diagnosis]
models = "none"
[language]
engine = "lite"
[[asset]]
id = "M-01"
[line.plc]
protocol = "modbus"
endpoint = "tcp://127.0.0.1:{port}"
every = "100ms"
[[line.plc.tag]]
asset = "M-01"
tag = "current"
address = "holding:7"
"""


def resident(parent: psutil.Process) -> float:
    """Give the resident memory of a process and its children in MiB; what is shared counts once per process."""
    total = 0
    for process in [parent, *parent.children(recursive=True)]:
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total / 1024**2


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Be a Modbus device whose registers are zero."""
    try:
        while True:
            transaction, _, length, unit = struct.unpack(">HHHB", await reader.readexactly(7))
            function, _, count = struct.unpack(">BHH", await reader.readexactly(length - 1))
            head = struct.pack(">HHHBBB", transaction, 0, 3 + 2 * count, unit, function, 2 * count)
            writer.write(head + bytes(2 * count))
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def lean(idle_s: float) -> float:
    """Give the resident memory, in MiB, of an idle gateway without models."""
    device = await asyncio.start_server(answer, "127.0.0.1", 0)
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "andon.toml"
        await asyncio.to_thread(config.write_text, LEAN.format(folder=folder, port=device.sockets[0].getsockname()[1]))
        gateway = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway.cli.main", "up", "-c", str(config), stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            if gateway.stdout is not None:
                await gateway.stdout.readline()
            await asyncio.sleep(idle_s)
            return float(psutil.Process(gateway.pid).memory_info().rss) / 1024**2
        finally:
            gateway.terminate()
            await gateway.wait()
            device.close()


def main() -> int:
    """Run the demo and watch it."""
    without_ml = WITHOUT_ML in sys.argv
    sys.argv = [word for word in sys.argv if word != WITHOUT_ML]
    options = arguments("memory")
    if without_ml:
        used = asyncio.run(lean(2.0 if options.quick else IDLE_S))
        row = Row("idle gateway without models", used, None, "MiB", None, f"<= {LEAN_MIB:.0f}", ok=used <= LEAN_MIB)
        publish("memory", [row], options.output)
        return 0
    began = time.monotonic()
    with subprocess.Popen(
        [sys.executable, "-m", "gateway.cli.main", "demo", "--once", "-o", "json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as demo:
        watched, peak = psutil.Process(demo.pid), 0.0
        while demo.poll() is None:
            if time.monotonic() - began > LIMIT_S:
                demo.terminate()
            try:
                peak = max(peak, resident(watched))
            except psutil.NoSuchProcess:
                break
            time.sleep(0.2)
        said = demo.stdout.read() if demo.stdout else ""
    if demo.returncode != 0 or not said.strip():
        sys.stderr.write(f"the demo ended with {demo.returncode}\n")
        return 1
    summary = json.loads(said.strip().splitlines()[-1])
    first = summary["seconds_to_first_order"]
    publish(
        "memory",
        [
            Row("peak memory of the demo", peak, None, "MiB", None, f"<= {MEMORY_MIB:.0f}", ok=peak <= MEMORY_MIB),
            Row(
                "first order after the start",
                first,
                None,
                "s",
                None,
                f"<= {FIRST_ORDER_S:.0f}",
                ok=first <= FIRST_ORDER_S,
            ),
        ],
        options.output,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
