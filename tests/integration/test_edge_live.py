"""Health, numbers, the live stream and the operator's pages over HTTP."""

import asyncio
import base64
import json
import re
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import numpy as np
import pytest

from gateway.core.batch import Batch, SourceGap, TagState
from gateway.core.errors import Misconfigured, Unreachable
from gateway.core.reading import LogLine, Quality, Reading, ThermalFrame, Waveform
from gateway.core.report import Extraction, QualityReport, Slot
from gateway.flow.live import Live
from gateway.web.app import build
from gateway.web.server import WebServer
from tests.integration.edge_rig import Edge, diagnosis, episode, in_review, serving, work_order

EVIL = '<script>alert("x")</script>\u2028{{ 7 * 191 }}'


def batch(asset: str = "M-07", *, age: float = 0.0, rate: float = 12_800) -> Batch:
    at = datetime.now(UTC) - timedelta(seconds=age)
    seconds = np.arange(int(rate)) / rate
    strikes = (np.sin(2 * np.pi * 3000 * seconds) * (seconds % (1 / 100) < 0.001)).astype("<f4")
    pixels = np.full((12, 16), 25.0, "<f4")
    pixels[5, 7] = 71.5
    return Batch(
        "cell-a",
        1,
        at,
        readings=(
            Reading(asset, "speed", 1797.0, "rpm", Quality.GOOD, at, at, at),
            Reading(asset, "temperature", None, "degC", Quality.BAD, at, at, at, "BadSensorFailure"),
        ),
        waveforms=(Waveform(asset, "vibration", strikes.tobytes(), rate, "g", Quality.GOOD, at, at, at),),
        frames=(ThermalFrame(asset, "thermal", pixels.tobytes(), 12, 16, Quality.GOOD, at, at, at),),
        lines=(LogLine(asset, EVIL, 4, at, at),),
    )


async def fill(edge: Edge) -> None:
    """Put a trouble, its order, a report and live values in."""
    order = work_order("ep")
    words = msgspec.structs.replace(work_order("r2"), title=EVIL, description=EVIL)

    def step(tx: Any) -> None:
        tx.put_order(order, "main", datetime.now(UTC))
        tx.put_episode(episode())
        tx.put_diagnosis(diagnosis())
        tx.take_report(QualityReport(id="r2", text=EVIL, reported_at=datetime.now(UTC)), datetime.now(UTC))
        read = Extraction(
            id="r2", intent="defect_report", fine_intent=None, asset="M-07", slots=(Slot("symptom", 8, 13, "alert"),)
        )
        tx.put_order(words, "main", datetime.now(UTC))
        tx.read_report(msgspec.structs.replace(read, route="order", masked=EVIL), words.key)

    await edge.gateway.store.write(step)
    await edge.gateway.store.write(in_review("r1", EVIL))
    edge.gateway.live.note(batch())
    edge.gateway.live.note_diagnosis(diagnosis())


async def events(client: httpx2.AsyncClient, path: str) -> AsyncIterator[tuple[str, str]]:
    """Read the events of a stream: name and data."""
    async with client.stream("GET", path) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        name = ""
        async for line in answer.aiter_lines():
            if line.startswith("event: "):
                name = line[7:]
            elif line.startswith("data: ") or line == "data:":
                yield name, line[6:]


async def test_ready_names_bad_nodes_and_stays_ready(tmp_path: Path) -> None:
    async with serving(tmp_path) as edge:
        now = datetime.now(UTC)
        edge.sources[:] = [
            TagState("cell-a", "M-07.speed", healthy=True, last_at=now),
            TagState("cell-a", "M-07.thermal", healthy=False, detail="BadNodeIdUnknown"),
            TagState("oven", "unit 3", healthy=True, last_at=now - timedelta(hours=1)),
            TagState("syslog", "udp", healthy=True, last_at=now),
        ]
        answer = await edge.client.get("/health/ready")
        seen = answer.json()
        assert answer.status_code == 200
        assert seen["status"] == "warn"
        assert seen["degraded"] == ["cell-a", "oven"]
        assert seen["sources"]["cell-a"]["bad"] == {"M-07.thermal": "BadNodeIdUnknown"}
        assert seen["sources"]["oven"]["age_s"] > 3500
        assert seen["sources"]["syslog"]["status"] == "pass"
        assert (await edge.client.get("/health/live")).json()["status"] == "pass"
        assert (await edge.client.get("/health/startup")).status_code == 200


