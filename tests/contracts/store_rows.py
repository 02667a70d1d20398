"""What the tests of the stores put in, claim and settle."""

from datetime import datetime, timedelta

import msgspec

from gateway.core.delivery import Delivery, DeliveryState
from gateway.core.diagnosis import Contribution, Diagnosis, Fault
from gateway.core.episode import Episode, EpisodeState
from gateway.core.order import WorkOrder
from gateway.core.ports import Claimed, Store, Tx
from gateway.core.report import Extraction, QualityReport
from tests.erp_process import make_order
from tests.fakes import at

LEASE = timedelta(seconds=30)
NOW = at(0)


def order(key: str, asset: str | None = "M-1", detected_at: datetime = NOW) -> WorkOrder:
    return make_order("e", asset, key=key, title="Bearing", component=None, detected_at=detected_at)


def diagnosis(asset: str, seconds: float, severity: float = 0.5) -> Diagnosis:
    told = {str(fault): 1 / len(Fault) for fault in Fault}
    names = (Contribution("vibration", 1.5, "bpfo", None),)
    return Diagnosis(asset, at(seconds), at(seconds + 2), Fault.IMBALANCE, 0.8, 0.9, severity, told, names)


def episode(key: str, asset: str, seconds: float, state: EpisodeState = EpisodeState.OPEN) -> Episode:
    return Episode(
        key=key,
        asset=asset,
        family="rotor",
        failure_mode="imbalance",
        source="machine",
        state=state,
        started_at=at(seconds),
        last_at=at(seconds),
    )


def report(name: str, text: str = "3号泵漏油") -> QualityReport:
    return QualityReport(id=name, text=text, reported_at=NOW, asset_hint="M-1")


def extraction(name: str, route: str = "order") -> Extraction:
    return msgspec.convert(
        {"id": name, "intent": "defect_report", "fine_intent": None, "asset": "M-1", "route": route}, Extraction
    )


def settled(claimed: Claimed, state: DeliveryState, due_at: datetime = NOW) -> Delivery:
    return msgspec.structs.replace(claimed.delivery, state=state, due_at=due_at, lease_until=None)


def version(key: str, number: int) -> WorkOrder:
    return msgspec.structs.replace(order(key, key[0]), version=number, title=f"title {number}")


async def settle_as(store: Store, settled: Delivery, claimed: Claimed) -> bool:
    return await store.write(lambda tx: tx.settle(claimed.delivery, settled))


async def put(store: Store, *orders: tuple[str, str | None]) -> None:
    def step(tx: Tx) -> None:
        for key, asset in orders:
            assert tx.put_order(order(key, asset), "erp", NOW)

    await store.write(step)


async def claim(store: Store, now: datetime = NOW, limit: int = 10, erp: str = "erp") -> list[Claimed]:
    return await store.write(lambda tx: tx.claim(erp, now, LEASE, limit))


async def claim_uncertain(store: Store, now: datetime) -> list[Claimed]:
    return await store.write(lambda tx: tx.claim_uncertain("erp", now, LEASE, 10))


async def settle(store: Store, claimed: Claimed, state: DeliveryState, due_at: datetime = NOW) -> bool:
    return await store.write(lambda tx: tx.settle(claimed.delivery, settled(claimed, state, due_at)))
