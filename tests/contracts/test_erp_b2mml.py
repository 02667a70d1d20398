"""The B2MML adapter keeps the contract against a simulated MES that checks every message itself. Not certified."""

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest
from msgspec.structs import replace

from connectors.erp.b2mml import SAMPLE, Settings
from connectors.erp.b2mml.message import Messages, acknowledged, shown
from connectors.erp.b2mml.words import faults
from connectors.erp.mapping import Rule
from gateway.core.delivery import Delivered, ErpRef, Idempotency, Rejected, Uncertain
from gateway.core.diagnosis import Evidence
from gateway.core.errors import Misconfigured
from gateway.core.order import Level, WorkOrder
from gateway.core.ports import ErpAdapter
from gateway.core.secret import SecretRef
from gateway.core.units import Duration
from tests.contracts.erp_adapter import OAuthContract
from tests.erp_makes import sampled
from tests.erp_planners import AtDesk
from tests.erp_plant import Planner
from tests.erp_process import SECRET, Erp, make_order, running_erp

PROCESS = "/b2mml/ProcessJobList"
AT = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
SCHEMA = "ANDON_B2MML_SCHEMA"
"""Where MESA's AllSchemas.json lies, if it is at hand: it is not ours to give."""


def settings(plant: Erp, **fields: object) -> Settings:
    given: dict[str, object] = {
        "name": "main",
        "base_url": plant.url,
        "token_url": plant.ready["token_url"],
        "client_id": plant.ready["client_id"],
        "client_secret": SecretRef(env="TEST_ERP_SECRET"),
        "audience": "erp",
        "timeout": Duration(1.0),
        "settle": Duration(1.0),
        "closing_parameter": "code",
    }
    return Settings(**{**given, **fields})  # type: ignore[arg-type]  # a table of test values


@pytest.fixture(autouse=True)
def _secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_ERP_SECRET", SECRET)


@pytest.fixture(scope="module")
def process() -> Iterator[Erp]:
    with running_erp() as erp:
        yield erp


@pytest.fixture
def plant(process: Erp) -> Erp:
    process.faults()
    process.turn("b2mml", repeats=False, terse=False)
    return process


class AtMes(AtDesk):
    """At a MES that speaks B2MML."""

    desk = "b2mml"
    touched: ClassVar[str] = "Description"
    other: ClassVar[str] = "JobOrderParameter"
    closing: ClassVar[str | None] = "BEARING"
    begun: ClassVar[dict[str, Any]] = {"DispatchStatus": {"$": "Running"}}
    done: ClassVar[dict[str, Any]] = {"DispatchStatus": {"$": "Completed"}, "code": "BEARING"}
    dropped: ClassVar[dict[str, Any]] = {"DispatchStatus": {"$": "Cancelled"}}

    def which(self, ref: ErpRef) -> dict[str, Any]:
        return {"ID": ref.number}

    def fields(self, ref: ErpRef) -> dict[str, Any]:
        return dict(super().fields(ref)["JobOrder"])

    def write(self, ref: ErpRef, text: str) -> None:
        self.edit(ref, JobOrder={**self.fields(ref), "Description": [{"$": text}]})


class TestContract(OAuthContract):
    create: ClassVar[dict[str, str]] = {"method": "POST", "path": PROCESS}
    ask: ClassVar[dict[str, str]] = {"method": "POST", "path": "/b2mml/GetJobList"}
    change: ClassVar[dict[str, str]] = {"method": "POST", "path": "/b2mml/ChangeJobList"}
    withdraw: ClassVar[dict[str, str]] = {"method": "POST", "path": "/b2mml/CancelJobList"}
    everything: ClassVar[str] = "/b2mml/"

    def open(self, plant: Erp) -> ErpAdapter:
        return settings(plant).open()

    @pytest.fixture
    def planner(self, plant: Erp) -> Planner:
        return AtMes(plant)

    async def test_a_mes_that_acknowledges_the_same_again_has_one_order_too(self, erp: ErpAdapter, plant: Erp) -> None:
        plant.turn("b2mml", repeats=True, terse=True)
        order = make_order("repeated")
        for _ in range(2):
            assert isinstance((await erp.deliver([order]))[0], Delivered)
        assert plant.commits(order.key) == 1

    async def test_a_refused_job_order_has_the_reason_of_the_acknowledgement(self, erp: ErpAdapter) -> None:
        [outcome] = await erp.deliver([make_order("refused in words", priority=9)])
        assert isinstance(outcome, Rejected)
        assert outcome.reason == "the ERP answered Rejected: Priority 9 is not known."

    async def test_another_job_order_under_our_id_is_not_ours(self, erp: ErpAdapter, plant: Erp) -> None:
        order = make_order("foreign")
        await erp.deliver([order])
        foreign = {"ID": order.key, "Description": [{"$": "x"}], "WorkType": {"$": "Quality"}, "Priority": 5}
        plant.turn("b2mml", edit={"ID": order.key, "JobOrder": {**foreign, "JobOrderParameter": []}})
        [outcome] = await erp.deliver([order])
        assert isinstance(outcome, Rejected) and "another job order" in outcome.reason

    async def test_all_messages_may_go_to_one_address(self, plant: Erp) -> None:
        adapter = settings(plant, one_address=True, path="/b2mml/").open()
        order = make_order("one address")
        assert isinstance((await adapter.deliver([order]))[0], Delivered)
        assert len(await adapter.find(order.key)) == 1
        await adapter.close()

    async def test_verify_names_what_is_wrong_before_the_first_order(self, plant: Erp) -> None:
        wrong = {"404": {"path": "/nowhere"}, "client": {"client_id": "stranger"}}
        for said, change in wrong.items():
            adapter = settings(plant, **change).open()
            found = await adapter.verify()
            assert found and any(said in fault for fault in found), (said, found)
            await adapter.close()


