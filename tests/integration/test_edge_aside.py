"""What was set aside, over the API: every kind, the scope, the lines of a token, once under a key."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gateway.core.ports import Tx
from gateway.core.report import Extraction, QualityReport
from gateway.flow.settle import parked
from tests.integration.edge_rig import NOW, Edge, bearer, serving, work_order
from tests.integration.test_edge_orders import MINE, PLANT, THEIRS, api, of_line, trail
from tests.set_aside import ALL, BEHIND, LEASE, PARKED, claimed, fill_all, put_aside

URL = "/api/v1/dlq"
EVERY = bearer("read dlq:write", lines="*", site="SZ1", sub="it-2")


async def names(edge: Edge, headers: dict[str, str], **query: Any) -> set[str]:
    answer = await edge.client.get(URL, params=query, headers=headers)
    assert answer.status_code == 200, answer.text
    return {row["name"] for row in answer.json()["items"]}


async def post(edge: Edge, act: str, body: Any, headers: dict[str, str] = EVERY) -> Any:
    return await edge.client.post(f"{URL}/{act}", json=body, headers=headers)


async def filled(edge: Edge) -> None:
    edge.gateway.plant, edge.gateway.produce_to = PLANT, "erp.press"
    await edge.gateway.store.write(fill_all)
    await edge.gateway.store.write(put_aside)


async def test_everything_is_listed_shown_and_put_back_under_its_name(tmp_path: Path) -> None:
    async with serving(tmp_path, **api(tmp_path)) as edge:
        await filled(edge)
        assert await names(edge, EVERY) == ALL
        assert await names(edge, EVERY, kind="event") == {"event:mes/evt_1", "event:mes/evt_2"}
        few = (await edge.client.get(URL, params={"limit": 2}, headers=EVERY)).json()
        assert (len(few["items"]), few["more"]) == (2, True)
        for name in sorted(ALL):
            shown = await edge.client.get(f"{URL}/{name}", headers=EVERY)
            assert (shown.status_code, shown.json()["why"]["name"]) == (200, name), shown.text
            assert shown.json()["thing"] and "张伟" not in shown.text
        for name in sorted(ALL):
            done = await post(edge, "retry", {"name": name})
            assert done.status_code == 200 and done.json()["told"], done.text
        assert await names(edge, EVERY) == set()
        assert {"delivery", "words"} <= set(edge.woken)
        assert await trail(edge, "order.redelivered") == [(BEHIND.key, "it-2"), (PARKED.key, "it-2")]


async def test_what_is_given_up_says_why_and_an_order_never_is(tmp_path: Path) -> None:
    async with serving(tmp_path, **api(tmp_path)) as edge:
        await filled(edge)
        why = "the MES has it by hand"
        for name in ("event:mes/evt_1", "batch:1", "report:r-failed", "production:PO-1"):
            assert (await post(edge, "drop", {"name": name, "reason": why})).status_code == 200, name
        assert await names(edge, EVERY) == ALL - {"event:mes/evt_1", "batch:1", "report:r-failed", "production:PO-1"}
        assert await trail(edge, "events.dropped") == [("evt_1", f"mes, it-2: {why}")]
        for name, said in ((f"order:{PARKED.key}", "withdraws it"), (f"change:{BEHIND.key}", "takes it back")):
            no = await post(edge, "drop", {"name": name, "reason": why})
            assert no.status_code == 422 and said in no.json()["detail"]
        for body in ({"name": "event:mes/evt_2"}, {"name": "event:mes/evt_2", "reason": ""}, {"reason": why}):
            assert (await post(edge, "drop", body)).status_code == 400, body
        assert (await post(edge, "drop", {"name": "event:mes/evt_2", "reason": "\t"})).status_code == 422


@pytest.mark.parametrize("name", ["order:AN0", "batch:" + "9" * 30, "event:mes", "event:mes/evt_9", "report:无"])
async def test_what_is_not_set_aside_is_not_there(tmp_path: Path, name: str) -> None:
    async with serving(tmp_path, **api(tmp_path)) as edge:
        await filled(edge)
        assert (await edge.client.get(f"{URL}/{name}", headers=EVERY)).status_code == 404
        assert (await post(edge, "retry", {"name": name})).status_code == 404
        assert (await post(edge, "drop", {"name": name, "reason": "no"})).status_code == 404


async def test_the_description_has_every_answer(tmp_path: Path) -> None:
    async with serving(tmp_path) as edge:
        paths = (await edge.client.get("/schema/openapi.json")).json()["paths"]
    wanted = {"": ("get", {"400", "403"}), "/{name}": ("get", {"404", "422"})}
    wanted |= dict.fromkeys(("/retry", "/drop"), ("post", {"400", "403", "404", "409", "422"}))
    for path, (method, codes) in wanted.items():
        assert codes <= set(paths[f"{URL}{path}"][method]["responses"]), path


async def test_a_name_that_names_nothing_is_refused(tmp_path: Path) -> None:
    async with serving(tmp_path, **api(tmp_path)) as edge:
        for name in ("nonsense", "order:", "colour:red", "张伟"):
            answer = await edge.client.get(f"{URL}/{name}", headers=EVERY)
            assert answer.status_code == 422 and "andon dlq list" in answer.json()["detail"], answer.text
        assert (await edge.client.get(URL, params={"kind": "colour"}, headers=EVERY)).status_code == 400
        assert (await edge.client.get(URL, params={"limit": -1}, headers=EVERY)).status_code == 400


def put_parked(tx: Tx) -> None:
    for order in (MINE, THEIRS, work_order("no asset", None)):
        assert tx.put_order(order, "main", NOW)
        one = claimed(tx, order)
        assert tx.settle(one.delivery, parked(one.delivery, "unknown equipment", NOW).delivery)
    for name, asset in (("r-mine", "M-07"), ("r-theirs", "M-01"), ("r-nobodys", None)):
        tx.take_report(QualityReport(id=name, text="x", reported_at=NOW), NOW)
        why = ("failed", "ValueError")
        tx.read_report(Extraction(id=name, intent=None, fine_intent=None, asset=asset, why=why, masked="x"), None)


async def test_a_token_for_some_lines_sees_and_touches_what_is_about_theirs(tmp_path: Path) -> None:
    async with serving(tmp_path, **api(tmp_path)) as edge:
        edge.gateway.plant = PLANT
        await edge.gateway.store.write(put_parked)
        read, write = of_line("read"), of_line("dlq:write")
        assert await names(edge, read) == {f"order:{MINE.key}", "report:r-mine"}
        assert await names(edge, EVERY) >= {f"order:{THEIRS.key}", "report:r-theirs", "report:r-nobodys"}
        before = await edge.written()
        for name in (f"order:{THEIRS.key}", "report:r-theirs", "report:r-nobodys"):
            there = await edge.client.get(f"{URL}/{name}", headers=read)
            nowhere = await edge.client.get(f"{URL}/order:AN0", headers=read)
            assert (there.status_code, nowhere.status_code) == (404, 404)
            assert there.json()["detail"].replace(name, "") == nowhere.json()["detail"].replace("order:AN0", "")
            assert (await post(edge, "retry", {"name": name}, write)).status_code == 404
            assert (await post(edge, "drop", {"name": name, "reason": "no"}, write)).status_code == 404
        assert await edge.written() == before
        assert (await edge.client.get(f"{URL}/report:r-mine", headers=read)).status_code == 200
        assert (await post(edge, "retry", {"name": "report:r-mine"}, write)).status_code == 200


async def test_only_its_scope_opens_and_nobody_without_a_token(tmp_path: Path) -> None:
    everything = ("read", "reports:write", "review:write", "orders:write", "line:push")
    async with serving(tmp_path, **api(tmp_path, anonymous=everything)) as edge:
        await filled(edge)
        for act, body in (("retry", {"name": "batch:1"}), ("drop", {"name": "batch:1", "reason": "no"})):
            assert (await post(edge, act, body, {})).status_code == 401
            assert (await post(edge, act, body, bearer("read orders:write", lines="*", site="SZ1"))).status_code == 403
        assert "batch:1" in await names(edge, {})


async def test_under_one_key_a_thing_is_put_back_once(tmp_path: Path) -> None:
    async with serving(tmp_path, **api(tmp_path)) as edge:
        await filled(edge)
        headers, body = {**EVERY, "Idempotency-Key": "put-back-0001"}, {"name": f"order:{PARKED.key}"}
        first = await post(edge, "retry", body, headers)
        await edge.gateway.store.write(_parked_again)
        second = await post(edge, "retry", body, headers)
        assert (first.status_code, second.status_code, second.json()) == (200, 200, first.json())
        assert second.headers["idempotent-replayed"] == "true"
        assert body["name"] in await names(edge, EVERY), "the second request did nothing"
        assert (await post(edge, "retry", {"name": "batch:1"}, headers)).status_code == 422


def _parked_again(tx: Tx) -> None:
    [one] = [one for one in tx.claim("main", datetime.now(UTC), LEASE, 99) if one.order.key == PARKED.key]
    assert tx.settle(one.delivery, parked(one.delivery, "once more", NOW).delivery)
