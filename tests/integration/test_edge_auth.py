"""Who may do what, over HTTP: bad tokens, missing scopes, keys that turn, webhooks that are not ours."""

import asyncio
import base64
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from joserfc import jws, jwt
from joserfc.jwk import ECKey, KeySet, RSAKey
from standardwebhooks import Webhook

from gateway.core.errors import Unreachable
from gateway.core.secret import SecretRef
from gateway.runtime.api_settings import Issuer
from gateway.web.app import litestar_app
from gateway.web.auth import PUBLIC, SCOPES, SIGNED
from gateway.web.keys import COOL_DOWN_S, Keys
from tests.integration.edge_rig import ISSUER, KEY, NOW, PRODUCTION, bearer, jwks, serving, token, work_order
from tests.integration.test_edge_reports import picture

ORDER = "/api/v1/production/order"
OTHER = ECKey.generate_key("P-256", parameters={"kid": "k1", "use": "sig"})
RSA = RSAKey.generate_key(2048, parameters={"kid": "k1"})
OLD_SECRET, NEW_SECRET = (f"whsec_{base64.b64encode(bytes([seed]) * 32).decode()}" for seed in (1, 2))


def part(value: dict[str, Any] | bytes) -> str:
    content = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def forged(header: dict[str, Any], sign: Callable[[bytes], bytes]) -> str:
    claims = {"iss": ISSUER, "aud": "andon", "sub": "x", "exp": int(time.time()) + 600, "scope": "production:write"}
    head = f"{part({'typ': 'at+jwt'} | header)}.{part(claims)}"
    return f"{head}.{part(sign(head.encode()))}"


def unsigned() -> str:
    return forged({"alg": "none"}, lambda _: b"")


def confused() -> str:
    """Sign with the public key as if it were a shared secret."""
    public_key = KEY.as_pem(private=False)
    return forged({"alg": "HS256", "kid": "k1"}, lambda head: hmac.digest(public_key, head, "sha256"))


def mixed() -> str:
    """Put the claims of one token under the signature of another."""
    head, _, signature = token("read").split(".")
    return f"{head}.{token('production:write').split('.')[1]}.{signature}"


def critical() -> str:
    """Demand with a good signature that a header be understood that we do not know."""
    sign = jws.JWSRegistry.algorithms["ES256"].sign
    return forged({"alg": "ES256", "kid": "k1", "crit": ["moon"], "moon": 1}, lambda head: sign(head, KEY))


W = "production:write"
BAD_TOKENS: list[tuple[str, Callable[[], str]]] = [
    ("hardly anything", lambda: "-"),
    ("no token", lambda: "garbage"),
    ("three parts of nothing", lambda: "a.b.c"),
    ("not ASCII", lambda: "é.b.c"),
    ("unsigned", unsigned),
    ("public key as secret", confused),
    ("another key under our id", lambda: token(W, key=OTHER)),
    ("an unknown key id", lambda: token(W, header={"kid": "k9"})),
    ("expired", lambda: token(W, exp=int(time.time()) - 120)),
    ("no exp", lambda: token(W, exp=None)),
    ("exp as text", lambda: token(W, exp="tomorrow")),
    ("not yet valid", lambda: token(W, nbf=int(time.time()) + 300)),
    ("for somebody else", lambda: token(W, aud="payroll")),
    ("for nobody", lambda: token(W, aud=None)),
    ("another issuer", lambda: token(W, iss="https://evil.example")),
    ("no issuer", lambda: token(W, iss=None)),
    ("an id token", lambda: token(W, header={"typ": "JWT"})),
    ("no typ", lambda: token(W, header={"typ": None})),
    ("an unknown critical header", critical),
    ("cut", lambda: token(W)[:-4]),
    ("with another body", mixed),
    ("claims that are a list", lambda: jws.serialize_compact({"alg": "ES256", "typ": "at+jwt"}, b"[]", KEY)),
    ("very long", lambda: token(W, padding="x" * 9000)),
]


