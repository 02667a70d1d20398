"""Orders sent again and taken back over the API and on the page: scope, reach, once, and what is said."""

from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from gateway.core.asset import Asset, Plant, Site
from gateway.core.delivery import Capabilities, DeliveryState, Idempotency, StatusUpdate
from gateway.core.order import WorkOrder
from gateway.core.ports import Tx
from gateway.flow.settle import delivered, parked, refused
from gateway.flow.takes_back import why_not
from gateway.runtime.api_settings import Issuer
from tests.integration.edge_rig import ISSUER, NOW, Edge, bearer, jwks, serving, work_order

PLANT = Plant(Site(id="SZ1"), (Asset(id="M-07", line="L2"), Asset(id="M-01", line="L1")))
MINE, THEIRS = work_order("mine"), work_order("theirs", "M-01")
LEASE = timedelta(seconds=30)


def of_line(scope: str = "orders:write", line: str = "L2", **claims: Any) -> dict[str, str]:
    return bearer(scope, lines=[line], site="SZ1", **claims)


def api(folder: Path, **more: Any) -> dict[str, Any]:
    issuer = Issuer(
        issuer=ISSUER, audience="andon", jwks_file=str(jwks(folder)), lines_claim="lines", site_claim="site"
    )
    return {"anonymous": (), "issuer": (issuer,), **more}


def put_parked(tx: Tx, order: WorkOrder, reason: str = "unknown equipment M-07") -> None:
    assert tx.put_order(order, "main", NOW)
    [claimed] = [one for one in tx.claim("main", NOW, LEASE, 9) if one.order.key == order.key]
    assert tx.settle(claimed.delivery, parked(claimed.delivery, reason, NOW).delivery)


def put_delivered(tx: Tx, order: WorkOrder) -> None:
    assert tx.put_order(order, "main", NOW)
    [claimed] = [one for one in tx.claim("main", NOW, LEASE, 9) if one.order.key == order.key]
    assert tx.settle(claimed.delivery, delivered(claimed.delivery, "WO-7", NOW).delivery)


def put_behind(tx: Tx, order: WorkOrder) -> None:
    """Deliver an order, grow it, and have the ERP refuse the change."""
    put_delivered(tx, order)
    assert tx.change_order(msgspec.structs.replace(order, version=2, priority=1), NOW)
    [claimed] = [one for one in tx.claim("main", NOW, LEASE, 9) if one.order.key == order.key]
    assert tx.settle(claimed.delivery, refused(claimed.delivery, "work has begun", NOW).delivery)


async def trail(edge: Edge, event: str) -> list[tuple[str, str]]:
    lines = await edge.gateway.store.read(lambda tx: list(tx.audit()))
    return [(line.subject, line.detail) for line in lines if line.event == event]


async def post(edge: Edge, order: WorkOrder, act: str, headers: dict[str, str], body: Any = None) -> Any:
    return await edge.client.post(f"/api/v1/orders/{order.key}/{act}", json=body, headers=headers)


async def test_a_parked_order_is_sent_again_and_the_trail_says_by_whom(tmp_path: Path) -> None:
    async with serving(tmp_path, **api(tmp_path)) as edge:
        edge.gateway.plant = PLANT
        await edge.gateway.store.write(lambda tx: put_parked(tx, MINE))
        done = await post(edge, MINE, "redeliver", of_line(sub="planner-3"))
        assert done.status_code == 200, done.text
        assert done.json() == {
            "key": MINE.key, "state": "WAITING", "task": "create", "version": 1, "sent": None, "erp_number": None,
            "reason": "",
        }  # fmt: skip
        assert edge.woken == ["delivery"]
        again = await post(edge, MINE, "redeliver", of_line(sub="planner-3"))
        assert (again.status_code, again.json()["state"]) == (200, "WAITING"), "it waits already"
        assert await trail(edge, "order.redelivered") == [(MINE.key, "planner-3")], "once"


async def test_a_change_that_was_refused_is_tried_again_and_what_the_erp_has_is_left_alone(tmp_path: Path) -> None:
    async with serving(tmp_path, **api(tmp_path)) as edge:
        edge.gateway.plant = PLANT
        other = work_order("other")
        await edge.gateway.store.write(lambda tx: (put_behind(tx, MINE), put_delivered(tx, other)))
        done = (await post(edge, MINE, "redeliver", of_line())).json()
        assert (done["state"], done["task"], done["version"], done["sent"]) == ("WAITING", "amend", 2, 1)
        nothing = await post(edge, other, "redeliver", of_line())
        assert nothing.status_code == 409 and "nothing to send again" in nothing.json()["detail"]


async def test_an_order_is_taken_back_and_what_follows_is_said(tmp_path: Path) -> None:
    async with serving(tmp_path, **api(tmp_path)) as edge:
        edge.gateway.plant = PLANT
        there, over = work_order("there"), work_order("over")

        def fill(tx: Tx) -> None:
            put_delivered(tx, there)
            put_delivered(tx, over)
            tx.put_status(StatusUpdate(key=over.key, number="WO-7", status="Closed", state="done"), NOW)
            assert tx.put_order(MINE, "main", NOW)

        await edge.gateway.store.write(fill)
        why = {"reason": "the sensor was loose"}
        fresh = (await post(edge, MINE, "cancel", of_line(sub="planner-3"), why)).json()
        assert (fresh["state"], fresh["task"], fresh["reason"]) == ("WITHDRAWN", "", "the sensor was loose")
        sent = (await post(edge, there, "cancel", of_line(), why)).json()
        assert (sent["state"], sent["task"], sent["erp_number"]) == ("WAITING", "cancel", "WO-7")
        ended = await post(edge, over, "cancel", of_line(), why)
        assert ended.status_code == 422 and "come to its end" in ended.json()["detail"]
        assert (MINE.key, "planner-3: the sensor was loose") in await trail(edge, "order.taken_back")
        for body, status in (({}, 400), ({"reason": ""}, 400), ({"reason": " \n "}, 422), ({**why, "x": 1}, 400)):
            assert (await post(edge, there, "cancel", of_line(), body)).status_code == status, body