@pytest.mark.pain(12)
async def test_a_source_that_says_it_is_well_is_not_believed_when_its_data_are_old(tmp_path: Path) -> None:
    async with serving(tmp_path) as edge:
        now = datetime.now(UTC)
        edge.sources[:] = [
            TagState("plc", "M-07/speed", healthy=True, last_at=now - timedelta(seconds=40), stale_after=10),
            TagState("plc", "M-07/load", healthy=True, last_at=now, stale_after=10),
        ]
        part = (await edge.client.get("/health/ready")).json()["sources"]["plc"]
        assert (part["status"], part["healthy"]) == ("warn", 1)
        assert list(part["bad"]) == ["M-07/speed"]
        assert "stale after 10 s" in part["bad"]["M-07/speed"]


@pytest.mark.pain(15)
async def test_the_metrics_tell_the_age_of_the_data_and_the_offset_of_the_clock(tmp_path: Path) -> None:
    async with serving(tmp_path) as edge:
        now = datetime.now(UTC)
        old = now - timedelta(seconds=9)
        edge.sources[:] = [
            TagState("cell", "M-07/speed", healthy=True, last_at=old, found={"stuck": 2}),
            TagState("cell", "M-07/load", healthy=True, last_at=old, found={"stuck": 1, "spike": 4}),
        ]
        late = Reading("M-07", "speed", 1.0, "rpm", Quality.GOOD, now + timedelta(hours=2), None, now)
        for number in range(5):
            edge.gateway.live.note(Batch("cell", number, now, (late,)))
        text = (await edge.client.get("/metrics")).text
        assert 'andon_tags{source="cell",state="healthy"} 2.0' in text
        assert 'andon_rule_findings{rule="stuck",source="cell"} 3.0' in text
        age = float(text.split('andon_data_age_seconds{source="cell"} ')[1].split()[0])
        assert 9 <= age < 30
        assert 'andon_clock_offset_seconds{source="cell"} -7200.0' in text


@pytest.mark.pain(4)
async def test_a_gap_is_on_the_page_of_its_asset_and_in_the_answer_about_the_line(tmp_path: Path) -> None:
    async with serving(tmp_path) as edge:
        await fill(edge)
        since = datetime.now(UTC) - timedelta(minutes=9)
        until = since + timedelta(minutes=3)
        gaps = (
            SourceGap((("M-07", "speed"),), since, until, "server restarted"),
            SourceGap((("M-07", "speed"),), since, until, "connection lost", "history"),
        )
        edge.gateway.live.note(msgspec.structs.replace(batch(), gaps=gaps))
        line = (await edge.client.get("/api/v1/line")).json()
        [asset] = [asset for asset in line["assets"] if asset["asset"] == "M-07"]
        assert [(gap["tags"], gap["cause"], gap["filled"]) for gap in asset["gaps"]] == [
            (["speed"], "server restarted", ""),
            (["speed"], "connection lost", "history"),
        ]
        page = (await edge.client.get("/ui/equipment/M-07")).text
        assert re.search(rf"\d\d:{since:%M:%S} – [-0-9]* ?\d\d:{until:%M:%S}", page), "to the second"
        assert "server restarted" in page and "not filled" in page and "filled from history" in page


class Gone:
    """A store that is away."""

    async def read(self, _look: Any) -> Any:
        raise Unreachable("the database is away")

    async def write(self, _step: Any) -> Any:
        raise Unreachable("the database is away")

    async def close(self) -> None:
        pass


async def test_ready_is_503_when_the_store_is_away_and_live_stays_200(tmp_path: Path) -> None:
    async with serving(tmp_path, store=Gone()) as edge:
        answer = await edge.client.get("/health/ready")
        assert (answer.status_code, answer.json()["status"]) == (503, "fail")
        assert (await edge.client.get("/health/live")).status_code == 200
        page = await edge.client.get("/ui/line")
        assert (page.status_code, page.headers["content-type"]) == (503, "application/problem+json")


