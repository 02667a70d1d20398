"""Settings of a Dynamics 365 Field Service."""

from typing import Annotated

import msgspec

from connectors.erp.dynamics.check import looked_into
from connectors.erp.dynamics.record import Linked, reading
from connectors.erp.grant import ClientAuth
from connectors.erp.mapping import Rule, Table
from connectors.erp.preset import Preset, over
from connectors.erp.rest.access import Access
from connectors.erp.rest.plan import Amend, Call, Cancel, Create, Find, Plan, Record, States
from connectors.erp.rest.template import Path
from gateway.core.delivery import Idempotency
from gateway.core.errors import Misconfigured
from gateway.core.ports import ErpAdapter
from gateway.core.units import Duration

SAMPLE = """
[erp.main]
protocol = "dynamics"
base_url = "https://contoso.crm.dynamics.com"
tenant = "00000000-0000-0000-0000-000000000000"
client_id = "11111111-1111-1111-1111-111111111111"
client_secret = { env = "DYNAMICS_SECRET" }
key_column = "andon_key"           # text of 20 characters or more, with an alternate key on it

[erp.main.mapping]                 # these are added to what is filled in anyway
"msdyn_serviceaccount@odata.bind" = { constant = "/accounts(22222222-2222-2222-2222-222222222222)" }
"msdyn_workordertype@odata.bind" = { constant = "/msdyn_workordertypes(33333333-3333-3333-3333-333333333333)" }
"msdyn_pricelist@odata.bind" = { constant = "/pricelevels(44444444-4444-4444-4444-444444444444)" }
"msdyn_CustomerAsset@odata.bind" = "asset"

[erp.main.links]                   # {} is what the mapping gives
"msdyn_CustomerAsset@odata.bind" = "/msdyn_customerassets(andon_asset='{}')"
"""

TABLE: Table = {
    "msdyn_workordersummary": Rule(source="title", longest=200),
    "msdyn_instructions": Rule(source="text", longest=2000),
    "msdyn_systemstatus": Rule(constant=690_970_000),
    "msdyn_timefrompromised": "required_start",
    "msdyn_timetopromised": "due",
}
"""What a work order gets when the settings say nothing else."""

STATES = States(
    open=("unscheduled",),
    begun=("scheduled", "in progress"),
    done=("completed", "posted"),
    cancelled=("canceled",),
)
_ENTRA = "https://login.microsoftonline.com"
_HEADERS = {"odata-version": "4.0", "odata-maxversion": "4.0"}

Column = Annotated[str, msgspec.Meta(pattern=r"^\w{1,100}$")]


class Settings(Access, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One environment. `tenant` is the directory that its users are of; `token_url` is another door to it.

    Without `scope` the token is for `base_url`. `key_column` is a column of the table with an alternate key on it.
    `mapping` comes over the table above, and `{ constant = "" }` takes a field away. A target `..@odata.bind`
    is a link: its value is an address that begins with a slash, or goes into the template of the same name
    in `links`. `cancels = false` takes no order back. `closing_column` is where the closing code is found.
    """

    client_auth: ClientAuth = "form"
    tenant: Annotated[str, msgspec.Meta(pattern=r"^[\w.-]{0,100}$")] = ""
    api: Path = "/api/data/v9.2"
    table: Column = "msdyn_workorder"
    entity_set: Column = "msdyn_workorders"
    key_column: Column = "andon_key"
    number_column: Column = "msdyn_name"
    status_column: Column = "msdyn_systemstatus"
    cancelled_status: int = 690_970_005
    closing_column: Annotated[str, msgspec.Meta(pattern=r"^\w{0,100}$")] = ""
    states: States = STATES
    cancels: bool = True
    settle: Duration = Duration(120)
    links: dict[str, str] = msgspec.field(default_factory=dict)
    mapping: dict[str, str | Rule] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.auth == "oauth2" and self.token_url is None and self.tenant:
            msgspec.structs.force_setattr(self, "token_url", f"{_ENTRA}/{self.tenant}/oauth2/v2.0/token")
        if not self.scope:
            msgspec.structs.force_setattr(self, "scope", f"{self.base_url.rstrip('/')}/.default")
        super().__post_init__()
        wrong = [target for target, link in self.links.items() if link.count("{}") != 1 or not link.startswith("/")]
        if wrong:
            raise ValueError(f"links.{wrong[0]} begins with a slash and has one {{}}")

    def open(self) -> ErpAdapter:
        """Make the adapter. Raises `Misconfigured` without the secret, or with a mapping that cannot be."""
        table = over(TABLE, self.mapping)
        if self.key_column in table:
            raise Misconfigured(f"mapping.{self.key_column}: is filled in already, leave it out")
        body = Linked(table, self.links)
        door, tokens = self.door(_HEADERS, read=reading(self.status_column, body.sets))
        return Preset(self.plan(), door, body, tokens, looked_into(self.api, self.table, self.key_column, body.rules))

    def plan(self) -> Plan:
        """Say in full what the Web API is like."""
        by_key = f"{self.api}/{self.entity_set}({self.key_column}='{{key|odata}}')"
        whole = {"prefer": "return=representation"}
        status = {self.status_column: self.cancelled_status}
        return Plan(
            name=self.name,
            idempotency=Idempotency.UPSERT,
            create=Create(
                path=by_key, method="PATCH", headers={"if-none-match": "*", **whole}, taken=(412,), made=(200, 201, 204)
            ),
            find=Find(
                path=f"{self.api}/{self.entity_set}",
                params={"$filter": f"{self.key_column} eq '{{key|odata}}'", "$top": "2"},
                rows="value",
            ),
            read=Call(path=by_key),
            amend=Amend(path=by_key, headers=whole),
            cancel=Cancel(path=by_key, headers=whole, body=dict(status)) if self.cancels else None,
            record=Record(
                number=self.number_column,
                key=self.key_column,
                status="@status",
                version="@odata.etag",
                closing=self.closing_column,
            ),
            states=self.states,
            precondition="etag",
            stale=(412,),
            timeout=self.timeout,
            settle=self.settle,
        )
