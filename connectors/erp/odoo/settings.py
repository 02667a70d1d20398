"""Settings of an Odoo."""

import typing
from collections.abc import Generator
from datetime import UTC, datetime
from typing import Annotated, Literal

import httpx2
import msgspec

from connectors.erp.http import ErpClient
from connectors.erp.mapping import Body, Rule, Table
from connectors.erp.odoo.adapter import Odoo
from connectors.erp.odoo.carrier import ALERT, ALERT_MODEL, REQUEST_MODEL, Carrier
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
# Below the longest lease, an hour, with what comes before; two models need more requests.
_LONGEST_TIMEOUT, _LONGEST_TIMEOUT_OF_TWO = 300, 180
Closing = Annotated[str, msgspec.Meta(pattern=r"^([a-z][a-z0-9_]{0,62})?$")]
Changes = dict[Field, str | int | bool]
WorkType = Literal["maintenance", "quality"]


class Quality(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The orders of `work_types` become quality alerts, for the quality team `team`; () only follows those there.

    `mapping` fills an alert instead of what is filled in; `cancel` is what one gets that is taken back, and without it
    none is; `closing_field` as that of the requests.
    """

    work_types: tuple[WorkType, ...] = ("quality",)
    team: Annotated[int, msgspec.Meta(ge=1)] | None = None
    mapping: dict[str, str | Rule] = msgspec.field(default_factory=dict)
    cancel: Changes = msgspec.field(default_factory=dict)
    closing_field: Closing = ""

    def carrier(self) -> Carrier:
        """Give the alert as a carrier. Raises `Misconfigured` for a mapping that cannot be."""
        given = self.mapping or ALERT
        team = {} if self.team is None else {"team_id": Rule(constant=self.team)}
        return Carrier(
            model=ALERT_MODEL,
            stages="quality.alert.stage",
            noun="alert",
            body=_body({**given, **team}, "quality."),
            work_types=frozenset(self.work_types),
            cancel=dict(self.cancel),
            closing_field=self.closing_field,
            place="quality.",
            team_field="team_id",
        )


class Settings(Reach, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One Odoo.

    An order's external id is `module` and its key; `module` must not be the name of an installed module. An
    asset is found in Odoo by `equipment` (asset id = database id), else by `equipment_by`; where it is not,
    `unknown_equipment` says whether the order is refused or goes out without. `cancel` is what a request gets
    that is taken back, `closing_field` a field of the plant with its closing code (else the last stage's name).
    `batch` orders at most go out in one request. With `quality`, orders of the quality become alerts of Odoo
    Enterprise, not requests.
    """

    name: Name
    api_key: SecretRef
    database: str = ""
    key_name: str = "andon"
    module: Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_]{0,62}$")] = "andon"
    equipment_by: Field = "serial_no"
    equipment: dict[str, Annotated[int, msgspec.Meta(ge=1)]] = msgspec.field(default_factory=dict)
    unknown_equipment: Literal["refuse", "leave_out"] = "refuse"
    cancel: Changes = msgspec.field(default_factory=lambda: {"archive": True})
    closing_field: Closing = ""
    batch: Annotated[int, msgspec.Meta(ge=1, le=200)] = 20
    mapping: dict[str, str | Rule] = msgspec.field(default_factory=dict)
    quality: Quality | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        longest = _LONGEST_TIMEOUT if self.quality is None else _LONGEST_TIMEOUT_OF_TWO
        if not 0 < self.timeout <= longest:
            raise ValueError(f"timeout is more than nothing and at most {longest // 60}min")

    def open(self) -> ErpAdapter:
        """Make the adapter. Raises `Misconfigured` without the key, or with a mapping that cannot be."""
        body = _body(self.mapping or REQUEST, "")
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
            carriers=self._carriers(body),
            batch=self.batch,
            timeout=self.timeout,
        )
        return Odoo(plan, Door(self.name, ErpClient(client, self.timeout), now), now)

    def _carriers(self, body: Body) -> tuple[Carrier, ...]:
        alerts = () if self.quality is None else (self.quality.carrier(),)
        taken = {kind for carrier in alerts for kind in carrier.work_types}
        requests = Carrier(
            model=REQUEST_MODEL,
            stages="maintenance.stage",
            noun="request",
            body=body,
            work_types=frozenset(typing.get_args(WorkType)) - taken,
            cancel=dict(self.cancel),
            closing_field=self.closing_field,
        )
        return requests, *alerts


def _body(table: Table, place: str) -> Body:
    body = Body(table, None, 20)
    nested = [name for name in body.rules if "." in name]
    if nested:
        raise Misconfigured(f"{place}mapping.{nested[0]}: a record of Odoo has no fields inside fields")
    return body


class _Key(httpx2.Auth):
    """Puts the key on every request; its repr does not show it."""

    def __init__(self, key: str) -> None:
        self._key = key

    def auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response]:
        """Send with the key."""
        request.headers["authorization"] = f"bearer {self._key}"
        yield request
