"""Token requests that 50 tasks and 50 threads need at once, and once more after a revocation.

The baseline is a naive client in the same run against the same simulated server: each task and each thread fetches
a token for itself when it has none, and after a 401.
"""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
from report import Row, arguments, publish

from connectors.erp.oauth import ClientCredentials, Grant

TASKS = THREADS = 50
ROOT = Path(__file__).parents[1]
OK = 200
REFUSED = 401


class Plant:
    """The simulated ERP: where it is, how often it was asked for tokens."""

    def __init__(self, ready: dict[str, str]) -> None:
        self.url, self.ready = ready["base_url"], ready
        self._control = httpx2.Client(base_url=ready["control_url"], timeout=30, trust_env=False)

    def asked(self) -> int:
        """Count token requests so far."""
        return int(self._control.get("/state").json()["token_requests"])

    def revoke(self) -> None:
        """End every token."""
        self._control.post("/revoke", json={})

    def slow(self) -> None:
        """Take a tenth of a second for a token, as a server far away does."""
        self._control.post("/tokens", json={"delay": 0.1})

    def close(self) -> None:
        """Leave."""
        self._control.close()


class Naive:
    """What is written first: look, fetch when there is none, send; after a 401 fetch and send again."""

    def __init__(self, plant: Plant) -> None:
        self._url = plant.ready["token_url"]
        self._form = {
            "grant_type": "client_credentials",
            "client_id": plant.ready["client_id"],
            "client_secret": plant.ready["client_secret"],
            "audience": "erp",
        }
        self._token = ""

    def here(self, client: httpx2.Client) -> int:
        """Ask in a thread."""
        for last in (False, True):
            token = self._token
            if not token:
                token = self._token = client.post(self._url, data=self._form).json()["access_token"]
            status = client.get("/api/orders", headers={"authorization": f"Bearer {token}"}).status_code
            if last or status != REFUSED:
                return status
            self._token = ""
        return REFUSED

    async def task(self, client: httpx2.AsyncClient) -> int:
        """Ask in a task."""
        for last in (False, True):
            token = self._token
            if not token:
                token = self._token = (await client.post(self._url, data=self._form)).json()["access_token"]
            status = (await client.get("/api/orders", headers={"authorization": f"Bearer {token}"})).status_code
            if last or status != REFUSED:
                return status
            self._token = ""
        return REFUSED


async def rush(plant: Plant, auth: ClientCredentials | None) -> tuple[int, int]:
    """Let all need a token at once, then revoke and again; gives the token requests of each."""
    naive = Naive(plant)
    limits = httpx2.Limits(max_connections=TASKS + THREADS)
    async with httpx2.AsyncClient(base_url=plant.url, auth=auth, limits=limits, trust_env=False, timeout=60) as tasks:
        with httpx2.Client(base_url=plant.url, auth=auth, limits=limits, trust_env=False, timeout=60) as threads:
            one: Callable[[], int] = lambda: naive.here(threads)  # noqa: E731  two short ones side by side
            if auth is not None:
                one = lambda: threads.get("/api/orders").status_code  # noqa: E731

            async def task() -> int:
                return await naive.task(tasks) if auth is None else (await tasks.get("/api/orders")).status_code

            first = await _together(plant, task, one)
            plant.revoke()
            return first, await _together(plant, task, one)


async def _together(plant: Plant, task: Callable[[], "asyncio.Future[int]"], one: Callable[[], int]) -> int:
    before = plant.asked()
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(THREADS) as crew:
        waiting = [loop.run_in_executor(crew, one) for _ in range(THREADS)]
        got: Sequence[int] = await asyncio.gather(*waiting, *(task() for _ in range(TASKS)))
    if set(got) != {OK}:
        raise RuntimeError(f"answers: {sorted(set(got))}")
    return plant.asked() - before


async def header_cost(auth: ClientCredentials, seconds: float) -> float:
    """Microseconds to get the token that is there."""
    await auth.token()
    count, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        for _ in range(1000):
            await auth.token()
        count += 1000
    return (time.perf_counter() - began) / count * 1e6


def measure(plant: Plant, *, quick: bool) -> list[Row]:
    """Measure ours and the naive client."""
    plant.slow()
    grant = Grant(plant.ready["token_url"], plant.ready["client_id"], plant.ready["client_secret"], audience="erp")
    auth = ClientCredentials(lambda: httpx2.AsyncClient(trust_env=False), grant)
    ours, base = asyncio.run(rush(plant, auth)), asyncio.run(rush(plant, None))
    cost = asyncio.run(header_cost(auth, 0.3 if quick else 2.0))
    note = "baseline: a naive client, each caller fetches for itself"
    names = (f"token requests for {TASKS} tasks and {THREADS} threads at once", "token requests after a revocation")
    rows = [
        Row(name, own, other, "requests", other / own, "1", ok=own == 1, note=note)
        for name, own, other in zip(names, ours, base, strict=True)
    ]
    return [*rows, Row("a token that is there", cost, None, "us", None, "", ok=None)]


def main() -> int:
    """Measure and print."""
    options = arguments("oauth")
    with subprocess.Popen(
        [sys.executable, "-m", "simulators.erp"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            said = process.stdout.readline() if process.stdout else ""
            if not said.startswith("READY "):
                sys.stderr.write("the simulated ERP did not start\n")
                return 1
            plant = Plant(json.loads(said.removeprefix("READY ")))
            rows = measure(plant, quick=options.quick)
            plant.close()
        finally:
            process.terminate()
    publish("oauth", rows, options.output)
    return 0 if all(row.ok is not False for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
