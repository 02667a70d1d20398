"""The HTTP edge's part of `andon.toml`: where it listens, whom it trusts, how much it takes."""

import re
from ipaddress import ip_network
from typing import Annotated, Literal

import msgspec

from gateway.core.errors import Misconfigured
from gateway.core.secret import SecretRef
from gateway.core.units import Duration, Size

Algorithm = Literal["RS256", "PS256", "ES256", "ES384", "Ed25519"]
Scope = Literal[
    "read", "reports:write", "review:write", "orders:write", "dlq:write", "line:push", "line:write", "production:write"
]
Role = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
OpenScope = Literal["read", "reports:write", "review:write", "orders:write", "line:push"]

_SHORTEST = 24
"""Characters of a secret that anybody may try."""
_IN_ADDRESS = re.compile(r"^[A-Za-z0-9_-]+$")

SAMPLE = """
[api]
host = "127.0.0.1"
port = 8000
anonymous = ["read", "reports:write"]
erp_secrets = [{ env = "ANDON_ERP_WEBHOOK_SECRET" }]

[[api.issuer]]
issuer = "https://login.example/realms/plant"
audience = "andon"
jwks_url = "https://login.example/realms/plant/protocol/openid-connect/certs"
algorithms = ["RS256"]
types = ["at+jwt", "JWT"]

[api.odoo]                         # an Odoo that tells of changes; api.frappe needs secrets alone
secrets = [{ env = "ANDON_ODOO_WEBHOOK_SECRET" }]
addresses = ["10.1.0.5"]
"""


class Issuer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An OAuth2 authorization server whose access tokens are taken (RFC 9068).

    `types` are the `typ` headers that count: Keycloak and Entra say "JWT". `scope_claim` holds the
    scopes as one string or a list. Instead of keys an issuer may have an `introspect_url` (RFC 7662), asked as
    `client_id` with `client_secret`: its tokens may then be opaque.

    `lines_claim` names the claim with the lines that a token is for ("*" for every one); a token without it is
    then for none. `site_claim` names the claim with the site. Without these names its tokens are for all.
    `roles_claim` names the claim with the roles, which open what `[api.roles]` says of them. A claim within a
    claim is named by dots: "realm_access.roles".
    """

    issuer: Annotated[str, msgspec.Meta(min_length=1)]
    audience: Annotated[str, msgspec.Meta(min_length=1)]
    jwks_url: Annotated[str, msgspec.Meta(pattern=r"^https?://")] | None = None
    jwks_file: str | None = None
    algorithms: Annotated[tuple[Algorithm, ...], msgspec.Meta(min_length=1)] = ("RS256", "ES256")
    types: tuple[str, ...] = ("at+jwt",)
    scope_claim: str = "scope"
    roles_claim: str = ""
    introspect_url: Annotated[str, msgspec.Meta(pattern=r"^https?://")] | None = None
    client_id: str = ""
    client_secret: SecretRef | None = None
    lines_claim: str = ""
    site_claim: str = ""

    def __post_init__(self) -> None:
        if sum(place is not None for place in (self.jwks_url, self.jwks_file, self.introspect_url)) != 1:
            raise ValueError("An issuer's keys come from jwks_url or from jwks_file, or it has introspect_url")
        if (self.introspect_url is None) != (self.client_secret is None) or bool(self.client_id) != bool(
            self.client_secret
        ):
            raise ValueError("introspect_url, client_id and client_secret go together")


class OdooHook(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An Odoo that calls /api/v1/webhooks/odoo/SECRET when a record changes.

    It signs nothing: `secrets` are those that may stand in the address (24 characters or more of letters, digits,
    - and _; several are live at once), `addresses` those that it calls from: 10.1.0.5, or all of 10.1.0.0/16.
    """

    secrets: tuple[SecretRef, ...] = ()
    addresses: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for address in self.addresses:
            ip_network(address)
        if bool(self.secrets) != bool(self.addresses):
            raise ValueError("secrets and addresses go together: Odoo signs nothing")

    def live(self) -> tuple[str, ...]:
        """Read the secrets. Raises `Misconfigured` for one that is too short, or that an address cannot hold."""
        found = _live(self.secrets)
        for secret, value in zip(self.secrets, found, strict=True):
            if not _IN_ADDRESS.match(value):
                raise Misconfigured(f"{_called(secret)} stands in an address: letters, digits, - and _ alone")
        return found


class FrappeHook(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A Frappe that calls /api/v1/webhooks/frappe; `secrets` are those that may sign, 24 characters or more."""

    secrets: tuple[SecretRef, ...] = ()

    def live(self) -> tuple[str, ...]:
        """Read the secrets. Raises `Misconfigured` for one that is too short."""
        return _live(self.secrets)


def _live(secrets: tuple[SecretRef, ...]) -> tuple[str, ...]:
    found = tuple(secret.reveal() for secret in secrets)
    for secret, value in zip(secrets, found, strict=True):
        if len(value) < _SHORTEST:
            raise Misconfigured(f"{_called(secret)} is shorter than {_SHORTEST} characters")
    return found


def _called(secret: SecretRef) -> str:
    return f"the secret {secret.env or secret.file}"


class ApiSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The HTTP edge. Port 0 takes a free port.

    `anonymous` are the scopes of a caller without a token; none by default, and a production order
    always needs a token. `hosts` are the names that the gateway answers to (without port); empty
    means any, or on a loopback address its own names. `erp_secrets` and `report_secrets` are the live
    secrets of the inbound webhooks: one can be replaced while the other still counts; `odoo` and
    `frappe` are for the webhooks of those two, which prove less. `deadline`
    bounds every answer that is not a stream. `token_folder` is where `andon tokens` keeps its key: with it the
    gateway takes the tokens that `andon tokens create` makes, for a plant without an identity provider.
    `roles` says which scopes a role opens: an issuer's (see `roles_claim`), or one of `andon tokens create --role`.
    `public_url` is where people reach the gateway: with it the text of an order holds a link to its page.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 8000
    anonymous: tuple[OpenScope, ...] = ()
    hosts: tuple[str, ...] = ()
    public_url: Annotated[str, msgspec.Meta(pattern=r"^(https?://[^\s/?#]+[^\s?#]*)?$")] = ""
    issuer: tuple[Issuer, ...] = ()
    token_folder: str | None = None
    roles: dict[Role, tuple[Scope, ...]] = {}
    erp_secrets: tuple[SecretRef, ...] = ()
    report_secrets: tuple[SecretRef, ...] = ()
    odoo: OdooHook = OdooHook()
    frappe: FrappeHook = FrappeHook()
    max_body: Size = Size(256 * 1024)
    max_photo: Size = Size(10 * 1024 * 1024)
    max_streams: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 200
    deadline: Duration = Duration(30.0)

    def __post_init__(self) -> None:
        if self.deadline < 1:
            raise ValueError("An answer needs a second at least (deadline)")
