"""Feedback of simulated ERPs, on the whole road: what changes there stands here, however it was told."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from connectors.erp.frappe import Settings as FrappeSettings
from connectors.erp.odoo import Settings as OdooSettings
from connectors.erp.rest import Settings as RestSettings
from gateway.core.delivery import Delivered, ErpRef
from gateway.core.order import WorkOrder
from gateway.core.ports import ErpAdapter, StoredOrder, Tx
from gateway.core.secret import SecretRef
from gateway.flow.follow import Follower, Pace
from gateway.flow.patience import Patience
from gateway.flow.settle import delivered
from gateway.runtime.api_settings import FrappeHook, OdooHook
from tests.erp_planners import AtFrappe, AtGeneric, AtOdoo
from tests.erp_plant import Planner
from tests.erp_process import SECRET, Erp, make_order, running_erp
from tests.integration.edge_rig import Edge, episode, serving
from tests.rig import until

KEY = "0123456789abcdef0123456789abcdef01234567"
HOOK = "hook-0123456789abcdef0123456789"
SIGNING = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
PATIENT = Pace(every=timedelta(days=1), longest=timedelta(days=1), poll=timedelta(seconds=30))
"""Nobody is asked in a test, but after a hint."""


@pytest.fixture(scope="module")
def process() -> Iterator[Erp]:
    with running_erp("--api-key", KEY) as erp:
        yield erp


@pytest.fixture
def plant(process: Erp, monkeypatch: pytest.MonkeyPatch) -> Iterator[Erp]:
    for name, value in {"KEY": KEY, "NAME": "andon", "HOOK": HOOK, "SIGNING": SIGNING, "CLIENT": SECRET}.items():
        monkeypatch.setenv(f"TEST_{name}", value)
    yield process
    process.turn("odoo", hook="")
    process.turn("frappe", hook="", hook_secret="")
    process.turn("bell", url="", secret="", repeat=0, hold=0)


@dataclass(slots=True)
class Road:
    """An edge, an ERP and who follows its orders."""

    edge: Edge
    erp: ErpAdapter
    questions: list[str]

    async def order(self, name: str) -> ErpRef:
        """Have an order in the ERP, as delivery leaves it."""
        made = make_order(name, asset="M-07", detected_at=datetime.now(UTC))
        [outcome] = await self.erp.deliver([made])
        assert isinstance(outcome, Delivered)
        await self.edge.gateway.store.write(lambda tx: self._keep(tx, made, outcome.ref.number))
        return outcome.ref

    def _keep(self, tx: Tx, made: WorkOrder, number: str) -> None:
        at = datetime.now(UTC)
        tx.put_order(made, "main", at)
        tx.put_episode(msgspec.structs.replace(episode(), key=made.key))
        [claimed] = tx.claim("main", at, timedelta(seconds=30), 1)
        tx.settle(claimed.delivery, delivered(claimed.delivery, number, at).delivery)

    async def held(self, ref: ErpRef) -> StoredOrder:
        found = await self.edge.gateway.store.read(lambda tx: tx.order(ref.key))
        assert found is not None
        return found

    async def stands(self, ref: ErpRef, state: str) -> StoredOrder:
        async def so() -> bool:
            return (await self.held(ref)).erp_state == state

        await until(so, f"{ref.number} to be {state}", 20)
        return await self.held(ref)

    async def events(self, ref: ErpRef) -> list[str]:
        lines = await self.edge.gateway.store.read(lambda tx: list(tx.audit()))
        return [line.event for line in lines if line.subject == ref.key]


class Asked:
    """An adapter that counts the questions it is asked."""

    def __init__(self, inner: ErpAdapter, questions: list[str]) -> None:
        self._inner, self._questions = inner, questions
        self.name, self.capabilities = inner.name, inner.capabilities
        self.deliver, self.find, self.verify = inner.deliver, inner.find, inner.verify
        self.amend, self.cancel, self.close = inner.amend, inner.cancel, inner.close

    async def status(self, ref: ErpRef) -> ErpRef:
        self._questions.append(ref.number)
        return await self._inner.status(ref)


@asynccontextmanager
async def road(folder: Path, erp: ErpAdapter) -> AsyncIterator[Road]:
    hooks: dict[str, Any] = {
        "odoo": OdooHook(secrets=(SecretRef(env="TEST_HOOK"),), addresses=("127.0.0.1",)),
        "frappe": FrappeHook(secrets=(SecretRef(env="TEST_HOOK"),)),
        "erp_secrets": (SecretRef(env="TEST_SIGNING"),),
    }
    async with serving(folder, **hooks) as edge:
        gateway, wake, questions = edge.gateway, asyncio.Event(), list[str]()
        gateway.wake_follow = wake.set
        gateway.erp_signs = erp.capabilities.feedback == "signed"
        patience = Patience(gateway.now, timedelta(seconds=30))
        follower = Follower(gateway.store, Asked(erp, questions), gateway.now, wake, PATIENT, patience)
        job = asyncio.create_task(follower.run())
        try:
            yield Road(edge, erp, questions)
        finally:
            job.cancel()
            await asyncio.wait([job])
            await erp.close()


def odoo(plant: Erp, road_url: str) -> None:
    plant.turn("odoo", hook=f"{road_url}/api/v1/webhooks/odoo/{HOOK}")


def frappe(plant: Erp, road_url: str) -> None:
    plant.turn("frappe", hook=f"{road_url}/api/v1/webhooks/frappe", hook_secret=HOOK)


def bell(plant: Erp, road_url: str, **manner: int) -> None:
    plant.turn("bell", url=f"{road_url}/api/v1/webhooks/erp", secret=SIGNING, **manner)


def adapter(plant: Erp, kind: str) -> tuple[ErpAdapter, Planner]:
    """Open the adapter of one make, and call a planner to it."""
    match kind:
        case "odoo":
            settings = OdooSettings(
                name="main", base_url=plant.url, api_key=SecretRef(env="TEST_KEY"), unknown_equipment="leave_out"
            )
            return settings.open(), AtOdoo(plant)
        case "frappe":
            site = FrappeSettings(
                name="main",
                base_url=f"{plant.url}/frappe",
                api_key=SecretRef(env="TEST_NAME"),
                api_secret=SecretRef(env="TEST_KEY"),
                mapping={"asset": "asset", "failure_date": "detected_at"},
            )
            return site.open(), AtFrappe(plant)
    rest = RestSettings(
        name="main",
        base_url=plant.url,
        token_url=plant.ready["token_url"],
        client_id=plant.ready["client_id"],
        client_secret=SecretRef(env="TEST_CLIENT"),
        audience="erp",
        idempotency="header",
        feedback="signed" if kind == "signed" else "unsigned",
    )
    return rest.open(), AtGeneric(plant)


@pytest.mark.parametrize(("kind", "rings"), [("odoo", odoo), ("frappe", frappe), ("unsigned", bell)])
async def test_a_change_that_proves_nothing_is_read_back_and_stands(
    tmp_path: Path, plant: Erp, kind: str, rings: Callable[[Erp, str], None]
) -> None:
    erp, planner = adapter(plant, kind)
    async with road(tmp_path, erp) as way:
        ref = await way.order(f"{kind} 1")
        rings(plant, way.edge.url)
        planner.begin(ref)
        assert (await way.stands(ref, "open")).closing_code is None
        planner.finish(ref)
        await way.stands(ref, "done")
        assert set(way.questions) == {ref.number}
        assert (await way.events(ref)).count("order.status") == 2


async def test_what_is_signed_counts_at_once_also_repeated_and_out_of_order(tmp_path: Path, plant: Erp) -> None:
    erp, planner = adapter(plant, "signed")
    async with road(tmp_path, erp) as way:
        ref = await way.order("signed 1")
        bell(plant, way.edge.url, repeat=2, hold=3)
        before = plant.state()["webhooks"]
        planner.write(ref, "a new title")
        planner.begin(ref)
        planner.finish(ref)
        held = await way.stands(ref, "done")
        assert (held.erp_status, held.closing_code) == ("CLOSED", "BEARING_REPLACED")
        await plant.until(lambda state: state["webhooks"]["sent"] == before["sent"] + 9)
        # What came late was older than what was known: the ERP was asked, and said the same again.
        assert ((await way.held(ref)).erp_status, (await way.held(ref)).erp_state) == ("CLOSED", "done")
        assert plant.state()["webhooks"]["failed"] == before["failed"]
        said = await way.events(ref)
        assert (said.count("order.status"), said.count("episode.closed")) == (1, 1)
        assert await way.edge.gateway.store.read(lambda tx: tx.episodes(live=True)) == []


async def test_a_webhook_that_nobody_took_is_made_good_by_asking(tmp_path: Path, plant: Erp) -> None:
    erp, planner = adapter(plant, "odoo")
    async with road(tmp_path, erp) as way:
        ref = await way.order("lost 1")
        plant.turn("odoo", hook="http://127.0.0.1:9/nobody")
        planner.finish(ref)
        later = Patience(way.edge.gateway.now, timedelta(seconds=30))
        ahead = Follower(
            way.edge.gateway.store,
            erp,
            lambda: datetime.now(UTC) + timedelta(minutes=6),
            asyncio.Event(),
            Pace(),
            later,
        )
        assert await ahead.step() == 1
        assert (await way.held(ref)).erp_state == "done"
