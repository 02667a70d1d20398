"""Every route with every role, on its own line and on another one: what no rule opens is closed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from litestar import Litestar, get
from litestar.handlers import HTTPRouteHandler

from gateway.core.asset import Asset, Plant, Site
from gateway.runtime.api_settings import Issuer
from gateway.web.app import litestar_app
from gateway.web.auth import ONE_ASSET, OWN, PUBLIC, REACHES, SCOPES, SIGNED, Guard
from gateway.web.problems import answer as answer_of
from tests.integration.edge_rig import ISSUER, NOW, bearer, jwks, serving, work_order

ROLES = sorted(SCOPES - {PUBLIC, SIGNED})
PLANT = Plant(Site(id="SZ1"), (Asset(id="M-07", line="L2"), Asset(id="M-01", line="L1"), Asset(id="M-00")))
OWN_LINE, FOREIGN = "M-07", "M-01"


def issuer(folder: Path) -> Issuer:
    return Issuer(issuer=ISSUER, audience="andon", jwks_file=str(jwks(folder)), lines_claim="lines", site_claim="site")


def routes(app: Litestar) -> Iterator[tuple[str, str, HTTPRouteHandler]]:
    for route in app.routes:
        for handler in getattr(route, "route_handlers", ()):
            for method in sorted(handler.http_methods - {"OPTIONS", "HEAD"}):
                yield method, route.path_format, handler


def limited(scope: str, lines: object = ("L2",), site: object = "SZ1") -> dict[str, str]:
    return bearer(scope, lines=lines, site=site)


def address(path: str, handler: HTTPRouteHandler, asset: str) -> tuple[str, dict[str, str]]:
    """Fill in a route's address; an asset goes into the path, or into the query where the route takes one."""
    filled = path.replace("{asset}", asset).replace("{", "").replace("}", "").replace(":str", "")
    asked = handler.opt.get("reach") == ONE_ASSET and "{asset" not in path
    return filled, {"asset": asset} if asked else {}


async def test_every_route_every_role_own_line_and_foreign_line(tmp_path: Path) -> None:
    async with serving(tmp_path, anonymous=(), issuer=(issuer(tmp_path),)) as edge:
        edge.gateway.plant = PLANT
        tried = 0
        for method, path, handler in routes(litestar_app(edge.gateway)):
            wanted, reach = handler.opt.get("scope"), handler.opt.get("reach")
            assert wanted in SCOPES, f"{method} {path} has no scope"
            if wanted in {PUBLIC, SIGNED}:
                continue
            assert reach in REACHES, f"{method} {path} does not say how far it reaches"
            for role in ROLES:
                for asset in (OWN_LINE, FOREIGN):
                    place, query = address(path.replace("{asset:str}", "{asset}"), handler, asset)
                    answer = await edge.client.request(method, place, params=query, headers=limited(role))
                    tried += 1
                    opened = role == wanted and (reach == OWN or (reach == ONE_ASSET and asset == OWN_LINE))
                    # A route that looks itself may refuse too, after it has read what is asked for.
                    closed = answer.status_code == 403
                    assert closed == (not opened) or (reach == OWN and closed), (method, path, role, asset)
        assert tried > 200


async def test_what_a_token_for_one_line_sees_is_of_that_line(tmp_path: Path) -> None:
    async with serving(tmp_path, anonymous=(), issuer=(issuer(tmp_path),)) as edge:
        edge.gateway.plant = PLANT
        mine, theirs, nobodys = work_order("a", OWN_LINE), work_order("b", FOREIGN), work_order("c", None)
        for one in (mine, theirs, nobodys):
            await edge.gateway.store.write(lambda tx, one=one: tx.put_order(one, "main", NOW))
        read = limited("read")
        seen = (await edge.client.get("/api/v1/line", headers=read)).json()
        assert [asset["asset"] for asset in seen["assets"]] == [OWN_LINE] and seen["sources"] == []
        statuses = [
            (await edge.client.get(f"/api/v1/orders/{one.key}", headers=read)).status_code
            for one in (mine, theirs, nobodys)
        ]
        assert statuses == [200, 404, 404]
        cases = [("?asset=M-07", 200), ("", 403), ("?asset=M-01", 403), ("?asset=M-00", 403), ("?asset=no", 403)]
        cases += [("?asset=M-07&asset=M-01", 403)]
        for query, status in cases:
            for name in ("orders", "episodes", "diagnoses"):
                assert (await edge.client.get(f"/api/v1/{name}{query}", headers=read)).status_code == status, query
        listed = (await edge.client.get("/api/v1/orders?asset=M-07", headers=read)).json()["items"]
        assert [row["order"]["key"] for row in listed] == [mine.key]


async def test_a_report_by_a_token_for_one_line_names_an_asset_of_it(tmp_path: Path) -> None:
    async with serving(tmp_path, anonymous=(), issuer=(issuer(tmp_path),)) as edge:
        edge.gateway.plant = PLANT
        headers = limited("reports:write")
        for body, status in (
            ({"text": "noisy", "asset": OWN_LINE}, 202),
            ({"text": "noisy", "asset_hint": OWN_LINE}, 202),
            ({"text": "noisy", "asset": FOREIGN}, 403),
            ({"text": "noisy"}, 403),
        ):
            assert (await edge.client.post("/api/v1/reports", json=body, headers=headers)).status_code == status, body
        assert (await edge.written())[0] == 2


@pytest.mark.parametrize(
    ("claims", "status"),
    [
        ({"lines": ["L2"], "site": "SZ1"}, 200),
        ({"lines": "L2 L1", "site": "*"}, 200),
        ({"lines": ["*"], "site": "SZ1"}, 200),
        ({"lines": [], "site": "SZ1"}, 403),
        ({"site": "SZ1"}, 403),
        ({"lines": 5, "site": "SZ1"}, 403),
        ({"lines": ["L1"], "site": "SZ1"}, 403),
        ({"lines": ["L2"], "site": "SZ2"}, 403),
        ({"lines": ["L2"]}, 401),
        ({"lines": ["L2"], "site": 7}, 401),
    ],
)
async def test_attributes_that_are_missing_or_odd_open_nothing(
    tmp_path: Path, claims: dict[str, Any], status: int
) -> None:
    async with serving(tmp_path, anonymous=(), issuer=(issuer(tmp_path),)) as edge:
        edge.gateway.plant = PLANT
        answer = await edge.client.get("/api/v1/orders?asset=M-07", headers=bearer("read", **claims))
        assert answer.status_code == status


async def test_a_route_without_a_rule_is_closed(tmp_path: Path) -> None:
    @get("/forgotten")
    async def forgotten() -> str:
        return "secret"

    @get("/half", opt={"scope": "read"})
    async def half() -> str:
        return "secret"

    async with serving(tmp_path, issuer=(issuer(tmp_path),)) as edge:
        app = Litestar([forgotten, half], middleware=[Guard(edge.gateway)], exception_handlers={Exception: answer_of})
        transport = httpx2.ASGITransport(app=app)  # type: ignore[arg-type]  # an ASGI application
        async with httpx2.AsyncClient(transport=transport, base_url="http://x") as asker:
            everything = bearer(" ".join(ROLES), lines="*", site="SZ1")
            statuses = [
                (await asker.get(path, headers=headers)).status_code
                for path in ("/forgotten", "/half")
                for headers in (everything, limited("read"))
            ]
        assert statuses == [403, 403, 200, 403]
