"""Settings of an IBM Maximo."""

from typing import Annotated, Literal

import msgspec

from connectors.erp.mapping import Rule, Table
from connectors.erp.maximo.check import looked_into
from connectors.erp.maximo.record import reading
from connectors.erp.preset import Coded, Preset, over
from connectors.erp.rest.access import Access
from connectors.erp.rest.plan import Amend, Call, Cancel, Create, Find, Plan, Record, States
from connectors.erp.rest.template import HeaderName, Path
from gateway.core.delivery import Idempotency
from gateway.core.errors import Misconfigured
from gateway.core.ports import ErpAdapter
from gateway.core.units import Duration

SAMPLE = """
[erp.main]
protocol = "maximo"
base_url = "https://maximo.example"
context = "/maximo/api"            # "/maximo/oslc" before Maximo 8, with maxauth or basic instead of a key
site = "BEDFORD"
api_key = { env = "MAXIMO_API_KEY" }

[erp.main.mapping]                 # these are added to what is filled in anyway
worktype = { constant = "CM" }
failurecode = { from = "iso_mode", max = 8 }
"""

NUMBER, STATUS, STAMP = "wonum", "status", "_rowstamp"
TABLE: Table = {
    NUMBER: "key",
    "description": Rule(source="title", longest=100),
    "description_longdescription": Rule(source="text", longest=32_000),
    "assetnum": Rule(source="asset", longest=25),
    "wopriority": "priority",
    "reportdate": "detected_at",
    "targstartdate": "required_start",
    "targcompdate": "due",
}
"""What a work order gets when the settings say nothing else, besides its site."""

STATES = States(
    open=("WAPPR",),
    begun=("APPR", "WSCH", "WMATL", "WPCOND", "INPRG"),
    done=("COMP", "CLOSE"),
    cancelled=("CAN",),
)
_KEY_LENGTH = 20


class Settings(Access, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One site of a Maximo. `structure` is the object structure of its work orders.

    `mapping` comes over the table above, and `{ constant = "" }` takes an attribute away. `cancelled_status` is the
    status that takes an order back; `cancels = false` takes none back. `stale_codes` are the messages by which
    Maximo refuses to change what somebody else changed meanwhile.
    """

    auth: Literal["oauth2", "api_key", "basic", "none"] = "api_key"
    api_key_header: HeaderName = "apikey"
    site: Annotated[str, msgspec.Meta(pattern=r"^[^\s\"]{1,8}$")]
    context: Path = "/maximo/api"
    structure: Annotated[str, msgspec.Meta(pattern=r"^\w{1,50}$")] = "mxapiwodetail"
    cancelled_status: Annotated[str, msgspec.Meta(min_length=1, max_length=16)] = "CAN"
    closing_field: Annotated[str, msgspec.Meta(pattern=r"^\w{0,60}$")] = ""
    stale_codes: tuple[Annotated[str, msgspec.Meta(pattern=r"^BMX\w{1,20}$")], ...] = ("BMXAA8229W",)
    states: States = STATES
    cancels: bool = True
    settle: Duration = Duration(300)
    mapping: dict[str, str | Rule] = msgspec.field(default_factory=dict)

    def open(self) -> ErpAdapter:
        """Make the adapter. Raises `Misconfigured` without the secret, or with a mapping that cannot be."""
        if "siteid" in self.mapping:
            raise Misconfigured("mapping.siteid: is said by site, leave it out")
        site: Table = {"siteid": Rule(constant=self.site)}
        body = Coded({**over(TABLE, self.mapping), **site}, NUMBER, _KEY_LENGTH)
        door, tokens = self.door({}, read=reading(self.stale_codes))
        look = looked_into(self.context, self.structure, body.rules)
        return Preset(self.plan(tuple(body.rules)), door, body, tokens, look)

    def plan(self, fields: tuple[str, ...]) -> Plan:
        """Say in full what the object structure is like, of which these attributes are ours."""
        orders = f"{self.context}/os/{self.structure}"
        closing = (self.closing_field,) if self.closing_field else ()
        shown = ",".join(sorted({*fields, *closing, NUMBER, STATUS}))
        where = f'wonum="{{key|quoted}}" and siteid="{self.site}"'
        asked = {"lean": "1", "oslc.where": where, "oslc.select": shown, "oslc.pageSize": "2"}
        patch = {"x-method-override": "PATCH", "patchtype": "MERGE", "properties": shown}
        lean = {"lean": "1"}
        return Plan(
            name=self.name,
            idempotency=Idempotency.CLIENT_ID,
            # The message for a number that is taken differs by release: after a refusal we look whether ours is there.
            create=Create(path=orders, params=lean, headers={"properties": shown}, taken=(400, 409)),
            find=Find(path=orders, params=asked, rows="member"),
            read=Call(path=orders, params=asked),
            amend=Amend(path=f"{orders}/{{id}}", method="POST", params=lean, headers=patch),
            cancel=Cancel(
                path=f"{orders}/{{id}}",
                method="POST",
                params=lean,
                headers=patch,
                body={STATUS: self.cancelled_status},
            )
            if self.cancels
            else None,
            record=Record(
                number=NUMBER, key=NUMBER, id="href", status=STATUS, version=STAMP, closing=self.closing_field
            ),
            states=self.states,
            precondition="timestamp",
            stale=(412,),
            timeout=self.timeout,
            settle=self.settle,
        )
