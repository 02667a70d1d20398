"""Webhooks that prove little, over HTTP: a hint leads to a question, and nothing that they say is believed."""

import base64
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from gateway.core.errors import Misconfigured
from gateway.core.ports import StoredOrder, Tx
from gateway.core.secret import SecretRef
from gateway.flow.settle import delivered
from gateway.runtime.api_settings import FrappeHook, OdooHook
from gateway.runtime.preflight import preflight
from gateway.runtime.settings import parse
from gateway.web.problems import Denied
from gateway.web.proofs import FrappeSigned, OdooSent
from tests.integration.edge_rig import NOW, Edge, serving, work_order

OLD, NEW = "old-" + "o" * 24, "new-" + "n" * 24
SIGNING = "whsec_" + base64.b64encode(b"k" * 32).decode()
NAMES = {"OLD_HOOK": OLD, "NEW_HOOK": NEW, "SIGNING_HOOK": SIGNING, "SHORT_HOOK": "p4ss", "ODD_HOOK": "a/b?" * 8}
BOTH = (SecretRef(env="OLD_HOOK"), SecretRef(env="NEW_HOOK"))
ORDER = work_order("r1")
ODOO, FRAPPE = "/api/v1/webhooks/odoo/", "/api/v1/webhooks/frappe"
CHANGE = {"_action": "Andon(#376)", "_id": 7, "_model": "maintenance.request", "id": 7, "stage_id": 3}
DATED = CHANGE | {"write_date": "2026-11-20 21:34:17.686351"}
DOCUMENT = {"doctype": "Asset Repair", "name": "7", "modified": "2026-11-20 21:34:17.686351", "status": "Completed"}


@pytest.fixture(autouse=True)
def _secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in NAMES.items():
        monkeypatch.setenv(name, value)


@asynccontextmanager
async def edge_with(folder: Path, *addresses: str, **api: Any) -> AsyncIterator[Edge]:
    """An edge that takes all kinds of webhooks, with one order that the ERP has as number 7."""
    hooks = {
        "odoo": OdooHook(secrets=BOTH, addresses=addresses or ("127.0.0.0/8",)),
        "frappe": FrappeHook(secrets=BOTH),
        "erp_secrets": (SecretRef(env="SIGNING_HOOK"),),
    }
    async with serving(folder, **(hooks | api)) as edge:

        def step(tx: Tx) -> None:
            if tx.put_order(ORDER, "main", NOW):
                [claimed] = tx.claim("main", NOW, timedelta(seconds=30), 1)
                tx.settle(claimed.delivery, delivered(claimed.delivery, "7", NOW).delivery)

        await edge.gateway.store.write(step)
        edge.gateway.wake_follow = lambda: edge.woken.append("follow")
        yield edge


async def held(edge: Edge) -> StoredOrder:
    found = await edge.gateway.store.read(lambda tx: tx.order(ORDER.key))
    assert found is not None
    return found


async def is_due(edge: Edge) -> bool:
    return bool(await edge.gateway.store.read(lambda tx: tx.followed("main", NOW, timedelta(days=9), 9)))


def signed(body: bytes, secret: str = NEW) -> dict[str, str]:
    mac = base64.b64encode(hmac.digest(secret.encode(), body, "sha256")).decode()
    return {"X-Frappe-Webhook-Signature": mac, "Content-Type": "application/json"}


def standard(body: bytes, name: str = "msg_1") -> dict[str, str]:
    at = datetime.now(UTC)
    return {
        "webhook-id": name,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(SIGNING).sign(name, at, body.decode()),
    }


async def frappe(edge: Edge, document: object, secret: str = NEW) -> httpx2.Response:
    body = json.dumps(document).encode()
    return await edge.client.post(FRAPPE, content=body, headers=signed(body, secret))


async def test_a_change_in_odoo_is_a_reason_to_ask_once_also_after_a_restart(tmp_path: Path) -> None:
    async with edge_with(tmp_path) as edge:
        first = await edge.client.post(ODOO + NEW, json=DATED)
        assert (first.status_code, first.json()) == (202, {"id": "7", "applied": True})
        assert await is_due(edge) and edge.woken == ["follow"]
        order = await held(edge)
        assert (order.erp_status, order.erp_state) == ("", "unknown")
        await edge.gateway.store.write(lambda tx: tx.asked(ORDER.key, NOW))
    async with edge_with(tmp_path) as edge:
        again = await edge.client.post(ODOO + OLD, json=DATED | {"stage_id": 1})
        assert (again.status_code, again.json()["applied"]) == (202, False)
        assert not await is_due(edge) and edge.woken == []
        later = await edge.client.post(ODOO + OLD, json=DATED | {"write_date": "2026-11-20 21:34:18"})
        assert later.json()["applied"] and await is_due(edge)


async def test_without_a_time_of_change_each_message_counts(tmp_path: Path) -> None:
    async with edge_with(tmp_path) as edge:
        for body in (CHANGE, CHANGE, CHANGE | {"write_date": False}):
            await edge.gateway.store.write(lambda tx: tx.asked(ORDER.key, NOW))
            assert (await edge.client.post(ODOO + NEW, json=body)).json()["applied"]
            assert await is_due(edge)


