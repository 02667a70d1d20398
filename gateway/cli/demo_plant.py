"""The demo's plant: simulators and the gateway as processes on free loopback ports."""

import asyncio
import ctypes
import json
import os
import secrets
import signal
import socket
import sys
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.core.errors import Unreachable

MACHINES = ("M-01", "M-02", "M-03")
START_S = 90.0
_STOP_S = 15.0
_LINE = 1 << 20
_PR_SET_PDEATHSIG = 1

_CONFIG = """\
# Written by `andon demo`.
[site]
id = "SZ1"
enterprise = "ACME"
timezone = "Asia/Shanghai"
office_end = "17:00"
shifts = [{{ name = "day", start = "08:00", end = "20:00" }}, {{ name = "night", start = "20:00", end = "08:00" }}]

[store]
path = {store}

[api]
host = "127.0.0.1"
port = {port}
anonymous = ["read", "reports:write", "review:write"]
erp_secrets = [{{ env = "ANDON_DEMO_WEBHOOK" }}]

[[api.issuer]]
issuer = "{issuer}"
audience = "andon"
jwks_url = "{jwks_url}"

[erp.main]
protocol = "rest"
base_url = "{base_url}"
token_url = "{token_url}"
client_id = "{client_id}"
client_secret = {{ env = "ANDON_DEMO_ERP" }}
idempotency = "header"
feedback = "signed"
timeout = "3s"

[line.machines]
protocol = "opcua"
endpoint = "{opcua}"
insecure = true

[line.logs]
protocol = "syslog"
host = "127.0.0.1"
port = {syslog}

[line.oven]
protocol = "modbus"
endpoint = "tcp://127.0.0.1:{oven}"

[[asset]]
id = "OVEN-01"
name = "Curing oven 1"
line = "LINE-A"
aliases = ["1号固化炉", "一号炉", "oven 1"]

[[asset]]
id = "PRESS-03"
name = "Stamping press 3"
line = "LINE-A"
aliases = ["三号线冲压机", "3号冲床", "press 3", "stamping press 3"]

[[asset]]
id = "CMP-01"
name = "Air compressor 1"
line = "LINE-A"
aliases = ["一号空压机", "1号空压机", "air compressor 1", "compressor 1"]
"""

_MACHINE = """
[[asset]]
id = "{asset}"
name = "Coolant pump {number}"
line = "LINE-A"
aliases = ["{number}号水泵", "pump {number}"]
bearing = "6205"
speed_rpm = 1797
"""

_TAG = """
[[line.machines.tag]]
asset = "{asset}"
tag = "{tag}"
kind = "{kind}"
address = "nsu=urn:andon:line;s={asset}.{tag}"
unit = "{unit}"
{more}
"""

_TAGS = (
    ("vibration", "waveform", "g", ""),
    ("speed", "value", "rpm", ""),
    ("load", "value", "%", ""),
    ("temperature", "value", "degC", ""),
    ("thermal", "frame", "degC", 'encoding = "centikelvin"'),
)

_OVEN = """
[[line.oven.tag]]
asset = "OVEN-01"
tag = "{tag}"
address = "{address}"
unit = "{unit}"
scale = {scale}
every = "1s"
"""

_ZONES = (
    ("zone1_temperature", "input:0:int16", "degC", 0.1),
    ("zone2_temperature", "input:1:int16", "degC", 0.1),
    ("zone3_temperature", "input:2:int16", "degC", 0.1),
    ("mean_temperature", "input:10:float32:ABCD", "degC", 1.0),
    ("energy", "input:18:uint32:ABCD", "Wh", 1.0),
)


@dataclass(slots=True)
class Process:
    """A child process with a line-wise conversation. Ended by its own id alone."""

    name: str
    child: asyncio.subprocess.Process
    ready: Mapping[str, Any]
    log: Path

    def check(self) -> None:
        """Raise `Unreachable` with the end of its log when the process has ended."""
        if self.child.returncode is not None:
            raise Unreachable(f"{self.name} ended with {self.child.returncode}:\n{_end_of(self.log)}")

    async def tell(self, order: Mapping[str, Any]) -> None:
        """Send one command, as a JSON line."""
        assert self.child.stdin is not None  # noqa: S101  (started with a pipe)
        self.child.stdin.write(json.dumps(order).encode() + b"\n")
        await self.child.stdin.drain()

    async def stop(self) -> None:
        """End the process: SIGTERM, and after a while SIGKILL."""
        if self.child.returncode is not None:
            return
        self.child.terminate()
        try:
            async with asyncio.timeout(_STOP_S):
                await self.child.wait()
        except TimeoutError:
            self.child.kill()
            await self.child.wait()


