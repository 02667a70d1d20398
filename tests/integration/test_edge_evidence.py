"""An order's capsule and evidence over the API: whoever may see the order, and nobody else."""

from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import update

from gateway.core import capsule as capsules
from gateway.core.asset import Asset, Plant, Site
from gateway.core.capsule import Terms
from gateway.core.episode import Decision, Episode, EpisodeState
from gateway.core.order import WorkOrder
from gateway.core.ports import Tx
from gateway.core.report import Extraction, QualityReport
from gateway.core.window import Window
from gateway.flow import seal
from gateway.runtime.api_settings import Issuer
from gateway.store.tables import blobs
from tests.diagnosis_signals import machine, window
from tests.integration.edge_rig import ISSUER, NOW, bearer, diagnosis, jwks, serving

PLANT = Plant(Site(id="SZ1"), (Asset(id="M-07", line="L2"), Asset(id="M-01", line="L1")))
TERMS = Terms(config="cfg", public_url="https://andon.example")
TOLD = Extraction(
    id="r1", intent="defect_report", fine_intent="equipment_fault", asset="M-07", failure_modes=("NOI",), masked="noisy"
)


def shown(asset: str) -> Window:
    return window(machine(seconds=0.1, seed=len(asset) + ord(asset[-1])), asset=asset)


def by_machine(tx: Tx, asset: str, version: int = 1) -> WorkOrder:
    seen, key = diagnosis(asset), f"AN-{asset}"
    episode = Episode(
        key, asset, "bearing", "bearing_outer_race", "machine", EpisodeState.OPEN, NOW, NOW + timedelta(seconds=version)
    )
    order = seal.of_episode(tx, episode, seen, shown(asset), None, PLANT, TERMS, version=version)
    kept = tx.put_order(order, "main", NOW) if version == 1 else tx.change_order(order, NOW)
    assert kept
    return order


def by_person(tx: Tx) -> WorkOrder:
    episode = Episode(
        "AN-R", "M-07", "report:NOI", "NOI", "report", EpisodeState.OPEN, NOW, NOW, decision=Decision.ORDER
    )
    report = QualityReport(id="r1", text="noisy", reported_at=NOW)
    order = seal.of_report(tx, episode, TOLD, report, PLANT, TERMS, ruled=False)
    assert tx.put_order(order, "main", NOW)
    return order


def limited(*lines: str) -> dict[str, str]:
    return bearer("read", lines=list(lines), site="SZ1")


def settings(folder: Path) -> dict[str, Any]:
    issuer = Issuer(issuer=ISSUER, audience="andon", jwks_file=str(jwks(folder)), lines_claim="lines")
    return {"anonymous": (), "issuer": (issuer,)}


async def test_the_capsule_and_its_evidence_are_for_who_may_see_the_order(tmp_path: Path) -> None:
    async with serving(tmp_path, **settings(tmp_path)) as edge:
        edge.gateway.plant = PLANT
        write = edge.gateway.store.write
        mine, theirs = await write(lambda tx: by_machine(tx, "M-07")), await write(lambda tx: by_machine(tx, "M-01"))
        get, own = edge.client.get, limited("L2")
        for headers, status in ((own, 200), (limited("*"), 200), (limited("L1"), 404), (limited(), 404), ({}, 401)):
            answer = await get(f"/api/v1/orders/{mine.key}/capsule", headers=headers)
            assert answer.status_code == status
            if status == 200:
                assert capsules.named(answer.content) == mine.capsule == answer.headers["etag"].strip('"')
                assert capsules.read(answer.content).order == mine.key
        for piece in mine.evidence:
            path = f"/api/v1/orders/{mine.key}/evidence/{piece.sha256}"
            answer = await get(path, headers=own)
            assert (answer.status_code, capsules.named(answer.content)) == (200, piece.sha256)
            assert answer.headers["content-type"].startswith(piece.media_type.partition(";")[0])
            assert (await get(path, headers=limited("L1"))).status_code == 404
            assert (await get(f"/api/v1/evidence/{piece.sha256}", headers=own)).status_code == 403
        foreign = theirs.evidence[0].sha256
        assert (await get(f"/api/v1/orders/{mine.key}/evidence/{foreign}", headers=own)).status_code == 404
        assert (await get(f"/api/v1/orders/{theirs.key}/evidence/{foreign}", headers=own)).status_code == 404
        assert (await get(f"/api/v1/orders/{mine.key}/evidence/{mine.capsule}", headers=own)).status_code == 200


async def test_every_version_has_its_capsule(tmp_path: Path) -> None:
    async with serving(tmp_path) as edge:
        write = edge.gateway.store.write
        first = await write(lambda tx: by_machine(tx, "M-07"))
        second = await write(lambda tx: by_machine(tx, "M-07", 2))
        path = f"/api/v1/orders/{first.key}/capsule"
        assert first.capsule != second.capsule
        for query, status, order in (("", 200, second), ("?version=1", 200, first), ("?version=2", 200, second)):
            answer = await edge.client.get(path + query)
            assert (answer.status_code, capsules.named(answer.content)) == (status, order.capsule)
        for query, status in (("?version=3", 404), ("?version=0", 400), ("?version=x", 400)):
            assert (await edge.client.get(path + query)).status_code == status
        old = f"/api/v1/orders/{first.key}/evidence/{first.capsule}"
        assert (await edge.client.get(old)).status_code == 200


async def test_the_plant_that_a_report_was_read_with_is_not_for_one_line(tmp_path: Path) -> None:
    async with serving(tmp_path, **settings(tmp_path)) as edge:
        edge.gateway.plant = PLANT
        order = await edge.gateway.store.write(by_person)
        document = (await edge.client.get(f"/api/v1/orders/{order.key}/capsule", headers=limited("L2"))).content
        told = capsules.read(document).told
        assert told is not None
        path = f"/api/v1/orders/{order.key}/evidence/{told.plant.sha256}"
        assert (await edge.client.get(path, headers=limited("L2"))).status_code == 404
        assert (await edge.client.get(path, headers=limited("*"))).status_code == 200


async def test_bytes_that_are_not_what_their_name_says_are_not_given_out(tmp_path: Path) -> None:
    async with serving(tmp_path) as edge:
        order = await edge.gateway.store.write(lambda tx: by_machine(tx, "M-07"))
        sha256 = order.evidence[0].sha256

        def spoil(tx: Any) -> None:
            tx._db.execute(update(blobs).where(blobs.c.sha256 == sha256).values(content=b"other"))

        await edge.gateway.store.write(spoil)
        for path in (f"/api/v1/orders/{order.key}/evidence/{sha256}", f"/api/v1/evidence/{sha256}"):
            answer = await edge.client.get(path)
            assert answer.status_code == 500 and "other bytes" in answer.json()["detail"]


async def test_the_page_of_an_order_shows_its_evidence_and_capsule(tmp_path: Path) -> None:
    async with serving(tmp_path) as edge:
        order = await edge.gateway.store.write(lambda tx: by_machine(tx, "M-07"))
        page = (await edge.client.get(f"/ui/orders/{order.key}")).text
        assert f"/api/v1/orders/{order.key}/evidence/{order.evidence[0].sha256}" in page
        assert f"/api/v1/orders/{order.key}/capsule?version=1" in page and str(order.capsule) in page
        assert f"Evidence {order.key}-v1" in page