def whole() -> WorkOrder:
    proof = Evidence("waveform", "ab" * 32, 1024, "application/octet-stream", AT, tag="vibration")
    scope = (Level("enterprise", "ACME"), Level("site", "SZ1"), Level("line", "LINE-A"), Level("work_unit", "ST20"))
    return make_order("whole", required_start=AT, due=AT, hierarchy=scope, evidence=(proof,), asset_down=True)


def test_a_whole_order_is_the_message_that_is_documented() -> None:
    messages = Messages("andon", {}, "https://andon.example/orders/{key}")
    order = whole()
    message = messages.of("Process", [messages.job(order)], f"{order.key}-1", AT)["ProcessJobList"]
    assert message["@releaseID"] == "V0700"
    assert message["ApplicationArea"] == {
        "CreationDateTime": "2026-11-21T09:00:00Z",
        "BODID": f"{order.key}-1",
        "Sender": {"LogicalID": "andon"},
    }
    assert message["DataArea"]["Process"] == {
        "@acknowledgeCode": "Always",
        "ActionCriteria": [{"ActionExpression": [{"@actionCode": "Add", "$": "/JobList"}]}],
    }
    [listed] = message["DataArea"]["JobList"]
    [job] = listed["JobOrder"]
    assert listed["ID"] == job["ID"] == order.key
    assert "Command" not in json.dumps(message)
    assert (job["WorkType"], job["Priority"], job["DispatchStatus"]) == ({"$": "Maintenance"}, 2, {"$": "Pending"})
    assert job["Description"] == [{"$": order.title, "@languageID": "zh"}]
    scope, levels = job["HierarchyScope"], []
    while scope:
        levels.append((scope["EquipmentID"], scope["EquipmentLevel"]["$"]))
        scope = scope.get("HierarchyScopeChild")
    assert levels == [("ACME", "Enterprise"), ("SZ1", "Site"), ("LINE-A", "ProductionLine"), ("ST20", "WorkUnit")]
    assert job["PhysicalAssetRequirement"] == [
        {"ID": "asset", "PhysicalAssetID": ["M-07"], "PhysicalAssetUse": "Maintained Asset"}
    ]
    parameters = {one["ID"]: one for one in job["JobOrderParameter"]}
    assert parameters["iso_mode"]["Value"] == [{"ValueString": "VIB"}]
    assert parameters["asset_down"]["Value"] == [{"ValueString": "true", "DataType": {"$": "boolean"}}]
    assert parameters["uri"]["Value"][0]["DataType"] == {"$": "uriReference"}
    children = {one["ID"]: one["Value"][0]["ValueString"] for one in parameters["evidence"]["ParameterChild"]}
    assert children["sha256"] == "ab" * 32


@pytest.mark.parametrize(
    ("job", "said"),
    [
        ({"ID": "x", "WorkType": "Maintenance"}, "WorkType"),
        ({"ID": "x", "WorkType": {"$": "Nonsense"}}, "Nonsense"),
        ({"ID": "x", "Priority": "1"}, "Priority"),
        ({"ID": "x", "EndTime": "2026-11-21"}, "EndTime"),
        ({"ID": "x", "EndTime": "2026-02-30T08:00:00Z"}, "EndTime"),
        ({"ID": "x", "Command": {"$": "Start"}}, "orders execution"),
        ({"WorkType": {"$": "Quality"}}, "the ID is missing"),
        ({"ID": "x", "JobOrderParameter": [{"Value": []}]}, "JobOrderParameter[0]"),
        ({"ID": "x", "JobOrderParameter": [{"ID": "u", "Value": [{"DataType": {"$": "anyURI"}}]}]}, "anyURI"),
    ],
)
def test_what_the_schema_lets_pass_is_named(job: dict[str, Any], said: str) -> None:
    found = list(faults({"JobOrder": [job]}))
    assert any(said in fault for fault in found), found