@dataclass(frozen=True, slots=True)
class Plant:
    """The processes of the demo and where to find them."""

    folder: Path
    config: Path
    url: str
    erp: Process
    machines: Process
    gateway: Process
    erp_database: Path
    parts: tuple[Process, ...]


@asynccontextmanager
async def plant(folder: Path, port: int, seed: int) -> AsyncIterator[Plant]:
    """Start the ERP, the machines, the oven and the gateway; end them in the reverse order."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    webhook = "whsec_" + secrets.token_urlsafe(32).replace("-", "A").replace("_", "B")[:32]
    gateway_port = port or free_port(socket.SOCK_STREAM)
    syslog = free_port(socket.SOCK_DGRAM)
    database = folder / "erp.db"
    async with AsyncExitStack() as stack:

        async def start(name: str, *arguments: str) -> Process:
            process = await _start(name, [sys.executable, "-m", *arguments], environment, folder)
            stack.push_async_callback(process.stop)
            return process

        hook = f"http://127.0.0.1:{gateway_port}/api/v1/webhooks/erp"
        erp, machines, oven = await _together(
            start(
                "erp",
                *("simulators.erp", "--db", str(database), "--profile", "header", "--seed", str(seed)),
                *("--webhook", hook, "--webhook-secret", webhook),
            ),
            start(
                "machines",
                *("simulators.opcua", "--seed", str(seed), "--syslog", f"127.0.0.1:{syslog}"),
                *(part for asset in MACHINES for part in ("--asset", asset)),
                *("--bearing", "6205", "--speed", "1797"),
            ),
            start("oven", "simulators.modbus", "--asset", "OVEN-01"),
        )
        environment |= {"ANDON_DEMO_WEBHOOK": webhook, "ANDON_DEMO_ERP": str(erp.ready["client_secret"])}
        config = folder / "andon.toml"
        config.write_text(_settings(folder, gateway_port, syslog, erp, machines, oven), "utf-8")
        gateway = await start("gateway", "gateway.cli.main", "up", "--config", str(config), "--log-format", "json")
        yield Plant(
            folder,
            config,
            str(gateway.ready["url"]),
            erp,
            machines,
            gateway,
            database,
            (erp, machines, oven, gateway),
        )


def _settings(folder: Path, port: int, syslog: int, erp: Process, machines: Process, oven: Process) -> str:
    text = _CONFIG.format(
        store=json.dumps(str(folder / "store")),
        port=port,
        syslog=syslog,
        opcua=machines.ready["endpoint"],
        oven=oven.ready["port"],
        **{name: erp.ready[name] for name in ("issuer", "jwks_url", "base_url", "token_url", "client_id")},
    )
    for number, asset in enumerate(MACHINES, 1):
        text += _MACHINE.format(asset=asset, number=number)
        text += "".join(
            _TAG.format(asset=asset, tag=tag, kind=kind, unit=unit, more=more) for tag, kind, unit, more in _TAGS
        )
    text += "".join(_OVEN.format(tag=tag, address=place, unit=unit, scale=scale) for tag, place, unit, scale in _ZONES)
    return text


async def _together(*starts: Coroutine[Any, Any, Process]) -> list[Process]:
    """Start several at once; when one fails the others are stopped too, and its error is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            started = [group.create_task(start) for start in starts]
    except* Unreachable as lost:
        raise lost.exceptions[0] from None
    return [task.result() for task in started]


def _end_with_us() -> None:
    """Have the kernel send SIGTERM when the demo dies, also by -9: no simulator is left behind."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


async def _start(name: str, command: list[str], environment: dict[str, str], folder: Path) -> Process:
    """Start a process and wait for its READY (or UP) line. Raises `Unreachable` with the end of its log."""
    log = folder / f"{name}.log"
    with log.open("ab") as errors:
        child = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            env=environment,
            limit=_LINE,
            start_new_session=True,  # Ctrl-C is for the demo; it ends its children itself
            preexec_fn=_end_with_us if sys.platform == "linux" else None,
        )
    process = Process(name, child, {}, log)
    try:
        async with asyncio.timeout(START_S):
            process.ready = await _ready(child, name, log)
    except BaseException:
        await process.stop()
        raise
    return process


async def _ready(child: asyncio.subprocess.Process, name: str, log: Path) -> Mapping[str, Any]:
    assert child.stdout is not None  # noqa: S101  (started with a pipe)
    while line := await child.stdout.readline():
        word, _, rest = line.decode("utf-8", "replace").strip().partition(" ")
        if word == "READY":
            found: Mapping[str, Any] = json.loads(rest)
            return found
        if word == "UP":
            return {"url": rest}
    raise Unreachable(f"{name} did not start:\n{_end_of(log)}")


def _end_of(log: Path) -> str:
    return "\n".join(log.read_text("utf-8", "replace").splitlines()[-15:])


def free_port(kind: int) -> int:
    """Give a loopback port that is free now."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
