"""Settings of an Oracle Fusion Maintenance."""

from typing import Annotated

import msgspec

from connectors.erp.mapping import Rule, Table
from connectors.erp.oracle.check import looked_into
from connectors.erp.oracle.record import VERSION, read
from connectors.erp.preset import Coded, Preset, over
from connectors.erp.rest.access import Access
from connectors.erp.rest.plan import Amend, Call, Cancel, Create, Find, Plan, Record, States
from connectors.erp.rest.template import Path
from gateway.core.delivery import Idempotency
from gateway.core.errors import Misconfigured
from gateway.core.ports import ErpAdapter
from gateway.core.units import Duration

SAMPLE = """
[erp.main]
protocol = "oracle"
base_url = "https://acme.fa.ocs.oraclecloud.example"
organization = "SZ1"               # the maintenance organization's code
auth = "basic"                     # or "oauth2" with token_url, client_id, client_auth = "private_key_jwt", client_key
user = "ANDON"
password = { env = "ORACLE_PASSWORD" }

[erp.main.mapping]                 # these are added to what is filled in anyway
WorkOrderSubTypeCode = { constant = "ORA_EMERGENCY" }
"""

NUMBER, STATUS = "WorkOrderNumber", "WorkOrderStatusCode"
TABLE: Table = {
    NUMBER: "key",
    "WorkOrderDescription": Rule(source="text", longest=240),
    "AssetNumber": Rule(source="asset", longest=80),
    "WorkOrderTypeCode": Rule(constant="CORRECTIVE"),
    "WorkOrderPriority": "priority",
    "PlannedStartDate": "required_start",
    "PlannedCompletionDate": "due",
}
"""What a work order gets when the settings say nothing else, besides its organization."""

STATES = States(
    open=("ORA_UNRELEASED",),
    begun=("ORA_RELEASED", "ORA_ON_HOLD"),
    done=("ORA_COMPLETED", "ORA_CLOSED"),
    cancelled=("ORA_CANCELED",),
)
_KEY_LENGTH = 20
_HEADERS = {"rest-framework-version": "4"}
"""From version 2 on `q` takes quoted values, and errors are JSON."""


class Settings(Access, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One environment. `organization` is the code of the maintenance organization that the orders are for.

    `mapping` comes over the table above, and `{ constant = "" }` takes an attribute away. `cancelled_status` is the
    status that takes an order back, `reason_field` (if any) where its reason goes; `cancels = false` takes none back.
    """

    organization: Annotated[str, msgspec.Meta(min_length=1, max_length=18)]
    resources: Path = "/fscmRestApi/resources/11.13.18.05"
    cancelled_status: Annotated[str, msgspec.Meta(min_length=1, max_length=30)] = "ORA_CANCELED"
    reason_field: Annotated[str, msgspec.Meta(pattern=r"^\w{0,60}$")] = "CanceledReason"
    closing_field: Annotated[str, msgspec.Meta(pattern=r"^\w{0,60}$")] = ""
    states: States = STATES
    cancels: bool = True
    settle: Duration = Duration(300)
    mapping: dict[str, str | Rule] = msgspec.field(default_factory=dict)

    def open(self) -> ErpAdapter:
        """Make the adapter. Raises `Misconfigured` without the secret, or with a mapping that cannot be."""
        organization: Table = {"OrganizationCode": Rule(constant=self.organization)}
        if "OrganizationCode" in self.mapping:
            raise Misconfigured("mapping.OrganizationCode: is said by organization, leave it out")
        body = Coded({**over(TABLE, self.mapping), **organization}, NUMBER, _KEY_LENGTH)
        door, tokens = self.door(_HEADERS, read=read)
        look = looked_into(f"{self.resources}/maintenanceWorkOrders", body.rules)
        return Preset(self.plan(), door, body, tokens, look)

    def plan(self) -> Plan:
        """Say in full what the resource is like."""
        orders = f"{self.resources}/maintenanceWorkOrders"
        asked = {"q": f"{NUMBER}='{{key|odata}}'", "limit": "2"}
        return Plan(
            name=self.name,
            idempotency=Idempotency.UPSERT,
            overwrites=True,
            # Where Upsert-Mode is not honoured, a number that is there is refused.
            create=Create(path=orders, headers={"upsert-mode": "true"}, made=(201,), there=(200,), taken=(400,)),
            find=Find(path=orders, params=asked, rows="items"),
            read=Call(path=orders, params=asked),
            amend=Amend(path=f"{orders}/{{id}}"),
            cancel=Cancel(path=f"{orders}/{{id}}", body={STATUS: self.cancelled_status}, reason=self.reason_field)
            if self.cancels
            else None,
            record=Record(
                number=NUMBER, key=NUMBER, id="WorkOrderId", status=STATUS, version=VERSION, closing=self.closing_field
            ),
            states=self.states,
            precondition="etag",
            stale=(412,),
            timeout=self.timeout,
            settle=self.settle,
        )