def test_our_own_messages_have_no_faults() -> None:
    messages = Messages("andon", {}, "https://andon.example/orders/{key}")
    job = messages.job(whole())
    assert list(faults(messages.of("Process", [job], "b", AT))) == []
    assert list(faults(messages.of("Cancel", [{"ID": "x"}], "b", AT, "over"))) == []


@pytest.mark.parametrize(
    ("message", "accepted"),
    [
        ({"AcknowledgeJobList": {"DataArea": {"Acknowledge": {}}}}, True),
        ({"RespondJobList": {"DataArea": {"Respond": {"OriginalApplicationArea": {"BODID": "b"}}}}}, True),
        ({"AcknowledgeJobList": {"DataArea": {"Acknowledge": {"OriginalApplicationArea": {"BODID": "c"}}}}}, None),
        ({"AcknowledgeJobList": {"DataArea": {}}}, None),
        ({"AcknowledgeJobList": []}, None),
        ({"ShowJobList": {"DataArea": {}}}, None),
        ([], None),
        (None, None),
        (
            {
                "AcknowledgeJobList": {
                    "DataArea": {
                        "Acknowledge": {
                            "ResponseCriteria": {"ResponseExpression": {"@actionCode": "Rejected"}, "ChangeStatus": 1}
                        }
                    }
                }
            },
            False,
        ),
    ],
)
def test_an_answer_is_read_or_it_is_doubt(message: object, accepted: bool | None) -> None:  # noqa: FBT001  a table
    assert acknowledged(message, "b").accepted is accepted


def test_what_is_shown_under_another_id_is_not_ours() -> None:
    rows = [{"ID": "x"}, {"ID": "y"}, 5]
    assert shown({"ShowJobList": {"DataArea": {"JobList": [{"JobOrder": rows}, 7]}}}, "x") == [{"ID": "x"}]
    assert shown({"ShowJobList": {"DataArea": {}}}, "x") == []
    assert shown({"GetJobList": {}}, "x") is None


def test_the_sample_loads_and_wrong_parameters_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MES_SECRET", "x")
    read = sampled(Settings, SAMPLE, "b2mml")
    assert read.open().name == "main"
    with pytest.raises(Misconfigured, match="no field 'nothing'"):
        replace(read, parameters={"x": Rule(source="nothing")}).open()


@pytest.mark.parametrize("remembers", [None, Duration(30 * 86400.0)])
async def test_a_mes_that_archives_its_orders_promises_them_for_so_long(
    process: Erp, remembers: Duration | None
) -> None:
    adapter = settings(process, remembers=remembers).open()
    promised = adapter.capabilities
    await adapter.close()
    assert promised.idempotency is Idempotency.CLIENT_ID
    assert promised.replay_window == (None if remembers is None else timedelta(days=30))


def test_a_mes_must_remember_an_order_for_longer_than_it_may_take(process: Erp) -> None:
    assert settings(process, remembers=Duration(6.1)).remembers == Duration(6.1)
    with pytest.raises(ValueError, match="remembers is more than 6s"):
        settings(process, remembers=Duration(6.0))


async def test_a_lost_reply_to_the_look_after_a_refusal_is_doubt(plant: Erp) -> None:
    adapter = settings(plant).open()
    order = make_order("look in vain")
    await adapter.deliver([order])
    plant.faults({"kind": "error_before", "path": "/b2mml/GetJobList", "count": 1})
    [outcome] = await adapter.deliver([order])
    assert isinstance(outcome, Uncertain) and "cannot be read" in outcome.cause
    await adapter.close()


@pytest.mark.skipif(SCHEMA not in os.environ, reason=f"{SCHEMA} does not name MESA's AllSchemas.json")
def test_our_messages_fit_mesas_schema() -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")
    schema = json.loads(Path(os.environ[SCHEMA]).read_text())
    check = jsonschema.Draft202012Validator(schema)
    messages = Messages("andon", {}, "https://andon.example/orders/{key}")
    job = messages.job(whole())
    told = [messages.of(verb, [job], "b", AT) for verb in ("Process", "Change")]
    told += [messages.of(verb, [{"ID": job["ID"]}], "b", AT) for verb in ("Get", "Cancel")]
    assert [fault.message for message in told for fault in check.iter_errors(message)] == []
