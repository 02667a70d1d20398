"""Settings of an Odoo."""

from collections.abc import Generator
from datetime import UTC, datetime
from typing import Annotated, Literal

import httpx2
import msgspec

from connectors.erp.http import ErpClient
from connectors.erp.mapping import Body, Rule
from connectors.erp.odoo.adapter import Odoo
from connectors.erp.odoo.door import Door
from connectors.erp.odoo.fields import REQUEST
from connectors.erp.odoo.record import Plan
from connectors.erp.place import Reach, sendable
from gateway.core.errors import Misconfigured
from gateway.core.ports import Clock, ErpAdapter
from gateway.core.reading import Name
from gateway.core.secret import SecretRef

SAMPLE = """
[erp.main]
protocol = "odoo"
base_url = "https://odoo.example"
api_key = { env = "ODOO_KEY" }     # scope rpc, of a user with Equipment Manager
key_name = "andon"                 # what the key is called in Odoo: its end is told in time
equipment_by = "serial_no"         # which field of Odoo's equipment holds our asset ids

[erp.main.equipment]               # assets that are called otherwise there, by database id
PRESS-1 = 12

[erp.main.mapping]
name = { from = "title", max = 200 }
description = { from = "text", max = 8000 }
equipment_id = "asset"
maintenance_team_id = { constant = 1 }
priority = { from = "priority", values = { 1 = "3", 2 = "2", 3 = "1", 4 = "0" } }
"""

Field = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_]{0,62}$")]


class Settings(Reach, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One Odoo.

    An order's external id is `module` and its key; `module` must not be the name of an installed module. An
    asset is found in Odoo by `equipment` (asset id = database id), else by `equipment_by`; where it is not,
    `unknown_equipment` says whether the order is refused or goes out without. `cancel` is what a request gets
    that is taken back, `closing_field` a field of the plant with its closing code (else the last stage's name).
    `batch` orders at most go out in one request.
    """

    name: Name
    api_key: SecretRef
    database: str = ""
    key_name: str = "andon"
    module: Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_]{0,62}$")] = "andon"
    equipment_by: Field = "serial_no"
    equipment: dict[str, Annotated[int, msgspec.Meta(ge=1)]] = msgspec.field(default_factory=dict)
    unknown_equipment: Literal["refuse", "leave_out"] = "refuse"
    cancel: dict[Field, str | int | bool] = msgspec.field(default_factory=lambda: {"archive": True})
    closing_field: Annotated[str, msgspec.Meta(pattern=r"^([a-z][a-z0-9_]{0,62})?$")] = ""
    batch: Annotated[int, msgspec.Meta(ge=1, le=200)] = 20
    mapping: dict[str, str | Rule] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.timeout <= 300:  # noqa: PLR2004  with what comes before it, below the longest lease
            raise ValueError("timeout is more than nothing and at most 5min")

    def open(self) -> ErpAdapter:
        """Make the adapter. Raises `Misconfigured` without the key, or with a mapping that cannot be."""
        body = Body(self.mapping or REQUEST, None, 20)
        nested = [name for name in body.rules if "." in name]
        if nested:
            raise Misconfigured(f"mapping.{nested[0]}: a record of Odoo has no fields inside fields")
        if "name" not in body.rules:
            raise Misconfigured("mapping.name: is missing; a maintenance request must have a name")
        headers = {"x-odoo-database": self.database} if self.database else {}
        client = self.new_client(_Key(sendable(self.api_key.reveal(), "api_key")), headers)
        now: Clock = lambda: datetime.now(UTC)  # noqa: E731  a clock is a parameter everywhere
        plan = Plan(
            name=self.name,
            module=self.module,
            key_name=self.key_name,
            equipment_by=self.equipment_by,
            equipment=dict(self.equipment),
            unknown_equipment=self.unknown_equipment,
            cancel=dict(self.cancel),
            closing_field=self.closing_field,
            batch=self.batch,
            timeout=self.timeout,
        )
        return Odoo(plan, Door(self.name, ErpClient(client, self.timeout), now), body, now)


class _Key(httpx2.Auth):
    """Puts the key on every request; its repr does not show it."""

    def __init__(self, key: str) -> None:
        self._key = key

    def auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response]:
        """Send with the key."""
        request.headers["authorization"] = f"bearer {self._key}"
        yield request