async def test_a_record_that_is_none_of_ours_is_taken_and_forgotten(tmp_path: Path) -> None:
    async with edge_with(tmp_path) as edge:
        before = await edge.written()
        for number in (8, 10**12):
            answer = await edge.client.post(ODOO + NEW, json=DATED | {"_id": number})
            assert (answer.status_code, answer.json()["applied"]) == (202, False)
        alert = await edge.client.post(ODOO + NEW, json=DATED | {"_model": "quality.alert"})
        assert alert.json() == {"id": "quality.alert,7", "applied": False}
        assert not await is_due(edge) and edge.woken == [] and await edge.written() == before


async def test_an_order_is_found_by_our_key_in_a_text_too(tmp_path: Path) -> None:
    async with edge_with(tmp_path) as edge:
        answer = await edge.client.post(ODOO + NEW, json=DATED | {"_id": 8, "name": f"[{ORDER.key}] Bearing"})
        assert answer.json()["applied"] and await is_due(edge)
        assert (await frappe(edge, {"name": ORDER.key})).json()["applied"]


async def test_a_wrong_secret_in_the_address_is_a_401_and_tells_nothing(tmp_path: Path) -> None:
    async with edge_with(tmp_path) as edge:
        for wrong in (NEW[:-1], NEW + "x", NEW.upper(), "x", "%FF%FE", "%ED%A0%80", "é" * 30, "a" * 4000):
            answer = await edge.client.post(ODOO + wrong, json=DATED)
            assert answer.status_code == 401, wrong
            assert answer.headers["content-type"] == "application/problem+json"
        assert (await edge.client.post(ODOO, json=DATED)).status_code in {404, 405}
        assert not await is_due(edge)


async def test_another_address_is_refused_whatever_it_knows(tmp_path: Path) -> None:
    async with edge_with(tmp_path, "192.0.2.7", "2001:db8::/32") as edge:
        statuses = [(await edge.client.post(ODOO + secret, json=DATED)).status_code for secret in (NEW, "wrong")]
        assert statuses == [403, 403] and not await is_due(edge)
        # This machine is believed when it says for whom it speaks: a proxy beside the gateway.
        for caller, status in (("192.0.2.7", 202), ("2001:db8::1", 202), ("192.0.2.8", 403), ("nobody", 403)):
            headers = {"X-Forwarded-For": caller}
            assert (await edge.client.post(ODOO + NEW, json=DATED, headers=headers)).status_code == status, caller


