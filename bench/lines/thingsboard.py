"""The ThingsBoard gateway as a baseline: installed beside us, on the same tags, writing to an MQTT broker.

It is installed from the Python index into an environment of its own in the cache, with the asyncua version that
it would otherwise install when it runs. Its broker is a Mosquitto; a subscriber writes down what comes.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lines.measure import Figure, within
from lines.process import Failed, Process, Skipped, started
from lines.sources import Source, free_port

VERSION = "3.8.5"
WANTS = "asyncua==1.1.5"
INSTALL_S = 300.0
FIRST_S = 120.0
SETTLE_S = 5.0
_VALUE = re.compile(rb'"t\d+"\s*:')
_ASKED = re.compile(rb"rpc/request/(\d+) .*getSessionLimits")


@contextmanager
def installed() -> Iterator[Path]:
    """Give the environment's folder; installs it once. Raises `Skipped` with the reason where it cannot be."""
    for program in ("mosquitto", "mosquitto_sub"):
        if not _program(program):
            raise Skipped(f"{program} is not installed (tools/services)")
    cache = Path(os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache")))
    home = cache / "andon-bench" / f"tb-{VERSION}"
    if not (home / ".done").exists():
        _install(home)
    yield home


def _program(name: str) -> str | None:
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")


def _install(home: Path) -> None:
    home.parent.mkdir(parents=True, exist_ok=True)
    pip = [home / "bin" / "python", "-m", "pip", "install", "-q"]
    try:
        for command in ([sys.executable, "-m", "venv", home], [*pip, f"thingsboard-gateway=={VERSION}"], [*pip, WANTS]):
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=INSTALL_S)
    except subprocess.CalledProcessError as lost:
        last = (lost.stderr or "").strip().splitlines()[-1:] or ["no reason given"]
        raise Skipped(f"thingsboard-gateway {VERSION} cannot be installed: {last[0]}") from None
    except (OSError, subprocess.TimeoutExpired) as lost:
        raise Skipped(f"thingsboard-gateway {VERSION} cannot be installed: {type(lost).__name__}") from None
    (home / ".done").touch()


def measure(home: Path, source: Source, seconds: float, *, core: int, other: int) -> Figure:
    """Measure it: values that reached the broker's subscriber in the time. The broker runs beside the source."""
    with tempfile.TemporaryDirectory(prefix="andon-bench-tb-") as name:
        folder = Path(name)
        port = free_port()
        _write(folder, source, port)
        command = [home / "bin" / "python", "-m", "thingsboard_gateway.tb_gateway"]
        env = {"TB_GW_CONFIG_DIR": f"{folder}/", "PIP_NO_INDEX": "1"}
        broker = [_program("mosquitto") or "mosquitto", "-c", folder / "mosquitto.conf"]
        with (
            started(broker, "mosquitto", core=other),
            _subscriber(folder / "came", port, other) as came,
            started(command, "ThingsBoard gateway", core=core, env=env, cwd=folder, errors=folder / "log") as gateway,
        ):
            _allow(came, port)
            return _watch(gateway, came, source, seconds)


def _allow(came: Path, port: int) -> None:
    """Answer its question for limits, as its platform does: none. It sends nothing before."""
    deadline = time.monotonic() + FIRST_S
    while not (asked := _ASKED.search(came.read_bytes())):
        if time.monotonic() > deadline:
            raise Failed(f"ThingsBoard gateway did not connect in {FIRST_S:.0f} s")
        time.sleep(0.2)
    topic = f"v1/devices/me/rpc/response/{asked[1].decode()}"
    answer = json.dumps({"maxPayloadSize": 81_920, "maxInflightMessages": 12_500, "rateLimits": {}})
    words = ["mosquitto_pub", "-p", str(port), "-q", "1", "-t", topic, "-m", answer]
    subprocess.run(words, check=True, capture_output=True, timeout=10.0)


def _watch(gateway: Process, came: Path, source: Source, seconds: float) -> Figure:
    deadline = time.monotonic() + FIRST_S
    while _count(came, 0) < source.tags:
        if time.monotonic() > deadline or not gateway.running:
            raise Failed(f"ThingsBoard gateway sent {_count(came, 0)} values in {FIRST_S:.0f} s")
        time.sleep(1.0)
    time.sleep(SETTLE_S)
    at, began, used = came.stat().st_size, time.monotonic(), gateway.cpu_s()
    time.sleep(seconds)
    took, used = time.monotonic() - began, gateway.cpu_s() - used
    got = _count(came, at)
    if not got:
        raise Failed("ThingsBoard gateway sent nothing in the time")
    note = f"ThingsBoard gateway {VERSION}, its default (memory) store, to Mosquitto at QoS 1"
    share, lost = within(source, took, got)
    return Figure(share, lost, used / got * 100_000, gateway.rss_mib(), got / took, note=note)


