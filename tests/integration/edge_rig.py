"""The web application on a real socket over a real store, for the tests of the edge."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import httpx2
import msgspec
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

from gateway.core.asset import Asset, Plant, Site
from gateway.core.batch import TagState
from gateway.core.delivery import ProductionOrder
from gateway.core.diagnosis import Diagnosis, Fault
from gateway.core.episode import Episode, EpisodeState
from gateway.core.order import Level, SourceRef, WorkOrder, business_key
from gateway.core.ports import Store, StoredReport, Tx
from gateway.core.report import Extraction, QualityReport
from gateway.flow.live import Live
from gateway.runtime.api_settings import ApiSettings, Issuer
from gateway.runtime.gateway import Gateway
from gateway.store.settings import Settings as StoreSettings
from gateway.web.app import build
from gateway.web.server import WebServer
from tests.erp_process import make_order

ISSUER = "https://idp.example"

NOW = datetime.now(UTC).replace(microsecond=0)
PLANT = Plant(
    Site(id="SZ1", timezone="Asia/Shanghai"),
    (Asset(id="M-07", name="Spindle", line="L2", bearing="6205", speed_rpm=1797), Asset(id="M-01")),
)
KEY = ECKey.generate_key("P-256", parameters={"kid": "k1", "use": "sig", "alg": "ES256"})


LIFE_S = 6 * 3600
"""A token may be made when a test is collected and used when it is its turn."""


def token(scope: str = "read", *, key: ECKey = KEY, header: dict[str, Any] | None = None, **claims: Any) -> str:
    """Make an access token; a claim of None is left out."""
    head = {"alg": "ES256", "typ": "at+jwt", "kid": "k1"} | (header or {})
    now = int(datetime.now(UTC).timestamp())
    body = {"iss": ISSUER, "aud": "andon", "sub": "erp-1", "iat": now, "exp": now + LIFE_S, "scope": scope} | claims
    return jwt.encode(
        {name: value for name, value in head.items() if value is not None},
        {name: value for name, value in body.items() if value is not None},
        key,
        default_type=None,
    )


def bearer(scope: str = "read", **claims: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {token(scope, **claims)}"}


def jwks(folder: Path, *keys: ECKey) -> Path:
    """Write the public keys where the gateway looks."""
    file = folder / "jwks.json"
    file.write_bytes(
        httpx2.Request("POST", "http://x", json=KeySet(list(keys or (KEY,))).as_dict(private=False)).content
    )
    return file


def order_of(tx: Tx, stored: StoredReport, extraction: Extraction, at: datetime) -> str | None:
    """Stand in for the wiring's `confirm`: one order per report."""
    order = work_order(stored.report.id, asset=extraction.asset)
    tx.put_order(order, "main", at)
    return order.key


def work_order(source: str, asset: str | None = "M-07") -> WorkOrder:
    return make_order(
        source,
        asset,
        key=business_key(b"test", "SZ1", source),
        activity="corrective-deferred",
        title="Bearing outer race defect",
        description="Vibration at BPFO",
        language="en",
        hierarchy=(Level("site", "SZ1"),),
        component=None,
        detection="condition-monitoring",
        detected_at=NOW,
        source=SourceRef("report", source),
    )


def diagnosis(asset: str = "M-07") -> Diagnosis:
    return Diagnosis(
        asset=asset,
        start=NOW - timedelta(seconds=2),
        end=NOW,
        fault=Fault.BEARING_OUTER,
        confidence=0.87,
        anomaly=0.9,
        severity=0.6,
        probabilities={Fault.BEARING_OUTER: 0.87, Fault.HEALTHY: 0.13},
        model="abc123",
    )


def episode(asset: str = "M-07") -> Episode:
    return Episode(
        key=work_order("ep").key,
        asset=asset,
        family="bearing",
        failure_mode="bearing_outer_race",
        source="machine",
        state=EpisodeState.OPEN,
        started_at=NOW,
        last_at=NOW,
        peak_confidence=0.87,
        peak_severity=0.6,
    )


def in_review(name: str, text: str = "spindle noisy again") -> Callable[[Tx], None]:
    """Give the step that puts a report into review."""

    def step(tx: Tx) -> None:
        tx.take_report(QualityReport(id=name, text=text, reported_at=NOW), NOW)
        read = Extraction(
            id=name, intent="defect_report", fine_intent="equipment_fault", asset=None, why=("asset_unresolved",)
        )
        read = msgspec.structs.replace(read, masked=text)
        tx.read_report(read, None)

    return step


PRODUCTION = {"order_id": "PO-1", "material_code": "MAT-9", "quantity": 120, "due_date": "2026-12-01"}
PRODUCTION_ORDER = ProductionOrder(order_id="PO-1", material_code="MAT-9", quantity=120, due_date="2026-12-01")


@dataclass
class Edge:
    """A running edge: its client, its gateway, and how often the words were woken."""

    client: httpx2.AsyncClient
    gateway: Gateway
    server: WebServer
    url: str
    woken: list[str]
    sources: list[TagState]
    job: asyncio.Task[None]
    forgive: bool = False

    async def written(self) -> tuple[int, int, int]:
        """Count reports, production orders and audit lines."""

        def look(tx: Tx) -> tuple[int, int, int]:
            return len(tx.reports()), len(tx.production_orders()), len(list(tx.audit()))

        return await self.gateway.store.read(look)


@asynccontextmanager
async def serving(
    folder: Path,
    *,
    store: Store | None = None,
    stores: Callable[[Store], Store] | None = None,
    troubles: Callable[[], Sequence[str]] = tuple,
    **api: Any,
) -> AsyncIterator[Edge]:
    """Serve on a free port; ends the server and closes the store."""
    own = store or StoreSettings(path=str(folder / "data")).open()
    kept = stores(own) if stores is not None else own
    woken: list[str] = []
    sources: list[TagState] = []
    settings = {"anonymous": ("read", "reports:write", "review:write")} | api
    issuer = Issuer(issuer=ISSUER, audience="andon", jwks_file=str(jwks(folder)))
    gateway = Gateway(
        plant=PLANT,
        store=kept,
        live=Live(),
        api=ApiSettings(**({"port": 0, "issuer": (issuer,)} | settings)),
        now=lambda: datetime.now(UTC),
        confirm=order_of,
        wake_words=lambda: woken.append("words"),
        wake_delivery=lambda: woken.append("delivery"),
        sources=lambda: sources,
        troubles=troubles,
        version="0.0-test",
        config="c0ffee",
        model="abc123",
    )
    server = WebServer(build(gateway), gateway)
    job = asyncio.create_task(server.serve())
    try:
        async with asyncio.timeout(20):
            port = await server.started_on
        url = f"http://127.0.0.1:{port}"
        async with httpx2.AsyncClient(base_url=url, timeout=20) as client:
            edge = Edge(client, gateway, server, url, woken, sources, job)
            yield edge
    finally:
        server.stop()
        async with asyncio.timeout(20):
            await asyncio.wait([job])
        await kept.close()
    if not edge.forgive:
        job.result()


class FullStore:
    """A store whose writes find no room, until `room` is set."""

    def __init__(self, inner: Store, errors: Sequence[Exception]) -> None:
        self._inner, self._errors = inner, list(errors)

    async def write(self, step: Callable[[Tx], Any]) -> Any:
        if self._errors:
            raise self._errors.pop(0)
        return await self._inner.write(step)

    async def read(self, look: Callable[[Tx], Any]) -> Any:
        return await self._inner.read(look)

    async def close(self) -> None:
        await self._inner.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