async def test_the_numbers_are_there_and_name_nobody(tmp_path: Path) -> None:
    async with serving(tmp_path) as edge:
        await edge.client.post("/api/v1/reports", json={"id": "zhang-wei", "text": "张伟 says it is noisy"})
        await edge.client.get("/api/v1/reports/zhang-wei")
        text = (await edge.client.get("/metrics")).text
        assert 'andon_reports_total{channel="api"} 1.0' in text
        assert 'andon_stored{kind="reports"} 1.0' in text
        assert 'route="/api/v1/reports/{name}"' in text
        assert "zhang" not in text and "张伟" not in text


async def test_the_line_says_quality_and_age(tmp_path: Path) -> None:
    async with serving(tmp_path) as edge:
        edge.gateway.live.note(batch(age=5))
        edge.gateway.live.note(batch("X-99"))
        line = (await edge.client.get("/api/v1/line")).json()
        assert [asset["asset"] for asset in line["assets"]] == ["M-07", "M-01", "X-99"]
        speed, temperature = line["assets"][0]["tags"]
        assert (speed["value"], speed["unit"], speed["quality"]) == (1797.0, "rpm", "good")
        assert 5 <= speed["age_s"] < 8
        assert (temperature["value"], temperature["quality"]) == (None, "bad")
        assert temperature["why"] == "BadSensorFailure"


def test_live_is_bounded_and_keeps_the_newest() -> None:
    live = Live(tags=3, assets=2)
    live.note(batch())
    live.note(batch(age=60))
    assert live.of("M-07").waveform is not None
    assert (datetime.now(UTC) - live.of("M-07").readings[0].at).total_seconds() < 30
    for number in range(5):
        live.note(batch(f"A-{number}"))
    assert len(live.latest()) == 3
    assert live.left_out > 0


async def test_a_screen_gets_the_line_its_drawings_and_changes(tmp_path: Path) -> None:
    async with serving(tmp_path) as edge:
        await fill(edge)
        found: dict[str, str] = {}
        async with asyncio.timeout(15):
            async for name, data in events(edge.client, "/ui/stream?asset_name=M-07"):
                found[name] = data
                if {"line", "frame", "changed"} <= found.keys():
                    break
        frame = json.loads(found["frame"])
        wave = np.frombuffer(base64.b64decode(frame["wave"]["samples"]), "<i2") * frame["wave"]["scale"]
        assert len(wave) == 2000 and 0.9 < wave.max() <= 1.0
        assert frame["thermal"]["hot"] == [7, 5, 71.5]
        assert {mark["name"] for mark in frame["spectrum"]["marks"]} == {"FTF", "BSF", "BPFO", "BPFI"}
        levels = np.frombuffer(base64.b64decode(frame["spectrum"]["levels"]), "u1")
        peak = levels[5:].argmax() + 5
        assert abs(peak * frame["spectrum"]["step_hz"] % 100) < 3 or abs(peak * frame["spectrum"]["step_hz"] % 100) > 97


async def test_stopping_ends_every_stream_within_two_seconds(tmp_path: Path) -> None:
    async with serving(tmp_path) as edge:

        async def watch() -> list[str]:
            async with httpx2.AsyncClient(base_url=edge.url, timeout=20) as client:
                return [name async for name, _ in events(client, "/ui/stream")]

        screens = [asyncio.create_task(watch()) for _ in range(20)]
        for _ in range(500):
            if edge.gateway.telemetry.registry.get_sample_value("andon_streams") == 20:
                break
            await asyncio.sleep(0.02)
        began = time.monotonic()
        edge.server.stop()
        async with asyncio.timeout(10):
            seen = await asyncio.gather(*screens)
        assert time.monotonic() - began < 2
        assert all(names[-1] == "bye" for names in seen)
    assert time.monotonic() - began < 2.5


async def test_too_many_screens_are_told_to_come_later(tmp_path: Path) -> None:
    async with serving(tmp_path, max_streams=1) as edge:
        async with asyncio.timeout(10):
            async for _ in events(edge.client, "/ui/stream"):
                refused = await edge.client.get("/ui/stream")
                assert refused.status_code == 503
                break


async def test_a_taken_port_is_a_misconfiguration(tmp_path: Path) -> None:
    async with serving(tmp_path) as edge:
        port = int(edge.url.rpartition(":")[2])
        taken = msgspec.structs.replace(edge.gateway.api, port=port)
        other = type(edge.gateway)(
            plant=edge.gateway.plant,
            store=edge.gateway.store,
            live=Live(),
            api=taken,
            now=edge.gateway.now,
            confirm=edge.gateway.confirm,
        )
        with pytest.raises(Misconfigured, match=str(port)):
            await WebServer(build(other), other).serve()