def _count(came: Path, at: int) -> int:
    with came.open("rb") as file:
        file.seek(at)
        return len(_VALUE.findall(file.read()))


@contextmanager
def _subscriber(came: Path, port: int, core: int) -> Iterator[Path]:
    """Write down what is published; tried until the broker answers."""
    words = ["taskset", "-c", str(core), "mosquitto_sub", "-p", str(port), "-q", "1", "-t", "#", "-v"]
    with came.open("wb") as file:
        deadline = time.monotonic() + 10.0
        while True:
            child = subprocess.Popen(words, stdout=file, stderr=subprocess.DEVNULL)
            time.sleep(0.5)
            if child.poll() is None:
                break
            if time.monotonic() > deadline:
                raise Failed("the broker's subscriber cannot connect")
        try:
            yield came
        finally:
            child.terminate()
            child.wait(10.0)


def _write(folder: Path, source: Source, port: int) -> None:
    """Write its settings: one device, every tag by subscription; no shell, no remote settings, no statistics."""
    (folder / "logs").mkdir()
    (folder / "mosquitto.conf").write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\n")
    gateway: dict[str, Any] = {
        "thingsboard": {
            "host": "127.0.0.1",
            "port": port,
            "remoteShell": False,
            "remoteConfiguration": False,
            "statistics": {"enable": False},
            "deviceFiltering": {"enable": False},
            "maxPayloadSizeBytes": 65_536,
            "minPackSendDelayMS": 50,
            "minPackSizeToSend": 500,
            "checkConnectorsConfigurationInSeconds": 3600,
            "handleDeviceRenaming": False,
            "security": {"type": "accessToken", "accessToken": "bench"},
            "qos": 1,
            "reportStrategy": {"type": "ON_RECEIVED"},
            "checkingDeviceActivity": {"checkDeviceInactivity": False},
        },
        "storage": {"type": "memory", "read_records_count": 100, "max_records_count": 100_000},
        "grpc": {"enabled": False},
        "connectors": [{"type": "opcua", "name": "bench", "configuration": "opcua.json"}],
    }
    index = source.index
    opcua = {
        "server": {
            "url": f"opc.tcp://127.0.0.1:{source.port}",
            "timeoutInMillis": 5000,
            "scanPeriodInMillis": 3_600_000,
            "enableSubscriptions": True,
            "subCheckPeriodInMillis": 100,
            "subDataMaxBatchSize": 1000,
            "subDataMinBatchCreationTimeMs": 200,
            "subscriptionProcessBatchSize": 2000,
            "showMap": False,
            "security": "None",
            "identity": {"type": "anonymous"},
        },
        "mapping": [
            {
                "deviceNodeSource": "path",
                "deviceNodePattern": "Root\\.Objects",
                "deviceInfo": {
                    "deviceNameExpression": "bench",
                    "deviceNameExpressionSource": "constant",
                    "deviceProfileExpression": "default",
                    "deviceProfileExpressionSource": "constant",
                },
                "attributes": [],
                "timeseries": [
                    {"key": f"t{n}", "type": "identifier", "value": f"${{ns={index};s=t{n}}}"}
                    for n in range(source.tags)
                ],
                "rpc_methods": [],
                "attributes_updates": [],
            }
        ],
    }
    for file, content in (("tb_gateway.json", gateway), ("opcua.json", opcua), ("logs.json", _LOGS)):
        (folder / file).write_text(json.dumps(content), "utf-8")


_NAMES = ("service", "connector", "converter", "tb_connection", "storage", "extension", "database", "statistics")
_LOGS = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"LogFormatter": {"format": "%(asctime)s %(levelname)s %(message)s"}},
    "handlers": {"errors": {"class": "logging.StreamHandler", "formatter": "LogFormatter", "level": "WARNING"}},
    "loggers": {name: {"handlers": ["errors"], "level": "WARNING", "propagate": False} for name in _NAMES},
    "root": {"level": "WARNING", "handlers": ["errors"]},
}