async def test_every_bad_token_is_a_401_and_stores_nothing(tmp_path: Path) -> None:
    async with serving(tmp_path) as edge:
        for case, make in BAD_TOKENS:
            headers = {"Authorization": f"Bearer {make()}".encode()}
            answer = await edge.client.post(ORDER, json=PRODUCTION, headers=headers)
            assert answer.status_code == 401, case
            assert answer.headers["content-type"] == "application/problem+json", case
            assert answer.headers["www-authenticate"].startswith("Bearer "), case
            assert 'error="invalid_token"' in answer.headers["www-authenticate"], case
        assert await edge.written() == (0, 0, 0)


async def test_the_right_token_within_the_leeway_is_taken(tmp_path: Path) -> None:
    async with serving(tmp_path) as edge:
        late = bearer("production:write", exp=int(datetime.now(UTC).timestamp()) - 20)
        listed = bearer("production:write", aud=["other", "andon"])
        assert (await edge.client.post(ORDER, json=PRODUCTION, headers=late)).status_code == 202
        assert (await edge.client.post(ORDER, json=PRODUCTION, headers=listed)).status_code == 202


async def test_odd_authorization_headers_are_refused(tmp_path: Path) -> None:
    async with serving(tmp_path) as edge:
        good = f"Bearer {token('production:write')}"
        cases: list[list[tuple[str, str]]] = [
            [("Authorization", "Basic YTpi")],
            [("Authorization", "Bearer")],
            [("Authorization", good), ("Authorization", good)],
            [("Authorization", token("production:write"))],
        ]
        for headers in cases:
            assert (await edge.client.post(ORDER, json=PRODUCTION, headers=headers)).status_code == 401


async def test_a_production_order_always_needs_a_token_with_its_scope(tmp_path: Path) -> None:
    async with serving(tmp_path) as edge:
        nobody = await edge.client.post(ORDER, json=PRODUCTION)
        reader = await edge.client.post(ORDER, json=PRODUCTION, headers=bearer("read"))
        assert nobody.status_code == 401
        assert 'scope="production:write"' in nobody.headers["www-authenticate"]
        assert reader.status_code == 403
        assert 'error="insufficient_scope"' in reader.headers["www-authenticate"]
        assert await edge.written() == (0, 0, 0)


async def test_without_anonymous_scopes_only_health_and_documentation_are_open(tmp_path: Path) -> None:
    async with serving(tmp_path, anonymous=()) as edge:
        app = litestar_app(edge.gateway)
        for route in app.routes:
            for handler in getattr(route, "route_handlers", ()):
                for method in handler.http_methods - {"OPTIONS"}:
                    path = route.path_format.replace(":str}", "}").replace("{", "").replace("}", "")
                    answer = await edge.client.request(method, path)
                    wanted = handler.opt["scope"]
                    open_to_all = wanted == PUBLIC
                    assert (answer.status_code == 401) == (not open_to_all), (method, path, wanted)


async def test_every_route_names_its_scope_and_each_token_opens_only_its_own(tmp_path: Path) -> None:
    async with serving(tmp_path, anonymous=()) as edge:
        for route in litestar_app(edge.gateway).routes:
            for handler in getattr(route, "route_handlers", ()):
                if handler.http_methods == {"OPTIONS"}:
                    continue
                wanted = handler.opt.get("scope")
                assert wanted in SCOPES, f"{route.path} has no rule"
                if wanted in {PUBLIC, SIGNED}:
                    continue
                for scope in ("read", "reports:write", "review:write", "production:write"):
                    method = next(iter(handler.http_methods))
                    path = route.path_format.replace(":str}", "}").replace("{", "").replace("}", "")
                    if handler.opt.get("stream"):
                        continue
                    answer = await edge.client.request(method, path, headers=bearer(scope))
                    assert (answer.status_code == 403) == (scope != wanted), (method, path, scope, answer.status_code)


async def test_a_write_from_another_sites_page_is_refused(tmp_path: Path) -> None:
    async with serving(tmp_path) as edge:
        evil = await edge.client.post("/api/v1/reports", json={"text": "x"}, headers={"Origin": "https://evil.example"})
        own = await edge.client.post("/api/v1/reports", json={"text": "x"}, headers={"Origin": edge.url})
        assert (evil.status_code, own.status_code) == (403, 202)