async def test_the_secret_in_the_address_stands_in_no_answer_no_log_and_no_metric(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async with edge_with(tmp_path, anonymous=("read",)) as edge:
        said = [
            await edge.client.request(method, ODOO + NEW + more, **body)
            for method, more, body in (
                ("POST", "", {"json": DATED}),
                ("POST", "", {"content": b"{"}),
                ("POST", "", {"json": {}}),
                ("POST", "", {"content": b"x" * 400_000}),
                ("POST", "/more", {"json": DATED}),
                ("POST", "?a=%00", {"json": DATED}),
                ("GET", "", {}),
                ("PUT", "", {"json": DATED}),
            )
        ]
        statuses = [answer.status_code for answer in said]
        assert statuses == [202, 400, 400, 413, 404, 400, 405, 405]
        await edge.gateway.store.close()
        edge.forgive = True
        broken = await edge.client.post(ODOO + NEW, json=DATED | {"write_date": "2026-12-01"})
        metrics = (await edge.client.get("/metrics")).text
        assert broken.status_code >= 500
    for text in (*(answer.text for answer in said), broken.text, metrics, "".join(capfd.readouterr())):
        assert NEW not in text
    for answer in (*said, broken):
        assert NEW not in str(answer.headers)


async def test_a_signed_document_of_frappe_is_only_a_reason_to_ask(tmp_path: Path) -> None:
    async with edge_with(tmp_path) as edge:
        assert (await frappe(edge, DOCUMENT, OLD)).json() == {"id": "7", "applied": True}
        assert await is_due(edge) and edge.woken == ["follow"]
        assert (await held(edge)).erp_status == ""
    async with edge_with(tmp_path) as edge:
        assert (await frappe(edge, DOCUMENT)).json()["applied"] is False
        assert (await frappe(edge, DOCUMENT | {"modified": "2026-11-20 21:34:19"})).json()["applied"]
        assert (await frappe(edge, {"name": "7"})).json()["applied"]


async def test_every_altered_or_malformed_signature_of_frappe_is_a_401(tmp_path: Path) -> None:
    body = json.dumps(DOCUMENT).encode()
    good = signed(body)["X-Frappe-Webhook-Signature"]
    cases: list[tuple[bytes, str | bytes]] = [
        (body[:-1] + b" ", good),
        (body + b"\n", good),
        (b"", good),
        (b"\xff\xfe", good),
        (body, ""),
        (body, good[:-2]),
        (body, good + "="),
        (body, good.swapcase()),
        (body, good[::-1]),
        (body, "@@@"),
        (body, "é".encode()),
        (body, base64.b64decode(good).hex()),
        (body, signed(body, "x" * 30)["X-Frappe-Webhook-Signature"]),
    ]
    async with edge_with(tmp_path) as edge:
        before = await edge.written()
        for content, given_mac in cases:
            value = given_mac if isinstance(given_mac, bytes) else given_mac.encode()
            headers = {b"X-Frappe-Webhook-Signature": value}
            answer = await edge.client.post(FRAPPE, content=content, headers=headers)
            assert answer.status_code == 401, (content, given_mac)
        assert (await edge.client.post(FRAPPE, content=body)).status_code == 401
        assert not await is_due(edge) and await edge.written() == before


async def test_what_is_proven_and_not_readable_is_a_400(tmp_path: Path) -> None:
    bodies = [b"{", b"[]", b"{}", b'{"name": 7}', b'{"name": "7\\u0000"}', b'{"name": "7", "x": ' + b"[" * 9000]
    odoo = [b"{", b"7", b'{"_id": "7", "_model": "m"}', b'{"_id": 7.5, "_model": "m"}', b'{"_id": 7}', b"\xff"]
    async with edge_with(tmp_path) as edge:
        for body in bodies:
            assert (await edge.client.post(FRAPPE, content=body, headers=signed(body))).status_code == 400, body
        for body in odoo:
            assert (await edge.client.post(ODOO + NEW, content=body)).status_code == 400, body
        odd = [b'{"name": "7", "x": "\xff\xfe"}', b'{"name": "7", "x": "\\ud800"}', b'{"name": "\\ud800"}']
        odd += [b'{"name": "7", "modified": "\\udfff"}', b'{"name": "7", "x": 1e999, "y": ' + b"9" * 6000 + b"}"]
        for body in odd:
            assert (await edge.client.post(FRAPPE, content=body, headers=signed(body))).status_code < 500, body


async def test_without_secrets_nobody_is_let_in(tmp_path: Path) -> None:
    body = json.dumps(DOCUMENT).encode()
    async with edge_with(tmp_path, odoo=OdooHook(), frappe=FrappeHook()) as edge:
        assert (await edge.client.post(ODOO + NEW, json=DATED)).status_code == 401
        assert (await edge.client.post(FRAPPE, content=body, headers=signed(body, ""))).status_code == 401


async def test_what_the_erp_signs_counts_only_where_it_is_said_to_sign(tmp_path: Path) -> None:
    body = json.dumps({"key": ORDER.key, "number": "7", "status": "Closed", "closing_code": "WORN"}).encode()
    async with edge_with(tmp_path) as edge:
        edge.gateway.erp_signs = False
        assert (await edge.client.post("/api/v1/webhooks/erp", content=body, headers=standard(body))).is_success
        assert (await held(edge)).erp_status == "" and await is_due(edge) and edge.woken == ["follow"]
        edge.gateway.erp_signs = True
        headers = standard(body, "msg_2")
        assert (await edge.client.post("/api/v1/webhooks/erp", content=body, headers=headers)).is_success
        order = await held(edge)
        assert (order.erp_state, order.closing_code) == ("done", "WORN")
    async with edge_with(tmp_path) as edge:
        again = await edge.client.post("/api/v1/webhooks/erp", content=body, headers=headers)
        assert again.json() == {"id": "msg_2", "applied": False}


@pytest.mark.parametrize("name", ["SHORT_HOOK", "ODD_HOOK"])
def test_a_secret_that_is_too_short_or_breaks_an_address_is_named_at_the_start(name: str) -> None:
    with pytest.raises(Misconfigured, match=name) as told:
        OdooHook(secrets=(SecretRef(env=name),), addresses=("10.1.0.5",)).live()
    assert NAMES[name] not in str(told.value)


def test_andon_check_names_the_secret_with_its_place() -> None:
    text = '[site]\nid = "SZ1"\n[api.frappe]\nsecrets = [{ env = "NEW_HOOK" }, { env = "SHORT_HOOK" }]\n'
    [fault] = preflight(parse(text))
    assert (fault.at, fault.what) == ("api.frappe.secrets", "the secret SHORT_HOOK is shorter than 24 characters")


def test_an_address_that_is_none_and_secrets_without_addresses_are_refused() -> None:
    for addresses in (("10.1.0.300",), ("erp.example",), ("10.1.0.5/16",), ()):
        with pytest.raises(ValueError, match=r"10\.1\.0|erp\.example|go together"):
            OdooHook(secrets=BOTH, addresses=addresses)


@given(st.text(), st.binary(max_size=64))
def test_nothing_that_is_sent_proves_itself_by_chance_or_raises_anything_else(said: str, content: bytes) -> None:
    for check in (
        lambda: FrappeSigned((OLD, NEW)).check(said, content),
        lambda: OdooSent((OLD, NEW), ("10.0.0.0/8",)).check(said, NEW),
        lambda: OdooSent((OLD, NEW), ("10.0.0.0/8",)).check("::ffff:10.1.2.3", said),
    ):
        with pytest.raises(Denied) as told:
            check()
        assert told.value.status in {401, 403}