async def test_a_bug_in_a_job_of_the_pages_ends_the_server(tmp_path: Path) -> None:
    async with serving(tmp_path) as edge:
        edge.sources.append("not a tag state")  # type: ignore[arg-type]  # the bug
        async with asyncio.timeout(10):
            async for _ in events(edge.client, "/ui/stream"):
                pass
        with pytest.raises(RuntimeError, match="bug"):
            await edge.job
        edge.forgive = True


PAGES = ("/ui/line", "/ui/equipment/M-07", "/ui/orders", "/ui/review", "/q/M-07", "/schema")


async def test_pages_escape_what_people_and_machines_say(tmp_path: Path) -> None:
    async with serving(tmp_path) as edge:
        await fill(edge)
        order = work_order("r2").key
        for path in (*PAGES, f"/ui/orders/{order}", "/ui/part/log?of=M-07"):
            page = await edge.client.get(path, headers={"Accept-Language": "zh-CN,en;q=0.5"})
            assert page.status_code == 200, path
            assert "<script>alert" not in page.text, path
            assert "1337" not in page.text, path
            assert " style=" not in page.text and "onclick" not in page.text, path
            assert "'unsafe-inline'" not in page.headers["content-security-policy"], path
        said = (await edge.client.get(f"/ui/orders/{order}")).text
        assert '<span class="slot" title="symptom">alert<sub>symptom</sub></span>' in said


async def test_pages_speak_chinese_and_english_and_keep_the_choice(tmp_path: Path) -> None:
    async with serving(tmp_path) as edge:
        await fill(edge)
        english = (await edge.client.get("/ui/line")).text
        chinese = (await edge.client.get("/ui/line", headers={"Accept-Language": "zh-CN"})).text
        assert "bearing outer race defect" in english and 'lang="en"' in english
        assert "轴承外圈故障" in chinese and "产线" in chinese
        kept = await edge.client.post("/ui/settings", data={"lang": "zh", "theme": "dark", "back": "/ui/orders"})
        assert (kept.status_code, kept.headers["location"]) == (303, "/ui/orders")
        assert 'data-theme="dark"' in (await edge.client.get("/ui/orders")).text
        for back in ("//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)"):
            led = await edge.client.post("/ui/settings", data={"theme": "light", "back": back})
            assert led.headers["location"] == "/ui/line"


async def test_what_is_not_there_is_a_404_problem(tmp_path: Path) -> None:
    async with serving(tmp_path) as edge:
        for path in (
            "/ui/equipment/none",
            "/ui/orders/none",
            "/q/none",
            "/static/x/andon.css",
            "/ui/part/side?of=none",
        ):
            answer = await edge.client.get(path)
            assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json"), path
        assert (await edge.client.get("/ui/part/secrets")).status_code in {400, 404}
        home = await edge.client.get("/")
        assert home.headers["location"] == "/ui/line"


async def test_static_files_are_kept_for_ever_and_the_documentation_is_offline(tmp_path: Path) -> None:
    async with serving(tmp_path) as edge:
        page = (await edge.client.get("/ui/line")).text
        for name in ("andon.css", "andon.js", "andon.svg"):
            address = next(part for part in page.split('"') if part.endswith(name))
            answer = await edge.client.get(address)
            assert answer.status_code == 200
            assert "immutable" in answer.headers["cache-control"]
            for part in re.findall(r'"[.]/(\w+[.]js)"', answer.text):
                beside = await edge.client.get(address.replace(name, part))
                assert (beside.status_code, beside.headers["content-type"]) == (200, answer.headers["content-type"])
        schema = (await edge.client.get("/schema/openapi.json")).json()
        post = schema["paths"]["/api/v1/reports"]["post"]
        assert post["responses"]["507"]["content"] == {
            "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
        }
        assert post["requestBody"]["content"].keys() == {"application/json", "multipart/form-data"}
        names = set(schema["components"]["schemas"])
        text = json.dumps(schema)
        wanted = {part.partition('"')[0] for part in text.split("#/components/schemas/")[1:]}
        assert wanted <= names
        assert "cdn" not in (await edge.client.get("/schema")).text
