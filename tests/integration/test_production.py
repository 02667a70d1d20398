"""Production orders through a running gateway to a machine: declared targets or job control, kills and lost replies."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from click import Command
from click.testing import CliRunner, Result

from gateway.cli import apply, audit, production, tokens
from gateway.core.errors import Misconfigured, Refused, Unreachable
from gateway.core.ports import Readable
from gateway.runtime.settings import parse
from tests.job_machine import RECEIVER, RESPONSES, JobMachine, running_machine
from tests.opcua_listening import listening, settings
from tests.rig import Proc, running, until

CONFIG = """
[site]
id = "SZ1"
[store]
path = "{folder}/store"
[api]
port = 0
token_folder = "{folder}/tokens"
[diagnosis]
models = "none"
[language]
engine = "lite"
[orders]
erp = "books"
[[asset]]
id = "M-01"
[line.cell]
protocol = "opcua"
endpoint = "{endpoint}"
insecure = true
[[line.cell.tag]]
asset = "M-01"
tag = "quantity"
address = "nsu=urn:andon:machine;s=quantity"
unit = "pcs"
[[line.cell.target]]
name = "order"
node = "nsu=urn:andon:machine;s=order-id"
type = "String"
[[line.cell.target]]
name = "material"
node = "nsu=urn:andon:machine;s=material"
type = "String"
[[line.cell.target]]
name = "quantity"
node = "nsu=urn:andon:machine;s=quantity"
type = "Int32"
low = 1
high = 1000
[[line.cell.target]]
name = "start"
node = "nsu=urn:andon:machine;s=start"
type = "Boolean"
[erp.books]
protocol = "jobcontrol"
endpoint = "opc.tcp://127.0.0.1:9"
insecure = true
receiver = "{receiver}"
[erp.press]
protocol = "jobcontrol"
endpoint = "{endpoint}"
insecure = true
receiver = "{receiver}"
responses = "{responses}"
timeout = "2s"
"""
TO_TARGETS = """
[production]
to = "line.cell"
[production.targets]
order_id = "order"
material_code = "material"
quantity = "quantity"
[production.trigger]
target = "start"
before = [false]
"""
TO_RECEIVER = '[production]\nto = "erp.press"\nfollow = "1s"\n'
ORDER = {"order_id": "PO-1", "material_code": "GX-7", "quantity": 12, "due_date": "2026-12-01"}


@pytest.fixture(scope="module")
def machine() -> Iterator[JobMachine]:
    with running_machine() as machine:
        yield machine


@pytest.fixture(autouse=True)
def _well(machine: JobMachine) -> None:
    machine.faults()


class Site:
    """A gateway that can be killed and started again, and what is asked of it."""

    def __init__(self, folder: Path, machine: JobMachine, production: str) -> None:
        self.folder, self.config = folder, folder / "andon.toml"
        text = CONFIG.format(folder=folder, endpoint=machine.endpoint, receiver=RECEIVER, responses=RESPONSES)
        self.config.write_text(text + production)
        self._headers = {"Authorization": f"Bearer {self._token()}"}

    def _run(self, command: Command, *words: str) -> Result:
        return CliRunner().invoke(command, [*words, "-c", str(self.config)])

    async def andon(self, command: Command, *words: str) -> Result:
        """Call a command; it has an event loop of its own."""
        return await asyncio.to_thread(self._run, command, *words)

    def _token(self) -> str:
        done = self._run(tokens.cli, "create", "mes", "--scope", "production:write", "--scope", "read", "-o", "json")
        assert done.exit_code == 0, done.output
        return str(json.loads(done.stdout)["token"])

    @asynccontextmanager
    async def up(self) -> AsyncIterator[tuple[Proc, httpx2.AsyncClient]]:
        async with (
            running(self.folder / "log", "gateway.cli.main", "up", "-c", str(self.config)) as gateway,
            httpx2.AsyncClient(base_url=gateway.ready["url"], timeout=20, headers=self._headers) as http,
        ):
            yield gateway, http


async def seen(http: httpx2.AsyncClient, order_id: str = "PO-1") -> dict[str, Any]:
    answer = await http.get(f"/api/v1/production/orders/{order_id}")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def reached(http: httpx2.AsyncClient, field: str, value: str, order_id: str = "PO-1") -> dict[str, Any]:
    async def there() -> bool:
        return bool((await seen(http, order_id))[field] == value)

    await until(there, f"{field} {value}", 40)
    return await seen(http, order_id)


async def test_an_order_is_written_to_declared_targets_with_its_lines_in_the_trail(
    tmp_path: Path, machine: JobMachine
) -> None:
    site = Site(tmp_path, machine, TO_TARGETS)
    async with site.up() as (gateway, http):
        first = await http.post("/api/v1/production/order", json=ORDER)
        assert first.status_code == 202, first.text
        now = await reached(http, "state", "ACCEPTED")
        assert (now["to"], now["attempts"]) == ("line.cell", 1)
        assert (await http.post("/api/v1/production/order", json=ORDER)).status_code == 202
        too_many = {**ORDER, "order_id": "PO-2", "quantity": 4000}
        assert (await http.post("/api/v1/production/order", json=too_many)).status_code == 202
        parked = await reached(http, "state", "PARKED", "PO-2")
        assert "4000 is not in 1 to 1000" in parked["reason"]
        told = machine.tell(values=True)
        assert told["written"]["start"] == 3  # back and on for the first, back for the second
        assert (told["values"]["start"], told["values"]["quantity"]) == (False, 12)
        assert await gateway.stop() == 0, gateway.said()
    lines = [json.loads(line) for line in (await site.andon(audit.cli, "list", "-o", "jsonl")).stdout.splitlines()]
    events = [line["event"] for line in lines if line["subject"] in {"PO-1", "cell/start"}]
    assert events == [
        "production.taken",
        "production.sending",
        "line.write.asked",
        "line.write.done",
        "line.write.asked",
        "line.write.done",
        "production.accepted",
        "line.write.asked",
        "line.write.done",
    ]
    listed = [
        json.loads(line) for line in (await site.andon(production.cli, "list", "-o", "jsonl")).stdout.splitlines()
    ]
    assert [row["handover"]["state"] for row in listed] == ["PARKED", "ACCEPTED"]
    assert (await site.andon(production.cli, "show", "PO-9")).exit_code == 3
    assert "waits to be handed over" in (await site.andon(production.cli, "hand", "PO-2")).stdout
    assert (await site.andon(production.cli, "hand", "PO-1")).exit_code == 5


JOB = {
    "ID": "PO-7",
    "WorkType": {"$": "Production"},
    "Priority": 2,
    "EndTime": "2026-12-01T08:00:00Z",
    "MaterialRequirement": [
        {
            "ID": "made",
            "MaterialDefinitionID": ["GX-7"],
            "MaterialUse": {"$": "Produced"},
            "Quantity": [{"QuantityString": "12", "UnitOfMeasure": "pcs"}],
        }
    ],
    "JobOrderParameter": [{"ID": "colour", "Value": [{"ValueString": "红"}]}],
}


def message(*jobs: dict[str, Any]) -> dict[str, Any]:
    area = {"CreationDateTime": "2026-11-21T08:00:00Z", "BODID": "B-1", "Sender": {"LogicalID": "erp"}}
    data = {"Process": {"@acknowledgeCode": "Always"}, "JobList": [{"ID": "L-1", "JobOrder": list(jobs)}]}
    return {"ProcessJobList": {"@releaseID": "V0700", "ApplicationArea": area, "DataArea": data}}


async def test_a_wrong_job_order_names_every_fault_and_nothing_is_written_where_nobody_is_named(
    tmp_path: Path, machine: JobMachine
) -> None:
    site = Site(tmp_path, machine, "")
    wrong = {
        "WorkType": {**JOB, "WorkType": {"$": "Maintenance"}},
        "MaterialRequirement": {**JOB, "MaterialRequirement": []},
        "EndTime": {**JOB, "EndTime": "2026-02-30T08:00:00Z"},
        "quantity": {
            **JOB,
            "MaterialRequirement": [{**JOB["MaterialRequirement"][0], "Quantity": [{"QuantityString": "x"}]}],
        },  # type: ignore[index]  # a table of test values
    }
    async with site.up() as (_, http):
        for field, job in wrong.items():
            answer = await http.post("/api/v1/production/joborder", json=message(JOB, {**job, "ID": "PO-8"}))
            assert answer.status_code == 400, answer.text
            assert any(field in f"{fault['field']} {fault['message']}" for fault in answer.json()["errors"]), (
                answer.text
            )
        bare = await http.post("/api/v1/production/joborder", json=message({**JOB, "WorkType": "Production"}))
        assert bare.status_code == 400
        assert (await http.get("/api/v1/production/orders")).json()["items"] == []
        written = machine.tell(values=True)["written"]
        assert (await http.post("/api/v1/production/order", json=ORDER)).status_code == 202
        assert (await seen(http))["state"] == "KEPT"
        assert (await http.get("/api/v1/production/orders/PO-9")).status_code == 404
        assert machine.tell(values=True)["written"] == written
        assert "nobody is named" in (await site.andon(production.cli, "hand", "PO-1")).stdout
        # Named while the gateway runs: what was kept stays kept until somebody hands it over.
        site.config.write_text(site.config.read_text() + TO_TARGETS)
        applied = await site.andon(apply.cli)
        assert applied.exit_code == 0, applied.output
        assert (await seen(http))["state"] == "KEPT"
        assert (await site.andon(production.cli, "hand", "PO-1")).exit_code == 0
        await reached(http, "state", "ACCEPTED")
        assert machine.tell(values=True)["values"]["order-id"] == "PO-1"


async def test_a_job_order_goes_to_a_receiver_and_its_job_is_told_back(tmp_path: Path, machine: JobMachine) -> None:
    site = Site(tmp_path, machine, TO_RECEIVER)
    async with site.up() as (_, http):
        answer = await http.post("/api/v1/production/joborder", json=message(JOB))
        assert answer.status_code == 202, answer.text
        told = answer.json()["AcknowledgeJobList"]["DataArea"]
        assert told["Acknowledge"]["OriginalApplicationArea"]["BODID"] == "B-1"
        assert told["JobList"][0]["JobOrder"] == [{"ID": "PO-7", "DispatchStatus": {"$": "Pending"}}]
        again = await http.post("/api/v1/production/joborder", json=message(JOB))
        assert (again.status_code, again.headers["idempotent-replayed"]) == (202, "true")
        other = await http.post("/api/v1/production/joborder", json=message({**JOB, "Priority": 1}))
        assert other.status_code == 409
        await reached(http, "state", "ACCEPTED", "PO-7")
        assert machine.commits("PO-7") == 1
        for state, said, words in (("Running", "RUNNING", "Running"), ("Ended", "COMPLETED", "Completed")):
            machine.tell(job="PO-7", state=state)
            await reached(http, "job", said, "PO-7")
            shown = (await http.get("/api/v1/production/joborder/PO-7")).json()
            [response] = shown["ShowJobResponseList"]["DataArea"]["JobResponseList"][0]["JobResponse"]
            assert (response["JobOrderID"], response["JobState"]) == ("PO-7", {"$": words})
        assert response["EndTime"].endswith("Z")


async def test_a_gateway_killed_while_it_hands_over_leaves_one_job(tmp_path: Path, machine: JobMachine) -> None:
    site = Site(tmp_path, machine, TO_RECEIVER)
    order = {**ORDER, "order_id": "PO-KILL"}
    machine.faults({"kind": "lost_hang", "count": 1, "seconds": 30})
    async with site.up() as (gateway, http):
        assert (await http.post("/api/v1/production/order", json=order)).status_code == 202
        await until(lambda: machine.state()["faults"][0]["fired"] == 1, "the machine to have the order")
        gateway.child.send_signal(signal.SIGKILL)
        await gateway.child.wait()
    machine.faults()
    async with site.up() as (_, http):
        now = await reached(http, "state", "ACCEPTED", "PO-KILL")
    assert now["attempts"] == 1
    assert machine.commits("PO-KILL") == 1


async def test_lost_replies_and_a_lost_link_leave_one_job_each(tmp_path: Path, machine: JobMachine) -> None:
    site = Site(tmp_path, machine, TO_RECEIVER)
    names = [f"PO-{kind}" for kind in ("lost_reply", "cut", "garbage", "error_after")]
    machine.faults(
        *({"kind": name.removeprefix("PO-"), "count": 1, "reference": name} for name in names),
    )
    async with site.up() as (_, http):
        for name in names:
            assert (await http.post("/api/v1/production/order", json={**ORDER, "order_id": name})).status_code == 202
        for name in names:
            await reached(http, "state", "ACCEPTED", name)
        machine.down(1.0)
        assert (await http.post("/api/v1/production/order", json={**ORDER, "order_id": "PO-down"})).status_code == 202
        await reached(http, "state", "ACCEPTED", "PO-down")
    assert [machine.commits(name) for name in [*names, "PO-down"]] == [1] * 5


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[production]\nto = "line.nowhere"\n[production.targets]\norder_id = "x"\n', "no [line.nowhere]"),
        ('[production]\nto = "line.cell"\n', "needs targets"),
        (TO_TARGETS.replace('"material"', '"metal"'), 'did you mean "material"'),
        (TO_TARGETS.replace("material_code =", "colour ="), "is no field of an order"),
        ('[production]\nto = "erp.press"\n[production.targets]\norder_id = "x"\n', "are for to"),
        ('[production]\nto = "erp.other"\n', "no [erp.other]"),
    ],
)
def test_wrong_settings_are_named(tmp_path: Path, machine: JobMachine, text: str, said: str) -> None:
    whole = CONFIG.format(folder=tmp_path, endpoint=machine.endpoint, receiver=RECEIVER, responses=RESPONSES)
    with pytest.raises(Misconfigured) as wrong:
        parse(whole + text)
    assert said in str(wrong.value)


async def test_what_a_declared_opc_ua_target_holds_can_be_read_back(machine: JobMachine) -> None:
    node = "nsu=urn:andon:machine;s="
    targets = [
        {"name": "order", "node": f"{node}order-id", "type": "String"},
        {"name": "quantity", "node": f"{node}quantity", "type": "Int32", "low": 0, "high": 100},
        {"name": "nowhere", "node": f"{node}nowhere", "type": "Int32", "low": 0, "high": 100},
        {"name": "call", "object": RECEIVER, "method": f"{node}JobOrderControl.Start"},
    ]
    tag = {"asset": "M", "tag": "quantity", "address": f"{node}quantity"}
    async with listening(settings(machine.endpoint, tag, target=targets)) as heard:
        source = heard.source
        assert isinstance(source, Readable)
        with pytest.raises(Unreachable):
            await source.held_by("order")
        await heard.until(lambda: heard.values("quantity"))
        await source.write("order", ["PO-5"])
        await source.write("quantity", [7])
        assert [await source.held_by(name) for name in ("order", "quantity")] == ["PO-5", 7]
        for name, error in (("call", Refused), ("unknown", Refused), ("nowhere", Unreachable)):
            with pytest.raises(error):
                await source.held_by(name)
