"""A whole gateway killed with -9 at random, again and again, under load and an ailing ERP; then it is counted."""

import asyncio
import json
import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx2

from crashes import naive
from crashes.erp import ROOT, STRATEGIES, Erp, simulated
from gateway.core.ports import Tx
from gateway.runtime.settings import load

START_S, DRAIN_S, END_S = 60.0, 180.0, 20.0
LIFE_S = (0.05, 1.5)
"""Between being up and being killed."""
EVERY_S = 0.05
_MANY = 100_000
_ACCEPTED = 202
CONFIG = """
[site]
id = "SZ1"
[store]
path = "{folder}/store"
[api]
port = {port}
anonymous = ["read", "reports:write"]
[diagnosis]
models = "none"
[language]
engine = "lite"
[erp.main]
protocol = "rest"
base_url = "{base_url}"
token_url = "{token_url}"
client_id = "{client_id}"
client_secret = {{ env = "ERP_SECRET" }}
audience = "erp"
idempotency = "{strategy}"
timeout = "1s"
settle = "1s"
{more}
"""
_KINDS: Sequence[dict[str, object]] = (
    {"kind": "lost_reply", "probability": 0.15},
    {"kind": "error_after", "probability": 0.1},
    {"kind": "error_before", "probability": 0.1},
    {"kind": "throttle", "probability": 0.1, "retry_after": 1},
    {"kind": "cut", "probability": 0.05},
)
FAULTS = [{**kind, "method": method, "path": "/api/orders"} for method in ("POST", "PUT") for kind in _KINDS]
"""Of requests that make an order; a question is asked again until it is answered, which only takes time."""


@dataclass(frozen=True, slots=True)
class Count:
    """What was counted in the ERP's own database against what was accepted."""

    kills: int
    accepted: int
    orders: int
    lost: int
    duplicates: int
    parked: int = 0
    why: str = ""


def gateway(strategy: str, kills: int, seed: int, folder: Path) -> Count:
    """Kill a gateway so often; `lost` counts accepted reports without their order in the ERP."""
    profile, more = STRATEGIES[strategy]
    with simulated(profile, folder, "--seed", str(seed)) as erp:
        port = _free_port()
        lines = "\n".join(_toml(name, value) for name, value in more.items())
        text = CONFIG.format(folder=folder, port=port, strategy=strategy, more=lines, **erp.ready)
        config = folder / "andon.toml"
        config.write_text(text)
        erp.faults(FAULTS, seed)
        command = [sys.executable, "-m", "gateway.cli.main", "up", "-c", str(config)]
        env = {"ERP_SECRET": erp.ready["client_secret"]}
        told: set[str] = set()
        with _reporting(f"http://127.0.0.1:{port}", told):
            _kill_often(command, env, folder, kills, random.Random(f"{seed}-{strategy}"))  # noqa: S311
            last = _up(command, env, folder)
        try:
            return asyncio.run(_counted(config, frozenset(told), erp, kills, _running(last)))
        finally:
            last.terminate()
            last.wait(END_S)


def _toml(name: str, value: object) -> str:
    if not isinstance(value, dict):
        return f"{name} = {json.dumps(value)}"
    return "\n".join((f"[erp.main.{name}]", *(_toml(*one) for one in value.items())))


def without_safeguards(kills: int, seed: int, folder: Path) -> Count:
    """The same for the integration that is written first, on the same ERP with the same faults."""
    with simulated("lookup", folder, "--seed", str(seed)) as erp:
        erp.faults(FAULTS, seed)
        command = [sys.executable, str(Path(naive.__file__)), str(folder), json.dumps(dict(erp.ready)), f"N{seed}"]
        _kill_often(command, {}, folder, kills, random.Random(f"{seed}-naive"))  # noqa: S311
        erp.faults((), seed)
        last = _up(command, {}, folder)
        time.sleep(2)
        last.kill()
        last.wait(END_S)
        taken, there = naive.accepted(folder), erp.commits()
    # The newest may still have been on its way.
    lost = len(taken - set(there)) - 1
    return Count(kills, len(taken), sum(there.values()), max(0, lost), sum(count - 1 for count in there.values()))