async def test_an_erp_that_takes_no_order_back_is_named_before_anything_is_begun(tmp_path: Path) -> None:
    async with serving(tmp_path, **api(tmp_path)) as edge:
        edge.gateway.plant = PLANT
        edge.gateway.takes_nothing_back = partial(why_not, known="main", can=Capabilities(idempotency=Idempotency.NONE))
        fresh = work_order("fresh")
        await edge.gateway.store.write(lambda tx: (put_delivered(tx, MINE), tx.put_order(fresh, "main", NOW)))
        no = await post(edge, MINE, "cancel", of_line(), {"reason": "the sensor was loose"})
        assert no.status_code == 422 and "takes no order back" in no.json()["detail"]
        assert await trail(edge, "order.taken_back") == []
        dropped = await post(edge, fresh, "cancel", of_line(), {"reason": "the sensor was loose"})
        assert (dropped.status_code, dropped.json()["state"]) == (200, "WITHDRAWN")


async def test_under_one_idempotency_key_a_withdrawal_is_asked_for_once(tmp_path: Path) -> None:
    async with serving(tmp_path, **api(tmp_path)) as edge:
        edge.gateway.plant = PLANT
        await edge.gateway.store.write(lambda tx: put_delivered(tx, MINE))
        headers = {**of_line(), "Idempotency-Key": "take-back-0001"}
        first = await post(edge, MINE, "cancel", headers, {"reason": "doubled"})
        second = await post(edge, MINE, "cancel", headers, {"reason": "doubled"})
        assert (first.status_code, second.status_code) == (200, 200)
        assert second.headers["idempotent-replayed"] == "true" and second.json() == first.json()
        other = await post(edge, MINE, "cancel", headers, {"reason": "something else"})
        assert other.status_code == 422
        assert len(await trail(edge, "order.taken_back")) == 1


async def test_only_the_scope_opens_and_the_order_of_another_line_does_not_exist(tmp_path: Path) -> None:
    async with serving(tmp_path, **api(tmp_path)) as edge:
        edge.gateway.plant = PLANT
        await edge.gateway.store.write(lambda tx: (put_parked(tx, MINE), put_parked(tx, THEIRS)))
        before = await edge.written()
        for act, body in (("redeliver", None), ("cancel", {"reason": "no"})):
            cases = ((MINE, {}, 401), (MINE, of_line("read"), 403), (MINE, of_line("review:write"), 403))
            for order, headers, status in (*cases, (THEIRS, of_line(), 404), (work_order("none"), of_line(), 404)):
                answer = await post(edge, order, act, headers, body)
                assert answer.status_code == status, (act, order.asset, status)
        assert await edge.written() == before
        states = [(await edge.gateway.store.read(lambda tx, key=key: tx.order(key))) for key in (MINE.key, THEIRS.key)]
        assert [held.delivery.state for held in states if held] == [DeliveryState.PARKED] * 2


async def test_the_page_offers_what_the_scope_allows_and_the_order_still_admits(tmp_path: Path) -> None:
    back, again = 'value="cancel"', 'value="redeliver"'
    for anonymous in (("read",), ("read", "orders:write")):
        folder = tmp_path / str(len(anonymous))
        folder.mkdir()
        async with serving(folder, anonymous=anonymous) as edge:
            gone = work_order("gone")

            def fill(tx: Tx, gone: WorkOrder = gone) -> None:
                put_behind(tx, MINE)
                put_parked(tx, THEIRS)
                tx.put_order(gone, "main", NOW)
                tx.withdraw_order(gone.key, "the sensor was loose", NOW)

            await edge.gateway.store.write(fill)
            pages = [(await edge.client.get(f"/ui/orders/{one.key}")).text for one in (MINE, THEIRS, gone)]
            opened = len(anonymous) > 1
            assert [(back in page, again in page) for page in pages] == [
                (opened, opened),
                (opened, opened),
                (False,) * 2,
            ]
            assert "not changed: work has begun" in pages[0] and "v2" in pages[0] and "in the ERP" in pages[0]
            assert "withdrawn" in pages[2] and "the sensor was loose" in pages[2]
            edge.gateway.takes_nothing_back = lambda name: f"{name} takes no order back"
            page = (await edge.client.get(f"/ui/orders/{MINE.key}")).text
            assert (back in page, again in page) == (False, opened)
            listed = (await edge.client.get("/ui/orders")).text
            assert "s-withdrawn" in listed
            chinese = await edge.client.get(f"/ui/orders/{gone.key}", headers={"Accept-Language": "zh"})
            assert "已撤回" in chinese.text


async def test_the_metrics_count_orders_by_state(tmp_path: Path) -> None:
    async with serving(tmp_path) as edge:
        other = work_order("other")

        def fill(tx: Tx) -> None:
            put_parked(tx, MINE)
            put_delivered(tx, THEIRS)
            tx.put_order(other, "main", NOW)
            tx.withdraw_order(other.key, "no", NOW)

        await edge.gateway.store.write(fill)
        told = (await edge.client.get("/metrics")).text
        for state, count in (("PARKED", 1), ("DELIVERED", 1), ("WITHDRAWN", 1), ("WAITING", 0)):
            assert f'andon_orders{{state="{state}"}} {count}.0' in told