async def test_only_our_host_names_are_answered_to(tmp_path: Path) -> None:
    async with serving(tmp_path, hosts=("127.0.0.1", "andon.example")) as edge:
        named = await edge.client.get("/api/v1/line", headers={"Host": "andon.example:8000"})
        rebound = await edge.client.get("/api/v1/line", headers={"Host": "evil.example"})
        assert (named.status_code, rebound.status_code) == (200, 421)
        assert rebound.headers["content-type"] == "application/problem+json"


async def test_on_a_loopback_address_a_rebound_name_is_refused_without_any_setting(tmp_path: Path) -> None:
    async with serving(tmp_path) as edge:
        for host, status in (("127.0.0.1:1", 200), ("localhost", 200), ("[::1]:80", 200), ("evil.example", 421)):
            assert (await edge.client.get("/api/v1/line", headers={"Host": host})).status_code == status, host
        assert (await edge.client.get("/health/live", headers={"Host": "probe"})).status_code == 200


@asynccontextmanager
async def key_server(answers: list[bytes]) -> AsyncIterator[tuple[str, list[float]]]:
    """Serve each answer once, the last one for ever; an empty one is a 500."""
    asked: list[float] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.append(time.monotonic())
        body = answers.pop(0) if len(answers) > 1 else answers[0]
        status = b"200 OK" if body else b"500 No"
        writer.write(b"HTTP/1.1 %b\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body))
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/jwks", asked


def public(*keys: ECKey | RSAKey) -> bytes:
    return json.dumps(KeySet(list(keys)).as_dict(private=False)).encode()


async def test_many_callers_with_an_unknown_key_ask_the_issuer_once() -> None:
    new = ECKey.generate_key("P-256", parameters={"kid": "k2"})
    clock = [0.0]
    async with key_server([public(KEY), public(KEY, new), b""]) as (url, asked):
        keys = Keys(Issuer(issuer=ISSUER, audience="andon", jwks_url=url), lambda: clock[0])
        await asyncio.gather(*(keys.of("k1") for _ in range(20)))
        assert len(asked) == 1
        await keys.of("k2")
        assert len(asked) == 1, "the cool-down was not kept"
        clock[0] += COOL_DOWN_S + 1
        held = await asyncio.gather(*(keys.of("k2") for _ in range(20)))
        assert len(asked) == 2
        assert {key.kid for key in held[0].keys} == {"k1", "k2"}
        clock[0] += 4000
        kept = await keys.of("k1")
        assert len(asked) == 3
        assert len(kept.keys) == 2, "old keys were lost while the issuer was down"


async def test_without_any_keys_the_answer_is_ask_again(tmp_path: Path) -> None:
    async with key_server([b""]) as (url, _):
        issuer = Issuer(issuer=ISSUER, audience="andon", jwks_url=url)
        with pytest.raises(Unreachable):
            await Keys(issuer).of("k1")
        async with serving(tmp_path, issuer=(issuer,)) as edge:
            answer = await edge.client.post(ORDER, json=PRODUCTION, headers=bearer("production:write"))
            assert answer.status_code == 503
            assert int(answer.headers["retry-after"]) >= 1


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b'{"keys": []}', b'{"keys": [{"kty": "oct", "k": "AA"}]}', b"\xff"]
)
async def test_a_broken_key_file_gives_no_keys(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "jwks.json"
    file.write_bytes(content)
    with pytest.raises(Unreachable):
        await Keys(Issuer(issuer=ISSUER, audience="andon", jwks_file=str(file))).of(None)


async def test_an_rsa_key_counts_only_where_its_algorithm_is_pinned(tmp_path: Path) -> None:
    issuer = Issuer(issuer=ISSUER, audience="andon", jwks_file=str(tmp_path / "rsa.json"), algorithms=("RS256",))
    (tmp_path / "rsa.json").write_bytes(public(RSA))
    signed = jwt.encode(
        {"alg": "RS256", "typ": "at+jwt", "kid": "k1"},
        {"iss": ISSUER, "aud": "andon", "exp": int(time.time()) + 60, "scope": ["production:write"]},
        RSA,
    )
    headers = {"Authorization": f"Bearer {signed}"}
    async with serving(tmp_path, issuer=(issuer,)) as edge:
        assert (await edge.client.post(ORDER, json=PRODUCTION, headers=headers)).status_code == 202
        assert (await edge.client.post(ORDER, json=PRODUCTION, headers=bearer("production:write"))).status_code == 401
    jwks(tmp_path)


def signed(body: bytes, *, name: str = "msg_1", secret: str = NEW_SECRET, ago: float = 0.0) -> dict[str, str]:
    at = datetime.fromtimestamp(time.time() - ago, UTC)
    return {
        "webhook-id": name,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign(name, at, body.decode()),
    }


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setenv("OLD_SECRET", OLD_SECRET)
    monkeypatch.setenv("NEW_SECRET", NEW_SECRET)
    both = (SecretRef(env="OLD_SECRET"), SecretRef(env="NEW_SECRET"))
    return {"erp_secrets": both, "report_secrets": both[1:]}


STATUS = json.dumps({"key": work_order("r1").key, "number": "WO-1", "status": "in progress"}).encode()
ERP = "/api/v1/webhooks/erp"


async def test_every_malformed_signature_is_a_401(tmp_path: Path, secrets: dict[str, Any]) -> None:
    good = signed(STATUS)
    value = good["webhook-signature"]
    cases: list[tuple[str, dict[str, str | bytes]]] = [
        ("no headers", {}),
        ("no signature", {name: said for name, said in good.items() if name != "webhook-signature"}),
        ("no comma", good | {"webhook-signature": value.replace(",", "")}),
        ("two commas", good | {"webhook-signature": value.replace(",", ",,")}),
        ("bad base64", good | {"webhook-signature": "v1,@@@"}),
        ("not ASCII", good | {"webhook-signature": "v1,é".encode()}),
        ("another version only", good | {"webhook-signature": value.replace("v1,", "v2,")}),
        ("doubled space", good | {"webhook-signature": f"v1,AAAA  {value[:-4]}"}),
        ("another secret", signed(STATUS, secret=f"whsec_{base64.b64encode(b'x' * 32).decode()}")),
        ("another id", good | {"webhook-id": "msg_2"}),
        ("an id with a dot", signed(STATUS, name="a.b")),
        ("an empty id", good | {"webhook-id": ""}),
        ("a long id", signed(STATUS, name="x" * 200)),
        ("too old", signed(STATUS, ago=400)),
        ("too new", signed(STATUS, ago=-400)),
        ("a time that is none", good | {"webhook-timestamp": "soon"}),
        ("a time as exponent", good | {"webhook-timestamp": "1e9"}),
        ("an infinite time", good | {"webhook-timestamp": "inf"}),
        ("a huge time", good | {"webhook-timestamp": "9" * 40}),
    ]
    async with serving(tmp_path, **secrets) as edge:
        for case, headers in cases:
            raw = {name: said if isinstance(said, bytes) else said.encode() for name, said in headers.items()}
            answer = await edge.client.post(ERP, content=STATUS, headers=raw)
            assert answer.status_code == 401, case
            assert answer.headers["content-type"] == "application/problem+json", case
        cut = await edge.client.post(ERP, content=STATUS[:-1], headers=good)
        binary = await edge.client.post(ERP, content=b"\xff\xfe", headers=good)
        assert cut.status_code == binary.status_code == 401
        assert (await edge.written())[2] == 0


@pytest.mark.parametrize("body", [b"{", b"[]", b"{}", STATUS.replace(b'"in progress"', b"7")])
async def test_what_is_signed_well_and_no_status_is_a_400(tmp_path: Path, secrets: dict[str, Any], body: bytes) -> None:
    at = datetime.now(UTC)
    stamp = str(int(at.timestamp()))
    mac = hmac.digest(base64.b64decode(NEW_SECRET.removeprefix("whsec_")), f"m.{stamp}.".encode() + body, "sha256")
    headers = {
        "webhook-id": "m",
        "webhook-timestamp": stamp,
        "webhook-signature": f"v1,{base64.b64encode(mac).decode()}",
    }
    async with serving(tmp_path, **secrets) as edge:
        answer = await edge.client.post(ERP, content=body, headers=headers)
        assert answer.status_code == 400, answer.text
        assert answer.headers["content-type"] == "application/problem+json"


async def test_without_secrets_no_webhook_is_taken(tmp_path: Path) -> None:
    async with serving(tmp_path) as edge:
        assert (await edge.client.post(ERP, content=STATUS, headers=signed(STATUS))).status_code == 401


async def test_a_status_is_applied_once_with_either_secret(tmp_path: Path, secrets: dict[str, Any]) -> None:
    async with serving(tmp_path, **secrets) as edge:
        order = work_order("r1")
        await edge.gateway.store.write(lambda tx: tx.put_order(order, "main", NOW))
        first = await edge.client.post(ERP, content=STATUS, headers=signed(STATUS, secret=OLD_SECRET))
        again = await edge.client.post(ERP, content=STATUS, headers=signed(STATUS))
        other = STATUS.replace(b"in progress", b"closed")
        reused = await edge.client.post(ERP, content=other, headers=signed(other))
        wrapped = json.dumps({"type": "order.status", "timestamp": "x", "data": json.loads(other)}).encode()
        closed = await edge.client.post(ERP, content=wrapped, headers=signed(wrapped, name="msg_2"))
        assert (first.status_code, again.status_code, reused.status_code) == (202, 202, 409)
        assert (first.json()["applied"], again.json()["applied"], closed.json()["applied"]) == (True, False, True)
        shown = (await edge.client.get(f"/api/v1/orders/{order.key}")).json()
        assert shown["erp_status"] == "closed"
        trail = await edge.gateway.store.read(lambda tx: [line.event for line in tx.audit()])
        assert trail.count("order.status") == 2


async def test_a_status_of_no_order_of_ours_stores_nothing_and_may_come_again(
    tmp_path: Path, secrets: dict[str, Any]
) -> None:
    async with serving(tmp_path, **secrets) as edge:
        early = await edge.client.post(ERP, content=STATUS, headers=signed(STATUS))
        faulty = await edge.client.post(ERP, content=b"{}", headers=signed(b"{}", name="m3"))
        assert early.status_code == 404
        assert {fault["field"] for fault in faulty.json()["errors"]} == {"key", "number", "status"}
        await edge.gateway.store.write(lambda tx: tx.put_order(work_order("r1"), "main", NOW))
        later = await edge.client.post(ERP, content=STATUS, headers=signed(STATUS))
        assert later.json()["applied"] is True


async def test_a_signed_report_is_taken_once(tmp_path: Path, secrets: dict[str, Any]) -> None:
    body = json.dumps({"text": "conveyor 4 makes a grinding noise"}).encode()
    async with serving(tmp_path, **secrets) as edge:
        answers = [
            await edge.client.post("/api/v1/webhooks/reports", content=body, headers=signed(body)) for _ in range(2)
        ]
        old = await edge.client.post("/api/v1/webhooks/reports", content=body, headers=signed(body, secret=OLD_SECRET))
        assert [answer.status_code for answer in answers] == [202, 202]
        assert answers[0].content == answers[1].content
        assert old.status_code == 401
        pictured = json.dumps({"text": "burr", "photo": {"base64": base64.b64encode(picture()).decode()}}).encode()
        answer = await edge.client.post(
            "/api/v1/webhooks/reports", content=pictured, headers=signed(pictured, name="m9")
        )
        shown = (await edge.client.get(answer.headers["location"])).json()
        assert shown["report"]["photo"] is not None and shown["report"]["channel"] == "webhook"
        assert (await edge.written())[0] == 2
        assert edge.woken == ["words", "words"]
