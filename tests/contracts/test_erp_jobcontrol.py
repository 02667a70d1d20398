"""A machine as the receiver of jobs (OPC UA ISA-95 Job Control), against a simulated one: a real OPC UA server."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest
from msgspec.structs import replace

from connectors.erp.jobcontrol import Settings
from connectors.erp.jobcontrol.adapter import JobControl
from connectors.erp.mapping import Rule
from connectors.line.opcua import User
from connectors.opcua.pki import read_chain
from gateway.core.delivery import (
    Delivered,
    ErpRef,
    Idempotency,
    ProductionOrder,
    ProductionParameter,
    Rejected,
    Throttled,
    Uncertain,
    Unsent,
)
from gateway.core.diagnosis import Evidence
from gateway.core.errors import Unreachable
from gateway.core.order import Level
from gateway.core.ports import ErpAdapter
from gateway.core.secret import SecretRef
from tests import opcua_papers
from tests.contracts.erp_adapter import ErpAdapterContract
from tests.erp_plant import Planner, Plant
from tests.erp_process import make_order
from tests.job_machine import RECEIVER, RESPONSES, JobMachine, running_machine


@pytest.fixture(scope="module")
def machine() -> Iterator[JobMachine]:
    with running_machine() as machine:
        yield machine


@pytest.fixture
def plant(machine: JobMachine) -> JobMachine:
    machine.faults()
    machine.tell(most=1000)
    return machine


def settings(machine: JobMachine, **more: Any) -> Settings:
    given = {"receiver": RECEIVER, "responses": RESPONSES, "timeout": 1.0, "closing_parameter": "code"}
    return Settings(name="press-7", endpoint=machine.endpoint, insecure=True, **{**given, **more})


@pytest.fixture
async def erp(plant: JobMachine) -> AsyncIterator[JobControl]:
    adapter = settings(plant).open()
    yield adapter
    await adapter.close()


class AtMachine(Planner):
    """A person at the machine."""

    touched: ClassVar[str] = "Description"
    other: ClassVar[str] = "JobOrderParameters"
    closing: ClassVar[str | None] = "C7"

    def __init__(self, machine: JobMachine) -> None:
        self.machine = machine

    def fields(self, ref: ErpRef) -> dict[str, Any]:
        return dict(held(self.machine, ref.key)["order"])

    def write(self, ref: ErpRef, text: str) -> None:
        self.machine.tell(edit=ref.key, text=text)

    def begin(self, ref: ErpRef) -> None:
        self.machine.tell(job=ref.key, state="Running")

    def finish(self, ref: ErpRef) -> None:
        self.machine.tell(job=ref.key, state="Ended", code=self.closing)

    def drop(self, ref: ErpRef) -> None:
        self.machine.tell(job=ref.key, state="Aborted")


class TestJobControl(ErpAdapterContract):
    create: ClassVar[dict[str, str]] = {"path": "store"}
    ask: ClassVar[dict[str, str]] = {"path": "list"}
    change: ClassVar[dict[str, str]] = {"path": "update"}
    withdraw: ClassVar[dict[str, str]] = {"path": "cancel"}

    def open(self, plant: JobMachine) -> ErpAdapter:
        return settings(plant).open()

    @pytest.fixture
    def planner(self, plant: JobMachine) -> Planner:
        return AtMachine(plant)

    async def test_credentials_that_count_no_more_pause_the_erp_and_make_nothing(
        self, erp: ErpAdapter, plant: Plant
    ) -> None:
        """Who may come in is asked when a session is activated: nothing is sent."""
        machine: Any = plant
        assert await erp.verify() == []
        machine.tell(deny=True)
        order = make_order("expired")
        outcomes = [(await erp.deliver([order]))[0] for _ in range(2)]
        machine.tell(deny=False)
        assert isinstance(outcomes[-1], Unsent), outcomes
        assert "BadIdentityTokenRejected" in outcomes[-1].cause or "BadUserAccessDenied" in outcomes[-1].cause
        assert plant.commits(order.key) == 0
        assert isinstance((await erp.deliver([order]))[0], Delivered)

    @pytest.mark.parametrize("kind", ["throttle", "unavailable"])
    async def test_a_throttling_erp_says_how_long(self, erp: ErpAdapter, plant: Plant, kind: str) -> None:  # type: ignore[override]
        """OPC UA has codes for being busy, and none for how long."""
        order = make_order(f"throttled {kind}")
        plant.faults({"kind": kind, "count": 1, **self.create})
        [outcome] = await erp.deliver([order])
        assert isinstance(outcome, Throttled) and outcome.after is None
        assert plant.commits(order.key) == 0

    async def test_unavailable_with_a_time_is_throttled(self, erp: ErpAdapter, plant: Plant) -> None:
        """No time can be told; a machine that is full is the case that there is."""
        machine: Any = plant
        machine.tell(most=len(machine.state()["jobs"]))
        order = make_order("one too many")
        [outcome] = await erp.deliver([order])
        assert isinstance(outcome, Throttled) and "as many jobs as it can" in outcome.cause
        machine.tell(most=1000)
        assert isinstance((await erp.deliver([order]))[0], Delivered)

    async def test_a_refusal_names_the_field(self, erp: ErpAdapter, plant: Plant) -> None:
        """A ReturnStatus names no field; its bits are told in words."""
        for kind, words in {"refuse": "invalid request (bit 32)", "vendor": "bit 40"}.items():
            plant.faults({"kind": kind, "count": 1, **self.create})
            [outcome] = await erp.deliver([make_order(f"refused {kind}")])
            assert isinstance(outcome, Rejected) and words in outcome.reason


async def deliver(erp: JobControl, name: str, **fields: Any) -> tuple[Any, ErpRef]:
    order = make_order(name, **fields)
    [outcome] = await erp.deliver([order])
    assert isinstance(outcome, Delivered), outcome
    return order, outcome.ref


def held(machine: JobMachine, key: str) -> dict[str, Any]:
    return dict(machine.state()["jobs"][key])


async def test_everything_of_an_order_reaches_the_machine(erp: JobControl, plant: JobMachine) -> None:
    due = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
    proof = Evidence("waveform", "ab" * 32, 1024, "application/octet-stream", due, tag="vibration")
    order, ref = await deliver(
        erp, "whole", due=due, evidence=(proof,), hierarchy=(Level("site", "SZ1"), Level("line", "LINE-A"))
    )
    job = held(plant, order.key)
    assert (job["state"], ref.status, ref.state) == ("NotAllowedToStart", "NotAllowedToStart", "open")
    told = job["order"]
    assert told["Description"] == [order.title]
    assert (told["Priority"], told["EndTime"]) == (2, "2026-11-22T08:00:00+00:00")
    assert told["PhysicalAssetRequirements"][0]["ID"] == "M-07"
    assert told["EquipmentRequirements"][0]["ID"] == "LINE-A"
    values = {one["ID"]: one["Value"] for one in told["JobOrderParameters"]}
    assert (values["iso_mode"], values["asset_down"], values["description"]) == ("VIB", False, order.description)
    [evidence] = [one for one in told["JobOrderParameters"] if one["ID"] == "evidence"]
    assert {one["ID"]: one["Value"] for one in evidence["Subparameters"]}["sha256"] == "ab" * 32


async def test_a_table_of_parameters_a_link_and_a_recipe_can_be_given(plant: JobMachine) -> None:
    adapter = settings(
        plant,
        parameters={"code": Rule(source="iso_mode", values={"VIB": "V1"})},
        work_master="REPAIR",
        link="https://andon.example/orders/{key}",
    ).open()
    order, _ = await deliver(adapter, "mapped")
    told = held(plant, order.key)["order"]
    assert told["WorkMasterID"][0]["ID"] == "REPAIR"
    values = {one["ID"]: one["Value"] for one in told["JobOrderParameters"]}
    assert values == {"code": "V1", "uri": f"https://andon.example/orders/{order.key}"}
    await adapter.close()


async def test_the_states_of_a_job_come_back_with_its_closing_code(erp: JobControl, plant: JobMachine) -> None:
    order, ref = await deliver(erp, "story")
    seen = []
    for state in ("AllowedToStart", "Running", "Interrupted", "Ended"):
        plant.tell(job=order.key, state=state, code="C7" if state == "Ended" else "")
        now = await erp.status(ref)
        seen.append((now.status, now.state, now.closing_code))
    assert seen == [
        ("AllowedToStart", "open", None),
        ("Running", "open", None),
        ("Interrupted", "open", None),
        ("Ended", "done", "C7"),
    ]
    other, other_ref = await deliver(erp, "other story")
    plant.tell(job=other.key, state="Aborted")
    assert (await erp.status(other_ref)).state == "cancelled"


async def test_a_job_that_was_cleared_is_known_by_its_response(erp: JobControl, plant: JobMachine) -> None:
    order, ref = await deliver(erp, "cleared")
    plant.tell(job=order.key, state="Ended", code="C9")
    plant.tell(clear=order.key)
    assert order.key not in plant.state()["jobs"]
    assert [(one.status, one.closing_code) for one in await erp.find(order.key)] == [("Ended", "C9")]
    assert (await erp.status(ref)).state == "done"
    assert (await erp.status(ErpRef("AN0", "AN0"))).status == "not listed"


async def test_a_change_leaves_what_a_person_changed(erp: JobControl, plant: JobMachine) -> None:
    before, ref = await deliver(erp, "changed")
    plant.tell(edit=before.key, priority=4)
    after = replace(before, version=2, title="worse", priority=1)
    told = await erp.amend(ref, before, after)
    assert isinstance(told, Delivered) and told.kept == ("Priority",)
    job = held(plant, before.key)["order"]
    assert (job["Description"], job["Priority"]) == (["worse"], 4)
    calls = plant.state()["called"]["Update"]
    again = await erp.amend(ref, before, after)
    assert isinstance(again, Delivered) and again.kept == ("Priority",)
    assert plant.state()["called"]["Update"] == calls


async def test_a_change_without_an_answer_to_the_first_question_is_surely_not_sent(
    erp: JobControl, plant: JobMachine
) -> None:
    before, ref = await deliver(erp, "unanswered")
    plant.faults({"kind": "error_before", "path": "list", "count": 1})
    assert isinstance(await erp.amend(ref, before, replace(before, title="worse")), Unsent)
    plant.faults({"kind": "forbidden", "path": "list", "count": 1})
    assert isinstance(await erp.amend(ref, before, replace(before, title="worse")), Rejected)
    assert held(plant, before.key)["order"]["Description"] == [before.title]


async def test_a_lost_reply_to_a_change_is_doubt_and_may_be_sent_again(erp: JobControl, plant: JobMachine) -> None:
    before, ref = await deliver(erp, "change in doubt")
    after = replace(before, version=2, title="worse")
    plant.faults({"kind": "lost_reply", "path": "update", "count": 1})
    assert isinstance(await erp.amend(ref, before, after), Uncertain)
    assert isinstance(await erp.amend(ref, before, after), Delivered)
    assert held(plant, before.key)["order"]["Description"] == ["worse"]


async def test_who_has_begun_wins_over_a_change_and_a_withdrawal(erp: JobControl, plant: JobMachine) -> None:
    order, ref = await deliver(erp, "begun")
    plant.tell(job=order.key, state="Running")
    for told in (await erp.amend(ref, order, replace(order, title="late")), await erp.cancel(ref, order, "late")):
        assert isinstance(told, Rejected) and "Running" in told.reason and "begun" in told.reason
    assert held(plant, order.key)["state"] == "Running"


async def test_a_withdrawal_removes_the_job_and_may_be_repeated(erp: JobControl, plant: JobMachine) -> None:
    order, ref = await deliver(erp, "taken back")
    plant.faults({"kind": "lost_reply", "path": "cancel", "count": 1})
    assert isinstance(await erp.cancel(ref, order, "over"), Uncertain)
    for _ in range(2):
        told = await erp.cancel(ref, order, "over")
        assert isinstance(told, Delivered) and told.ref.state == "cancelled"
    assert order.key not in plant.state()["jobs"]


async def test_a_session_that_was_forgotten_is_surely_not_sent_and_made_anew(
    erp: JobControl, plant: JobMachine
) -> None:
    await deliver(erp, "before the session was killed")
    plant.tell(kill="session")
    order = make_order("after the session was killed")
    [first] = await erp.deliver([order])
    assert isinstance(first, Unsent | Delivered), first
    [second] = await erp.deliver([order])
    assert isinstance(second, Delivered)
    assert plant.commits(order.key) == 1


async def test_a_production_order_is_handed_over_once_and_followed(erp: JobControl, plant: JobMachine) -> None:
    order = ProductionOrder(
        order_id="PO-1",
        material_code="GX-7",
        quantity=120,
        due_date="2026-12-01",
        unit="pcs",
        priority=3,
        work_master="R-5",
        parameters=(ProductionParameter("colour", "红"),),
    )
    plant.faults({"kind": "lost_reply", "path": "store", "count": 1})
    assert isinstance(await erp.produce(order), Uncertain)
    again = await erp.produce(order)
    assert isinstance(again, Delivered) and not again.created
    assert plant.commits("PO-1") == 1
    job = held(plant, "PO-1")
    assert job["state"] == "AllowedToStart"
    told = job["order"]
    assert told["MaterialRequirements"][0]["Quantity"] == "120"
    assert told["EndTime"] == "2026-12-01T23:59:59+00:00"
    plant.tell(job="PO-1", state="Running")
    found = await erp.job("PO-1")
    assert found is not None and found.status == "Running"
    assert await erp.job("PO-2") is None


async def test_another_job_under_the_same_id_is_not_taken_for_ours(erp: JobControl) -> None:
    first = ProductionOrder(order_id="PO-9", material_code="GX-7", quantity=1, due_date="2026-12-01")
    assert isinstance(await erp.produce(first), Delivered)
    told = await erp.produce(replace(first, quantity=2))
    assert isinstance(told, Rejected) and "another job" in told.reason


async def test_verify_names_what_is_wrong_before_the_first_order(plant: JobMachine) -> None:
    wrong = {
        "no receiver of jobs": {"receiver": "i=85"},
        "no namespace urn:elsewhere": {"receiver": "nsu=urn:elsewhere;s=x"},
    }
    for said, change in wrong.items():
        adapter = settings(plant, **change).open()
        assert any(said in fault for fault in await adapter.verify()), said
        [outcome] = await adapter.deliver([make_order(said)])
        assert isinstance(outcome, Rejected) and said in outcome.reason
        await adapter.close()
    nobody = Settings(name="x", endpoint="opc.tcp://127.0.0.1:9", insecure=True, receiver=RECEIVER, timeout=1.0).open()
    with pytest.raises(Unreachable):
        await nobody.verify()


async def test_a_machine_is_reached_over_a_secured_channel_with_a_user_and_a_stranger_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANDON_TEST_PASSWORD", "secret")
    monkeypatch.setenv("ANDON_TEST_WRONG", "guess")
    pki = opcua_papers.gateway(tmp_path / "ours")
    options = ("--pki", str(tmp_path / "theirs"), "--user", "andon", "--password-env", "ANDON_TEST_PASSWORD")
    with running_machine(*options) as machine:

        def secured(password: str) -> JobControl:
            user = User(name="andon", password=SecretRef(env=password))
            return Settings(
                name="press-7",
                endpoint=machine.endpoint,
                receiver=RECEIVER,
                pki=str(pki.folder),
                user=user,
                timeout=5.0,
            ).open()

        stranger = secured("ANDON_TEST_PASSWORD")
        [outcome] = await stranger.deliver([make_order("not trusted")])
        assert isinstance(outcome, Unsent) and "BadCertificateUntrusted" in outcome.cause
        await stranger.close()
        pki.put(read_chain(tmp_path / "theirs" / "own" / "certs" / "server.der")[0])
        guess = secured("ANDON_TEST_WRONG")
        [outcome] = await guess.deliver([make_order("wrong password")])
        assert isinstance(outcome, Unsent), outcome
        await guess.close()
        known = secured("ANDON_TEST_PASSWORD")
        order = make_order("secured")
        assert isinstance((await known.deliver([order]))[0], Delivered)
        assert machine.commits(order.key) == 1
        await known.close()


def test_settings_refuse_what_is_not_safe() -> None:
    for fields, said in (
        ({}, "policy Basic256Sha256 needs pki"),
        ({"policy": "None"}, "plain text"),
        ({"insecure": True, "receiver": "ns=2;s=x"}, "an index moves"),
        ({"insecure": True, "timeout": 61.0}, "at most 1min"),
        ({"insecure": True, "timeout": 5.0, "remembers": 70.0}, "remembers is more than 14 times the timeout"),
    ):
        given: dict[str, Any] = {"receiver": RECEIVER, **fields}
        with pytest.raises(ValueError, match=said):
            Settings(name="x", endpoint="opc.tcp://127.0.0.1:9", **given)


async def test_its_promises(erp: JobControl) -> None:
    promised = erp.capabilities
    assert (promised.idempotency, promised.amends, promised.cancels) == (Idempotency.CLIENT_ID, True, True)
    assert promised.replay_window == timedelta(hours=1)  # a machine clears what it has done
    assert await asyncio.wait_for(erp.verify(), 10) == []
