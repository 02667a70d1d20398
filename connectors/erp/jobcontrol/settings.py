"""Settings of a receiver of jobs."""

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from connectors.erp.mapping import Rule
from connectors.opcua.address import parse
from connectors.opcua.secured import PLAIN, Reached
from gateway.core.units import Duration

if TYPE_CHECKING:
    from connectors.erp.jobcontrol.adapter import JobControl

SAMPLE = """
[erp.press-7]
protocol = "jobcontrol"
endpoint = "opc.tcp://10.2.0.17:4840"
pki = "/etc/andon/pki"                                    # andon cert new makes one
user = { name = "andon", password = { env = "PRESS_7_PASSWORD" } }
receiver = "nsu=urn:press:7;s=JobOrderControl"            # an ISA95JobOrderReceiverObjectType
responses = "nsu=urn:press:7;s=JobOrderResults"           # an ISA95JobResponseProviderObjectType, if it has one
orders = "Store"                                          # work orders wait there for a person to start them
"""

_LONGEST_TIMEOUT = 60.0
CALLS = 14
"""So many requests an order takes at most: a link (of four) twice, the call, and the list before and after."""

NodeText = Annotated[str, msgspec.Meta(min_length=1, max_length=512)]


class Settings(Reached, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One machine or MES that takes jobs (OPC 10031-4 v2). Secured by default, as a line is.

    `receiver` is the object with the methods and the list of jobs, `responses` the one that is asked for the results of
    jobs. `orders` and `production` say by which method work orders and production orders are handed over: "Store"
    leaves it to somebody there to start them. `parameters` are those of a work order (the mapping of other ERPs);
    `work_master` names its recipe. `link` is an address for people, with {key} for the order's key.
    `closing_parameter` is the parameter of a job response that holds the closing code. `remembers` is for how long the
    machine surely shows a job that it took: one in doubt for longer, that it does not show, is for a person.
    """

    receiver: NodeText
    responses: str = ""
    orders: Literal["Store", "StoreAndStart"] = "Store"
    production: Literal["Store", "StoreAndStart"] = "StoreAndStart"
    parameters: dict[str, str | Rule] = msgspec.field(default_factory=dict)
    work_master: Annotated[str, msgspec.Meta(max_length=128)] = ""
    link: str = ""
    closing_parameter: str = ""
    remembers: Duration = Duration(3600)

    def __post_init__(self) -> None:
        faults = list(self.unsafe())
        if not 0 < self.timeout <= _LONGEST_TIMEOUT:
            faults.append("timeout is more than nothing and at most 1min")
        if not self.remembers > CALLS * self.timeout:
            faults.append(f"remembers is more than {CALLS} times the timeout, which is how long one order may take")
        for address in (self.receiver, self.responses):
            if address:
                parse(address)
        if faults:
            raise ValueError("; ".join(faults))

    def open(self) -> "JobControl":
        """Make the adapter; it connects when it is first needed. Raises `Misconfigured`."""
        from connectors.erp.jobcontrol.adapter import JobControl  # noqa: PLC0415  asyncua is heavy: only when used
        from connectors.erp.jobcontrol.link import Link  # noqa: PLC0415
        from connectors.erp.jobcontrol.order import Jobs  # noqa: PLC0415

        for secret in self.secrets():
            secret.reveal()
        if self.security != PLAIN:
            from connectors.opcua.pki import check_uri, papers_of  # noqa: PLC0415

            check_uri(papers_of(self), self.application_uri)
        return JobControl(
            self.name,
            Link(self, self.receiver, self.responses),
            Jobs(self.parameters, self.work_master, self.link),
            orders=self.orders,
            production=self.production,
            deadline=timedelta(seconds=CALLS * self.timeout),
            remembers=timedelta(seconds=self.remembers),
            closing=self.closing_parameter,
        )
