"""Handing in values over HTTP: on real sockets, into a real store."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from connectors.line.http import Settings
from gateway.core.ports import Tx
from gateway.flow.ingest import ingest
from gateway.runtime.equipment import Equipment
from tests.integration.edge_rig import Edge, bearer, serving
from tests.line_files import jpeg, npy, tiff, wav
from tests.line_rigs import settings_of, until

TAGS = [
    {"asset": "M-07", "tag": "vibration", "unit": "g", "encoding": "float32"},
    {"asset": "M-07", "tag": "thermal", "kind": "frame", "unit": "degC", "encoding": "centikelvin"},
    {"asset": "M-07", "tag": "speed", "kind": "value", "unit": "rpm"},
    {"asset": "M-07", "tag": "log", "kind": "line"},
]
WAVE, FRAME, LOG = "/api/v1/line/M-07/vibration", "/api/v1/line/M-07/thermal", "/api/v1/line/M-07/log"
SAMPLES = np.linspace(-1, 1, 100, dtype="<f4").tobytes()
RAW = {"Content-Type": "application/octet-stream"}


@asynccontextmanager
async def taking(folder: Path, **more: Any) -> AsyncIterator[Edge]:
    """Serve an edge with one open door."""
    async with serving(folder, **({"anonymous": ("read", "line:push")} | more.pop("api", {}))) as edge:
        door = settings_of(Settings, name="daq", tag=TAGS, **more).open()
        edge.gateway.equipment = Equipment({"daq": door})
        job = asyncio.create_task(ingest(door, edge.gateway.store, lambda _: None))
        await until(lambda: door.tags()[0].healthy)
        try:
            yield edge
        finally:
            job.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await job


async def stored(edge: Edge) -> tuple[int, int, int]:
    """Count the waveforms, frames and lines that are on disk."""

    def look(tx: Tx) -> tuple[int, int, int]:
        batches = [batch for _, batch in tx.batches_after(0)]
        return (
            sum(len(batch.waveforms) for batch in batches),
            sum(len(batch.frames) for batch in batches),
            sum(len(batch.lines) for batch in batches),
        )

    return await edge.gateway.store.read(look)


async def test_every_form_is_taken_and_is_on_disk_when_it_is_answered(tmp_path: Path) -> None:
    async with taking(tmp_path) as edge:
        given: list[tuple[str, str, bytes, str]] = [
            (WAVE + "?rate_hz=12800&t0=2026-03-18T06:30:00Z", "application/octet-stream", SAMPLES, "PUT"),
            (WAVE, "audio/wav", wav(bytes(64)), "POST"),
            (WAVE + "?rate_hz=100", "application/x-npy", npy(np.arange(5.0)), "POST"),
            (WAVE + "?rate_hz=100", "text/csv", b"1\n2\n3\n", "POST"),
            (FRAME, "image/tiff", tiff(np.full((2, 2), 300.0)), "PUT"),
            (LOG, "text/plain", b"2026-03-18T06:30:00Z ERROR hot\nplain\n", "POST"),
        ]
        for path, media, content, method in given:
            answer = await edge.client.request(method, path, content=content, headers={"Content-Type": media})
            assert answer.status_code == 202, (path, answer.text)
        assert await stored(edge) == (4, 1, 2)
        told = RAW | {"X-Rate-Hz": "50", "X-T0": "2026-03-18T06:30:00+08:00"}
        assert (await edge.client.put(WAVE, content=SAMPLES, headers=told)).status_code == 202


async def test_the_same_key_is_one_value_also_after_a_restart(tmp_path: Path) -> None:
    keyed = RAW | {"Idempotency-Key": "shot-0000001"}
    async with taking(tmp_path) as edge:
        first = await edge.client.post(WAVE + "?rate_hz=1", content=SAMPLES, headers=keyed)
        assert first.status_code == 202 and "idempotent-replayed" not in first.headers
    async with taking(tmp_path) as edge:
        again = await edge.client.post(WAVE + "?rate_hz=1", content=SAMPLES, headers=keyed)
        assert again.status_code == 202 and again.headers["idempotent-replayed"] == "true"
        other = await edge.client.post(WAVE + "?rate_hz=1", content=SAMPLES[:40], headers=keyed)
        assert other.status_code == 422 and other.json()["type"] == "urn:andon:problem:idempotency-key-reused"
        assert (await stored(edge))[0] == 1


async def test_what_is_wrong_is_said_in_the_house_form(tmp_path: Path) -> None:
    async with taking(tmp_path, largest="1kB") as edge:
        cases: list[tuple[int, str, dict[str, str], bytes]] = [
            (404, "/api/v1/line/M-07/undeclared", RAW, SAMPLES),
            (404, "/api/v1/line/M-99/vibration", RAW, SAMPLES),
            (415, WAVE, {"Content-Type": "application/zip"}, SAMPLES),
            (415, LOG, RAW, b"words"),
            (413, WAVE + "?rate_hz=1", RAW, bytes(2000)),
            (422, FRAME, {"Content-Type": "image/png"}, jpeg()),
            (422, WAVE, RAW, SAMPLES),
            (422, WAVE + "?rate_hz=1&unit=mm", RAW, SAMPLES),
            (400, WAVE + "?rate_hz=fast", RAW, SAMPLES),
            (400, WAVE + "?rate=1", RAW, SAMPLES),
            (400, WAVE, RAW, b""),
            (400, WAVE, RAW | {"Idempotency-Key": "short"}, SAMPLES),
        ]
        for status, path, headers, content in cases:
            answer = await edge.client.post(path, content=content, headers=headers)
            assert answer.status_code == status, (path, answer.text)
            assert answer.headers["content-type"] == "application/problem+json"
        assert await stored(edge) == (0, 0, 0)


async def test_nobody_pushes_without_the_scope(tmp_path: Path) -> None:
    async with taking(tmp_path, api={"anonymous": ("read",)}) as edge:
        assert (await edge.client.post(WAVE, content=SAMPLES, headers=RAW)).status_code == 401
        assert (await edge.client.post(WAVE, content=SAMPLES, headers=RAW | bearer("read"))).status_code == 403
        allowed = RAW | bearer("line:push")
        assert (await edge.client.post(WAVE + "?rate_hz=1", content=SAMPLES, headers=allowed)).status_code == 202


@pytest.mark.pain(7)
async def test_a_full_door_says_when_to_come_again(tmp_path: Path) -> None:
    async with taking(tmp_path, queue=1) as edge:
        door = edge.gateway.equipment.door("M-07", "vibration")
        with door.admit():
            answer = await edge.client.post(WAVE + "?rate_hz=1", content=SAMPLES, headers=RAW)
            assert answer.status_code == 503 and int(answer.headers["retry-after"]) >= 1
        assert (await edge.client.post(WAVE + "?rate_hz=1", content=SAMPLES, headers=RAW)).status_code == 202
