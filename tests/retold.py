"""Helpers for tests of troubles told again: delivery to the simulated ERP, on a clock of the test's."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from itertools import count
from typing import Literal

import pytest
from msgspec.structs import replace

from connectors.erp.rest import Settings
from connectors.erp.rest.plan import Amend, Cancel
from gateway.core.asset import Plant
from gateway.core.delivery import DeliveryState, StatusUpdate
from gateway.core.ports import ErpAdapter, Store, StoredOrder
from gateway.core.report import Extraction, QualityReport
from gateway.core.secret import SecretRef
from gateway.flow.deliver import Deliverer
from gateway.flow.feedback import apply
from gateway.flow.follow import Follower, Pace
from gateway.flow.patience import Patience
from gateway.flow.settle import Policy
from gateway.flow.withdraw import withdraw
from gateway.flow.words import Listening
from tests.erp_process import Erp
from tests.fakes import at
from tests.growing import DESK, HEALTHY, TOLD, heard, seen, shown

PLACE = "/api/orders/{number}"
MASKED = "it is very loud now"
UNKNOWN = {"kind": "cut", "method": "PATCH"}
"""The withdrawal is lost before the ERP has it, and nobody knows."""
DONE_UNHEARD = {"kind": "lost_reply", "method": "PATCH"}
STORIES = count()
"""Each story at a time of its own: the ERP is the same, and keys are made of times and names."""
WAYS = [
    pytest.param("machine", "machine", id="machine, machine"),
    pytest.param("machine", "person", id="machine, person"),
    pytest.param("machine called off", "person", id="machine called off, person"),
    pytest.param("person", "machine", id="person, machine"),
    pytest.param("person", "person", id="person, person"),
    pytest.param("person without an asset", "person without an asset", id="without an asset"),
]
"""Who tells of it first, and who again."""
LOT = replace(TOLD, asset=None, batch="L-77")


class _Nobody:
    """An interpreter that nobody asks."""

    def interpret(self, report: QualityReport, plant: Plant) -> Extraction:
        """Raise: a person would have to read the report."""
        raise NotImplementedError


class Desk:
    """The gateway's delivery, turn by turn, on a clock of the test's."""

    def __init__(self, store: Store, erp: ErpAdapter, plant: Erp) -> None:
        self.store, self.erp, self.plant = store, erp, plant
        self.story = next(STORIES)
        self.began_s = self.story * 1e6
        self.at = at(self.began_s)

    def now(self) -> datetime:
        return self.at

    async def send(self, doubts: int = 8) -> None:
        """Let an hour go by and send what is due."""
        self.at += timedelta(hours=1)
        policy = Policy(doubts=doubts)
        patience = Patience(self.now, policy.longest_wait)
        await Deliverer(self.store, self.erp, self.now, asyncio.Event(), policy, patience).step()

    async def turn(self, doubts: int = 8) -> None:
        """Send, then look whether the ERP has two that stand."""
        await self.send(doubts)
        words = await self.words()
        assert sum(word not in ("CANCELLED", "CLOSED") for word in words.values()) <= 1, words

    async def words(self) -> dict[str, str]:
        """How the ERP has the orders of this store, by key."""
        ours = {one.order.key for one in await self.orders()}
        return {one["reference"]: one["status"] for one in self.plant.state()["orders"] if one["reference"] in ours}

    async def orders(self) -> list[StoredOrder]:
        """The orders of the store, the oldest first."""
        return list(reversed(await self.store.read(lambda tx: tx.orders())))

    async def only(self) -> StoredOrder:
        [held] = await self.orders()
        return held

    async def follow(self) -> None:
        """Let an hour go by, ask the ERP how the orders stand, and conclude what waits for it."""
        self.at += timedelta(hours=1)
        patience = Patience(self.now, timedelta(seconds=30))
        await Follower(self.store, self.erp, self.now, asyncio.Event(), Pace(), patience).step()
        await self.listen()

    async def listen(self) -> None:
        """Conclude the reports that wait. Each was read before: nobody reads it again."""
        with ThreadPoolExecutor(1) as pool:
            wake = asyncio.Event()
            await Listening(self.store, _Nobody(), DESK, pool, self.now, wake, lambda: None, lambda _: None).step()

    async def hear(self, key: str, status: str, state: Literal["open", "done", "cancelled"]) -> None:
        """Hear from the ERP how an order stands now."""
        self.at += timedelta(minutes=1)
        word = StatusUpdate(key=key, number="", status=status, at=self.at, state=state)
        assert await self.store.write(lambda tx: apply(tx, word, self.at))

    def edit(self, key: str, **fields: object) -> None:
        """Change the ERP's record as a planner does."""
        [number] = [one["number"] for one in self.plant.state()["orders"] if one["reference"] == key]
        self.plant.edit(number, **fields)


@asynccontextmanager
async def a_desk(store: Store, plant: Erp) -> AsyncIterator[Desk]:
    """Open a desk at an ERP whose secret is in TEST_ERP_SECRET; the ERP is without faults after it."""
    erp = Settings(
        name="main",
        base_url=plant.url,
        token_url=plant.ready["token_url"],
        client_id=plant.ready["client_id"],
        client_secret=SecretRef(env="TEST_ERP_SECRET"),
        audience="erp",
        idempotency="header",
        fields_in="order",
        precondition="etag",
        amend=Amend(path=PLACE),
        cancel=Cancel(path=PLACE, body={"status": "CANCELLED"}, reason="closing_code"),
    ).open()
    yield Desk(store, erp, plant)
    plant.faults()
    await erp.close()


async def told(desk: Desk, who: str, seconds: float, severity: float = 0.5) -> str:
    """Have the machine show it, or a person tell of it, of the lot alone where there is no asset; give its name."""
    name, begun = f"{desk.story} at {seconds}", desk.began_s + seconds
    if who.startswith("machine"):
        await shown(desk.store, begun, *[seen(0, severity=severity)] * 4)
    else:
        words = replace(LOT, batch=f"L-{desk.story}") if who == "person without an asset" else TOLD
        await heard(desk.store, name, replace(words, id=name, masked=f"{MASKED} {seconds:.0f}"), begun)
    return name


async def delivered(desk: Desk, first: str) -> str:
    """Have the first order made and delivered; give its key."""
    await told(desk, first, 0)
    await desk.turn()
    held = await desk.only()
    assert held.delivery.state is DeliveryState.DELIVERED
    return held.order.key


async def taken_back(desk: Desk, key: str, first: str) -> None:
    """Have the order taken back: by the machine where it is its own and over, else by a person."""
    if first == "machine":
        await shown(desk.store, desk.began_s + 10, *[seen(0, HEALTHY)] * 5)
    else:
        await withdraw(desk.store, key, "the sensor was loose", "cli", desk.now)
    held = await desk.only()
    assert held.delivery.task == "cancel"