def _kill_often(command: Sequence[str], env: dict[str, str], folder: Path, kills: int, chance: random.Random) -> None:
    for _ in range(kills):
        child = _up(command, env, folder)
        time.sleep(chance.uniform(*LIFE_S))
        child.kill()
        child.wait(END_S)


def _up(command: Sequence[str], env: dict[str, str], folder: Path) -> "subprocess.Popen[str]":
    """Start a process and wait until it says UP. Raises `RuntimeError` when it does not."""
    given = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1", **env}
    with (folder / "log").open("a") as log:
        child = subprocess.Popen(command, cwd=ROOT, env=given, stdout=subprocess.PIPE, stderr=log, text=True)
    watch = threading.Timer(START_S, child.kill)
    watch.start()
    try:
        for line in child.stdout or ():
            if line.startswith("UP"):
                return child
    finally:
        watch.cancel()
    child.wait(END_S)
    raise RuntimeError(f"it did not start: {(folder / 'log').read_text()[-2000:]}")


def _running(child: "subprocess.Popen[str]") -> Callable[[], bool]:
    return lambda: child.poll() is None


@contextmanager
def _reporting(url: str, told: set[str]) -> Iterator[None]:
    """Report a new trouble all the time, and remember which reports were accepted."""
    over = threading.Event()

    def report() -> None:
        number = 0
        with httpx2.Client(timeout=5, trust_env=False) as http:
            while not over.wait(EVERY_S):
                number += 1
                text = f"lot L{10_000 + number} burrs on 3 parts"
                body = {"id": f"k{number}", "text": text, "reported_at": datetime.now(UTC).isoformat()}
                try:
                    if http.post(f"{url}/api/v1/reports", json=body).status_code == _ACCEPTED:
                        told.add(f"k{number}")
                except httpx2.HTTPError:
                    continue

    thread = threading.Thread(target=report, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(END_S)


async def _counted(config: Path, told: frozenset[str], erp: Erp, kills: int, alive: Callable[[], bool]) -> Count:
    """Wait until everything is delivered, then hold what was accepted against the ERP's database."""
    store = load(str(config)).store.open()
    try:
        why, until = "", time.monotonic() + DRAIN_S
        while left := await store.read(lambda tx: _left(tx, told)):
            if time.monotonic() > until or not alive():
                why = f"not delivered: {sorted(left)[:5]}"
                break
            await asyncio.sleep(0.2)
        keys = await store.read(lambda tx: {name: _key(tx, name) for name in told})
        parked = await store.read(lambda tx: len(tx.orders(state="PARKED", limit=_MANY)))
        owed = await store.read(lambda tx: {one.order.key for one in tx.orders(limit=_MANY)})
    finally:
        await store.close()
    there = erp.commits()
    lost = sum(key is None or key not in there for key in keys.values()) + sum(key not in there for key in owed)
    invented = set(there) - owed
    why = why or (f"not ours: {sorted(invented)[:5]}" if invented else "")
    return Count(kills, len(told), sum(there.values()), lost, sum(n - 1 for n in there.values()), parked, why)


def _left(tx: Tx, told: frozenset[str]) -> set[str]:
    """Name what is not at its end: reports that nobody read, orders on their way."""
    unread = {stored.report.id for stored in tx.reports(unread=True, limit=_MANY)} & told
    return unread | {one.order.key for one in tx.orders(limit=_MANY) if str(one.delivery.state) not in _ENDS}


_ENDS = {"DELIVERED", "PARKED"}


def _key(tx: Tx, name: str) -> str | None:
    stored = tx.report(name)
    return None if stored is None else stored.order_key


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
