"""What a newcomer meets on the first day: the future, other names, silent logs, an ERP that is away, plain words."""

import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from connectors.line.syslog import Settings as SyslogSettings
from gateway.core.batch import TagState
from gateway.core.errors import Unreachable
from gateway.core.secret import SecretRef
from gateway.runtime.line import Line
from gateway.runtime.settings import parse
from gateway.runtime.wiring import wire
from gateway.store.settings import Settings as StoreSettings
from tests.integration.edge_rig import bearer, in_review, serving, work_order
from tests.integration.test_edge_auth import NEW_SECRET, signed

REPORTS = "/api/v1/reports"
HOOK = "/api/v1/webhooks/reports"


def ahead(**span: float) -> str:
    return (datetime.now(UTC) + timedelta(**span)).isoformat()


def faulty(answer: Any) -> set[str]:
    assert answer.headers["content-type"] == "application/problem+json"
    return {fault["field"] for fault in answer.json()["errors"]}


async def test_a_report_from_the_future_is_refused_and_names_its_field(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEW_SECRET", NEW_SECRET)
    last = datetime.max.replace(tzinfo=timezone(timedelta(hours=-12))).isoformat()
    async with serving(tmp_path, report_secrets=(SecretRef(env="NEW_SECRET"),)) as edge:
        for moment in (ahead(hours=1, minutes=1), ahead(days=400), last):
            given = {"id": "f1", "text": "noisy", "reported_at": moment}
            body = json.dumps(given).encode()
            answers = [
                await edge.client.post(REPORTS, json=given),
                await edge.client.post(REPORTS, files={name: (None, value) for name, value in given.items()}),
                await edge.client.post(HOOK, content=body, headers=signed(body)),
            ]
            for answer in answers:
                assert (answer.status_code, faulty(answer)) == (400, {"reported_at"}), answer.text
        assert (await edge.written())[0] == 0
        soon = {"text": "noisy", "reported_at": ahead(minutes=55)}
        assert (await edge.client.post(REPORTS, json=soon)).status_code == 202


async def test_asset_hint_is_another_name_of_asset(tmp_path: Path) -> None:
    async with serving(tmp_path) as edge:
        hinted = {"id": "h1", "text": "noisy", "asset_hint": "M-07"}
        assert (await edge.client.post(REPORTS, json=hinted)).status_code == 202
        assert (await edge.client.post(REPORTS, json=hinted | {"asset": "M-07"})).status_code == 202
        form = {"id": (None, "h2"), "text": (None, "noisy"), "asset_hint": (None, "M-01")}
        assert (await edge.client.post(REPORTS, files=form)).status_code == 202
        for name, asset in (("h1", "M-07"), ("h2", "M-01")):
            held = await edge.gateway.store.read(lambda tx, name=name: tx.report(name))
            assert held is not None and held.report.asset_hint == asset
        torn = await edge.client.post(REPORTS, json={"text": "noisy", "asset": "M-01", "asset_hint": "M-07"})
        unknown = await edge.client.post(
            REPORTS, json={"text": "noisy", "asset_hint": "X", "reported_at": ahead(days=1)}
        )
        assert (torn.status_code, faulty(torn)) == (400, {"asset_hint"})
        assert (unknown.status_code, faulty(unknown)) == (400, {"asset_hint", "reported_at"})
        assert (await edge.written())[0] == 2


async def test_who_may_not_decide_sees_no_buttons_and_reads_which_setting_allows_it(tmp_path: Path) -> None:
    async with serving(tmp_path, anonymous=("read",)) as edge:
        await edge.gateway.store.write(in_review("r1"))
        for path in ("/ui/review", "/ui/part/review"):
            english = (await edge.client.get(path)).text
            chinese = (await edge.client.get(path, headers={"Accept-Language": "zh-CN"})).text
            for page in (english, chinese):
                assert "spindle noisy again" in page and 'value="confirm"' not in page and 'value="dismiss"' not in page
                assert "anonymous = [&#34;review:write&#34;]" in page
            assert "the API takes a token" in english and "令牌" in chinese
        ruling = {"decision": "dismiss"}
        assert (await edge.client.post("/api/v1/review/r1", json=ruling)).status_code == 401
        done = await edge.client.post("/api/v1/review/r1", json=ruling, headers=bearer("review:write"))
        assert done.status_code == 200
    async with serving(tmp_path / "open") as edge:
        await edge.gateway.store.write(in_review("r1"))
        page = (await edge.client.get("/ui/review")).text
        assert 'value="confirm"' in page and "review:write" not in page


async def test_a_log_that_has_nothing_to_say_is_well_and_a_mute_machine_is_not(tmp_path: Path) -> None:
    async with serving(tmp_path) as edge:
        now, long_ago = datetime.now(UTC), datetime.now(UTC) - timedelta(hours=1)
        lost = "plc: cannot connect to opc.tcp://127.0.0.1:4840"
        edge.sources[:] = [
            TagState("fresh", "udp", healthy=True, detail="port 5514"),
            TagState("quiet", "udp", healthy=True, detail="port 5515"),
            TagState("quiet", "M-07/log", healthy=True, last_at=long_ago),
            TagState("mute", "M-07/speed", healthy=True, last_at=long_ago),
            *[TagState("plc", f"M-01/{tag}", healthy=False, detail=lost) for tag in ("speed", "load")],
            TagState("cell", "M-07/load", healthy=True, last_at=now),
            *[TagState("cell", f"M-07/x{number}", healthy=False, detail="Bad") for number in range(5)],
        ]
        seen = (await edge.client.get("/health/ready")).json()
        assert seen["degraded"] == ["cell", "mute", "plc"]
        why = {name: part["why"] for name, part in seen["sources"].items()}
        assert why["fresh"] == why["quiet"] == ""
        assert why["mute"].startswith("no value for 36")
        assert why["plc"] == lost
        assert why["cell"] == "M-07/x0: Bad; M-07/x1: Bad; M-07/x2: Bad; 2 more"


async def test_the_equipment_page_lists_tags_that_never_gave_a_value(tmp_path: Path) -> None:
    async with serving(tmp_path) as edge:
        edge.sources[:] = [
            TagState("cell", "M-07/thermal", healthy=False, detail="BadNodeIdUnknown <b>"),
            TagState("cell", "M-01/speed", healthy=False, detail="BadTimeout"),
        ]
        for path in ("/ui/equipment/M-07", "/ui/part/failing?of=M-07"):
            page = (await edge.client.get(path)).text
            assert "BadNodeIdUnknown &lt;b&gt;" in page and "BadTimeout" not in page
        edge.sources.clear()
        assert "without a good value" not in (await edge.client.get("/ui/equipment/M-07")).text


async def test_every_answer_names_its_charset_once(tmp_path: Path) -> None:
    async with serving(tmp_path) as edge:
        for path in ("/ui/line", "/ui/part/tiles", "/schema", "/metrics"):
            said = (await edge.client.get(path)).headers["content-type"]
            assert said.startswith("text/") and said.count("charset=utf-8") == 1, path


async def until(seen: Callable[[], bool], seconds: float = 20.0) -> None:
    """Look again and again until it is so; fails after the deadline."""
    async with asyncio.timeout(seconds):
        while True:
            if seen():
                return
            await asyncio.sleep(0.01)


@asynccontextmanager
async def taken_port() -> AsyncIterator[int]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder:
        holder.bind(("127.0.0.1", 0))
        yield int(holder.getsockname()[1])


async def test_a_source_says_why_its_link_is_down_and_forgets_it_when_it_is_up(tmp_path: Path) -> None:
    store = StoreSettings(path=str(tmp_path / "data")).open()
    async with taken_port() as port:
        line = Line([SyslogSettings(name="logs", port=port)], store, lambda _: None)
        assert [state.detail for state in line.tags()] == ["not open yet"]
        with pytest.raises(Unreachable):
            await line.jobs()["line.logs"]()
        [state] = line.tags()
        assert not state.healthy and f"cannot listen on 127.0.0.1:{port}" in state.detail
    job = asyncio.ensure_future(line.jobs()["line.logs"]())
    await until(lambda: line.tags()[0].healthy)
    assert line.tags()[0].detail == f"port {port}"
    job.cancel()
    with suppress(asyncio.CancelledError):
        await job
    await store.close()


WORDS_ONLY = """
[site]
id = "SZ1"
[store]
path = "{folder}/store"
[language]
engine = "lite"
[erp.main]
protocol = "rest"
base_url = "http://127.0.0.1:{port}"
token_url = "http://127.0.0.1:{port}/token"
client_id = "andon"
client_secret = {{ env = "ERP_SECRET" }}
idempotency = "header"
"""


async def test_an_erp_that_is_left_alone_is_named_in_ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ERP_SECRET", "x")
    with socket.socket() as holder:  # bound and not listening: refused
        holder.bind(("127.0.0.1", 0))
        settings = parse(WORDS_ONLY.format(folder=tmp_path, port=holder.getsockname()[1]))
        async with wire(settings, asyncio.Event()) as running:
            gateway = running.gateway
            assert gateway.troubles() == ()
            await gateway.store.write(lambda tx: tx.put_order(work_order("o1"), "main", datetime.now(UTC)))
            job = asyncio.ensure_future(running.jobs["deliver"]())
            await until(lambda: bool(gateway.troubles()))
            [trouble] = gateway.troubles()
            job.cancel()
            with suppress(asyncio.CancelledError):
                await job
    assert trouble.startswith("erp.main: ") and len(trouble) > len("erp.main: ")
    async with serving(tmp_path / "edge", troubles=lambda: (trouble,)) as edge:
        seen = (await edge.client.get("/health/ready")).json()
        assert (seen["status"], seen["degraded"], seen["troubles"]) == ("warn", ["erp.main"], [trouble])


def erp(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "simulators.erp", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_the_simulated_erp_says_in_one_line_what_is_wrong_with_an_option() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        taken = str(holder.getsockname()[1])
        for options, said in (
            (("--port", taken), taken),
            (("--faults", '[{"kind":"zz"}]'), "'zz'"),
            (("--faults", "[1]"), "--faults"),
            (("--faults", "{"), "--faults"),
        ):
            ended = erp(*options)
            assert (ended.returncode, ended.stdout) == (2, ""), options
            assert said in ended.stderr and ended.stderr.count("\n") == 1, ended.stderr


def test_models_that_cannot_be_written_are_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        command = ["-c", "from gateway.cli.main import main; main()", "models", "train", "--quick", "--out", str(out)]
        ended = subprocess.run([sys.executable, *command], capture_output=True, text=True, timeout=120, check=False)
        assert ended.returncode == 2
        assert "cannot be a folder" in ended.stderr and "Traceback" not in ended.stderr
