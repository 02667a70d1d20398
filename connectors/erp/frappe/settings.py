"""Settings of a Frappe site."""

from datetime import UTC, datetime
from typing import Annotated, Literal

import msgspec

from connectors.erp.frappe.adapter import Frappe, Plan
from connectors.erp.frappe.carrier import KNOWN, MAPPINGS, Carrier, Optional
from connectors.erp.frappe.door import Api, Door
from connectors.erp.http import ErpClient
from connectors.erp.mapping import Body, Rule
from connectors.erp.oauth import ClientCredentials, Grant
from connectors.erp.place import Reach, Url, sendable
from gateway.core.errors import Misconfigured
from gateway.core.reading import Name
from gateway.core.secret import SecretRef
from gateway.core.units import Duration, zone_of

SAMPLE = """
[erp.main]
protocol = "frappe"
base_url = "https://erpnext.example"
api_key = { env = "FRAPPE_KEY" }       # of a user of its own with the roles that `doctype` needs
api_secret = { env = "FRAPPE_SECRET" }
doctype = "Asset Repair"
zone = "Asia/Shanghai"                 # the site's time zone: Frappe's times say none

[erp.main.mapping]
asset = { from = "asset", values = { PRESS-1 = "ACC-ASS-2026-00012" } }
failure_date = "detected_at"
description = { from = "text", max = 10000 }
"""

TOKEN_PATH = "/api/method/frappe.integrations.oauth2.get_token"  # noqa: S105  a path, not a secret
_LONGEST_TIMEOUT, _LONGEST_SETTLE = 120.0, 2100.0
_KEY_LENGTH = 20


class Settings(Reach, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One site.

    Either `api_key` and `api_secret`, or `client_id` and `refresh_token` of an OAuth Client that somebody has
    consented to once (`token_url` is the site's own when it is empty). `identity` says how a second order is kept
    out: "name" makes our key the document's name (api v2), "field" puts it into the unique `key_field`, and "lookup"
    into one that is not unique. `carrier` says what the DocType's fields and states mean where it is not a known one;
    `mapping` fills the fields.
    """

    name: Name
    api_key: SecretRef | None = None
    api_secret: SecretRef | None = None
    client_id: str = ""
    client_secret: SecretRef | None = None
    client_auth: Literal["basic", "form", "none"] = "basic"
    refresh_token: SecretRef | None = None
    token_url: Url | None = None
    scope: str = ""
    doctype: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z][\w -]{0,60}$")] = "Asset Repair"
    api: Api = "v2"
    identity: Literal["name", "field", "lookup"] = "name"
    key_field: Optional = ""
    carrier: Carrier | None = None
    mapping: dict[str, str | Rule] = msgspec.field(default_factory=dict)
    zone: str = "UTC"
    settle: Duration = Duration(60)
    connections: Annotated[int, msgspec.Meta(ge=1, le=64)] = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        self.keep_secret(self.token_url)
        by_key = self.api_key is not None and self.api_secret is not None
        by_grant = bool(self.client_id) and self.refresh_token is not None
        if by_key == by_grant:
            raise ValueError("who we are is said by api_key and api_secret, or by client_id and refresh_token")
        if by_grant and self.client_auth != "none" and self.client_secret is None:
            raise ValueError('client_secret is missing; a public client says client_auth = "none"')
        if self.identity == "name" and self.api == "v1":
            raise ValueError('api = "v1" names documents itself; use identity = "field" with a unique key_field')
        if self.identity != "name" and not self.key_field:
            raise ValueError(f'identity = "{self.identity}" needs key_field, the field that holds our key')
        if self.key_field and self.key_field in self.mapping:
            raise ValueError(f"mapping.{self.key_field}: is filled in already, leave it out")
        if self.carrier is None and self.doctype not in KNOWN:
            raise ValueError(f"{self.doctype} is none of {', '.join(KNOWN)}: say in carrier what its fields mean")
        # Together they must stay below the longest lease and wait of the outbox, an hour.
        if not 0 < self.timeout <= _LONGEST_TIMEOUT:
            raise ValueError("timeout is more than nothing and at most 2min")
        if self.settle > _LONGEST_SETTLE:
            raise ValueError("settle is at most 35min")
        zone_of(self.zone)

    def open(self) -> Frappe:
        """Make the adapter. Raises `Misconfigured` without the secrets, or with a mapping that cannot be."""
        body = Body(self.mapping or MAPPINGS.get(self.doctype, {}), None, _KEY_LENGTH)
        nested = [name for name in body.rules if "." in name]
        if nested:
            raise Misconfigured(f"mapping.{nested[0]}: a document of Frappe has no fields inside fields")
        if not body.rules:
            raise Misconfigured(f"mapping: is missing; nothing is known of the fields of {self.doctype}")
        tokens = self._tokens()
        client = self.new_client(tokens, self._key())
        plan = Plan(
            name=self.name,
            doctype=self.doctype,
            identity=self.identity,
            key_field=self.key_field,
            carrier=self.carrier or KNOWN[self.doctype],
            zone=zone_of(self.zone),
            settle=self.settle,
            timeout=self.timeout,
        )
        asking = ErpClient(client, self.timeout)
        door = Door(self.name, asking, self.doctype, self.api, lambda: datetime.now(UTC), tokens)
        return Frappe(plan, door, body, tokens)

    def _key(self) -> dict[str, str]:
        if self.api_key is None or self.api_secret is None:
            return {}
        pair = f"{self.api_key.reveal()}:{self.api_secret.reveal()}"
        return {"authorization": f"token {sendable(pair, 'api_key or api_secret')}"}

    def _tokens(self) -> ClientCredentials | None:
        if self.refresh_token is None:
            return None
        grant = Grant(
            self.token_url or self.base_url.rstrip("/") + TOKEN_PATH,
            self.client_id,
            self.client_secret.reveal() if self.client_secret is not None else "",
            "tls" if self.client_auth == "none" else self.client_auth,
            scope=self.scope,
            refreshes=True,
        )
        # A client of its own: a queue for connections must never keep a token waiting.
        return ClientCredentials(lambda: self.new_client(None, {}), grant, refresh_token=self.refresh_token.reveal())
