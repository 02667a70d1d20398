"""Peak memory of `andon demo --once`, all processes together, and the time to its first order."""

import json
import subprocess
import sys
import time

import psutil
from report import Row, arguments, publish

MEMORY_MIB = 1536.0
FIRST_ORDER_S = 60.0
LIMIT_S = 300.0


def resident(parent: psutil.Process) -> float:
    """Give the resident memory of a process and its children in MiB; what is shared counts once per process."""
    total = 0
    for process in [parent, *parent.children(recursive=True)]:
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total / 1024**2


def main() -> int:
    """Run the demo and watch it."""
    options = arguments("memory")
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
