"""Roles: the issuer's word for what somebody is, ours for what that opens. Every route, every role, two lines."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.runtime.api_settings import ApiSettings, Issuer
from gateway.web.app import litestar_app
from gateway.web.auth import ONE_ASSET, OWN, PUBLIC, REACHES, SCOPES, SIGNED
from tests.integration.edge_rig import ISSUER, jwks, serving, token
from tests.integration.test_edge_reach import FOREIGN, OWN_LINE, PLANT, address, routes

DECLARED: dict[str, tuple[Any, ...]] = {
    "viewer": ("read",),
    "operator": ("read", "reports:write"),
    "planner": ("read", "reports:write", "review:write"),
    "camera": ("line:push",),
    "erp": ("read", "production:write"),
    "engineer": ("read", "line:write"),
    "nothing": (),
}


def issuer(folder: Path, claim: str = "realm_access.roles") -> Issuer:
    return Issuer(
        issuer=ISSUER,
        audience="andon",
        jwks_file=str(jwks(folder)),
        roles_claim=claim,
        lines_claim="lines",
        site_claim="site",
    )


def headers(**claims: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {token('', **{'lines': ['L2'], 'site': 'SZ1', **claims})}"}


def playing(*roles: str, **claims: Any) -> dict[str, str]:
    return headers(realm_access={"roles": list(roles)}, **claims)


async def test_every_route_every_role_own_line_and_foreign_line(tmp_path: Path) -> None:
    async with serving(tmp_path, anonymous=(), issuer=(issuer(tmp_path),), roles=DECLARED) as edge:
        edge.gateway.plant = PLANT
        tried = 0
        for method, path, handler in routes(litestar_app(edge.gateway)):
            wanted, reach = handler.opt.get("scope"), handler.opt.get("reach")
            assert wanted in SCOPES, f"{method} {path} has no scope"
            if wanted in {PUBLIC, SIGNED} or handler.opt.get("stream"):
                continue
            assert reach in REACHES, f"{method} {path} does not say how far it reaches"
            for role in (*DECLARED, "undeclared"):
                opens = wanted in DECLARED.get(role, ())
                for asset in (OWN_LINE, FOREIGN):
                    place, query = address(path.replace("{asset:str}", "{asset}"), handler, asset)
                    answer = await edge.client.request(method, place, params=query, headers=playing(role))
                    everywhere = await edge.client.request(
                        method, place, params=query, headers=playing(role, lines=["*"])
                    )
                    tried += 2
                    opened = opens and (reach == OWN or (reach == ONE_ASSET and asset == OWN_LINE))
                    closed = answer.status_code == 403
                    # A route that looks itself may refuse too, after it has read what is asked for.
                    assert closed == (not opened) or (reach == OWN and closed), (method, path, role, asset)
                    assert (everywhere.status_code == 403) == (not opens), (method, path, role)
        assert tried > 400


async def test_what_is_proven_by_a_signature_is_closed_to_every_token_and_to_nobody(tmp_path: Path) -> None:
    async with serving(tmp_path, anonymous=(), issuer=(issuer(tmp_path),), roles=DECLARED) as edge:
        before, tried = await edge.written(), 0
        for method, path, handler in routes(litestar_app(edge.gateway)):
            if handler.opt.get("scope") != SIGNED:
                continue
            place = path.replace("{secret:str}", "x" * 32)
            for who in ({}, playing(*DECLARED, lines=["*"])):
                answer = await edge.client.request(method, place, json={"data": {}}, headers=who)
                assert answer.status_code == 401, (method, path, answer.text)
                tried += 1
        assert tried >= 4
        assert await edge.written() == before


@pytest.mark.parametrize(
    ("claim", "claims", "status"),
    [
        ("realm_access.roles", {"realm_access": {"roles": ["viewer"]}}, 200),
        ("realm_access.roles", {"realm_access": {"roles": ["nobody", "viewer"]}}, 200),
        ("realm_access.roles", {"realm_access": {"roles": "viewer"}}, 200),
        ("realm_access.roles", {"realm_access.roles": ["viewer"]}, 200),
        ("https://andon.example/roles", {"https://andon.example/roles": ["viewer"]}, 200),
        ("roles", {"roles": ["viewer"]}, 200),
        ("roles", {"roles": ["Viewer"]}, 403),
        ("roles", {"roles": ["nobody"]}, 403),
        ("roles", {"roles": ["nothing"]}, 403),
        ("roles", {"roles": {"viewer": True}}, 403),
        ("roles", {"roles": [["viewer"]]}, 403),
        ("roles", {"roles": None}, 403),
        ("roles", {"realm_access": {"roles": ["viewer"]}}, 403),
        ("realm_access.roles", {"roles": ["viewer"]}, 403),
        ("realm_access.roles", {"realm_access": ["viewer"]}, 403),
        ("realm_access.roles", {"realm_access": "roles"}, 403),
        ("", {"roles": ["viewer"], "": ["viewer"]}, 403),
    ],
)
async def test_only_a_declared_role_in_the_named_claim_opens(
    tmp_path: Path, claim: str, claims: dict[str, Any], status: int
) -> None:
    async with serving(tmp_path, anonymous=(), issuer=(issuer(tmp_path, claim),), roles=DECLARED) as edge:
        edge.gateway.plant = PLANT
        answer = await edge.client.get("/api/v1/orders?asset=M-07", headers=headers(**claims))
        assert answer.status_code == status


async def test_scopes_and_roles_of_one_token_count_together(tmp_path: Path) -> None:
    async with serving(tmp_path, anonymous=(), issuer=(issuer(tmp_path),), roles=DECLARED) as edge:
        edge.gateway.plant = PLANT
        both = {
            "Authorization": "Bearer "
            + token("reports:write", realm_access={"roles": ["viewer"]}, lines=["L2"], site="SZ1")
        }
        told = await edge.client.post("/api/v1/reports", json={"text": "noisy", "asset": OWN_LINE}, headers=both)
        seen = await edge.client.get("/api/v1/orders?asset=M-07", headers=both)
        assert (told.status_code, seen.status_code) == (202, 200)


@pytest.mark.parametrize(
    "row", [{"roles": {"viewer": ["everything"]}}, {"roles": {"viewer": "read"}}, {"roles": {"": []}}]
)
def test_a_role_that_means_nothing_is_refused(row: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(row, ApiSettings)
