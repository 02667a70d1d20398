"""Settings of an SAP S/4HANA."""

import typing
from datetime import UTC, datetime
from typing import Annotated, Literal

import httpx2
import msgspec

from connectors.erp.http import ErpClient
from connectors.erp.mapping import Body, Rule, Table
from connectors.erp.oauth import ClientCredentials, Grant
from connectors.erp.place import Reach, Url
from connectors.erp.sap.adapter import Plan, Sap
from connectors.erp.sap.defect import TEXT, DefectPlan, Defects
from connectors.erp.sap.maintenance import Maintenance
from connectors.erp.sap.record import DEFECT, NOTIFICATION, ORDER, REFERENCE, Kind
from connectors.erp.sap.records import Records, Repeats
from connectors.erp.sap.session import Session
from connectors.erp.sap.values import DEFECT as DEFECT_TABLE
from connectors.erp.sap.values import NOTIFICATION as NOTIFICATION_TABLE
from connectors.erp.sap.values import ORDER as ORDER_TABLE
from connectors.erp.sap.withdraw import COMPLETE, FLAG, Withdrawal
from gateway.core.errors import Misconfigured
from gateway.core.ports import Clock, ErpAdapter
from gateway.core.reading import Name
from gateway.core.secret import SecretRef
from gateway.core.units import Duration, zone_of

SAMPLE = """
[erp.main]
protocol = "sap"
base_url = "https://my000000-api.s4hana.example"
user = "ANDON"                     # or token_url, client_id and client_secret
password = { env = "SAP_PASSWORD" }
client = "100"
idempotency = "auto"               # "header" when SAP says that it supports a RequestID, else "lookup"
replay_window = "6h"               # how long it remembers one, at least
settle = "120s"                    # its longest time to carry out a request that was given up
zone = "Asia/Shanghai"             # of dates and times of day

[erp.main.notification]            # these are added to what is filled in anyway
MaintenancePlanningPlant = { constant = "1010" }

[erp.main.order]
MainWorkCenter = { constant = "MECH" }
MainWorkCenterPlant = { constant = "1010" }
"""

# Together they must stay below the longest lease and wait of the outbox, an hour; a delivery is several requests.
_LONGEST_TIMEOUT, _LONGEST_SETTLE = 60.0, 2100.0
_KEY_LENGTH = 20
WorkType = Literal["maintenance", "quality"]
Optional = Annotated[str, msgspec.Meta(pattern=r"^\w{0,60}$")]


class DefectSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The orders of `work_types` become defects of quality management (API_DEFECT_SRV); () only follows those there.

    Our key stands at the start of `DefectText`, or alone in the `key_property` of the plant's own. `status_property`
    says how far a defect is where the system shows that, by the values that mean `begun` and `done`, and
    `closing_property` gives the closing code. `delete` allows to delete one that nobody has begun. `mapping` is laid
    over what is filled in.
    """

    work_types: tuple[WorkType, ...] = ("quality",)
    key_property: Annotated[str, msgspec.Meta(pattern=r"^\w{1,60}$")] = TEXT
    status_property: Optional = ""
    begun: tuple[str, ...] = ()
    done: tuple[str, ...] = ()
    closing_property: Optional = ""
    delete: bool = False
    mapping: dict[str, str | Rule] = msgspec.field(default_factory=dict)

    def plan(self) -> DefectPlan:
        """Give what the adapter needs."""
        return DefectPlan(
            work_types=frozenset(self.work_types),
            key_property=self.key_property,
            status_property=self.status_property,
            begun=self.begun,
            done=self.done,
            closing_property=self.closing_property,
            delete=self.delete,
        )


class Settings(Reach, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One SAP.

    Either `user` and `password`, or a token from `token_url`, where `client_auth = "tls"` proves the client by its
    certificate. `notification` and `order` are mapping tables; what they say comes over
    `connectors.erp.sap.values`, and `{ constant = "" }` takes a field away. `make_order = false` leaves it at the
    notification. `cancel_action` is the function import of the service that takes back an order (or a notification)
    that nobody has begun: without it the deletion flag is set (a notification completed), empty takes nothing back.
    With `defects`, orders about the goods go to quality management.
    """

    name: Name
    user: str = ""
    password: SecretRef | None = None
    token_url: Url | None = None
    client_id: str = ""
    client_secret: SecretRef | None = None
    client_auth: Literal["basic", "form", "tls"] = "basic"
    scope: str = ""
    audience: str = ""
    resource: str = ""
    client: Annotated[str, msgspec.Meta(pattern=r"^(\d{3})?$")] = ""
    idempotency: Literal["auto", "header", "lookup"] = "auto"
    replay_window: Duration = Duration(6 * 3600)
    settle: Duration = Duration(120)
    make_order: bool = True
    cancel_action: Annotated[str, msgspec.Meta(pattern=r"^\w{0,64}$")] | None = None
    zone: str = "UTC"
    connections: Annotated[int, msgspec.Meta(ge=1, le=64)] = 8
    notification: dict[str, str | Rule] = msgspec.field(default_factory=dict)
    order: dict[str, str | Rule] = msgspec.field(default_factory=dict)
    defects: DefectSettings | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.keep_secret(self.token_url)
        by_name = bool(self.user and self.password)
        proof = self.cert_file if self.client_auth == "tls" else self.client_secret
        by_grant = bool(self.token_url and self.client_id and proof)
        by_paper = bool(self.cert_file) and not self.token_url
        if (by_name and by_grant) or not (by_name or by_grant or by_paper):
            raise ValueError(
                "who we are is said by user and password, by token_url, client_id and client_secret (or cert_file with"
                ' client_auth = "tls"), or by cert_file'
            )
        if not 0 < self.timeout <= _LONGEST_TIMEOUT:
            raise ValueError("timeout is more than nothing and at most 1min")
        if self.settle > _LONGEST_SETTLE:
            raise ValueError("settle is at most 35min")
        zone_of(self.zone)

    def open(self) -> ErpAdapter:
        """Make the adapter. Raises `Misconfigured` without the secret, or with a mapping that cannot be."""
        headers = {"sap-client": self.client} if self.client else {}
        auth = self._auth()
        now: Clock = lambda: datetime.now(UTC)  # noqa: E731  a clock is a parameter everywhere
        tokens = auth if isinstance(auth, ClientCredentials) else None

        def connect() -> ErpClient:
            return ErpClient(self.new_client(auth, headers), self.timeout)

        session = Session(self.name, connect, tokens, now, most=self.connections, patience_s=self.timeout)
        return self._adapter(session, Repeats(now))

    def _adapter(self, session: Session, repeats: Repeats) -> Sap:
        zone = zone_of(self.zone)

        def records(kind: Kind, body: Body, place: str = "") -> Records:
            return Records(session, kind, body, zone, repeats, place=place)

        order = Body(_over(ORDER_TABLE, self.order), None, _KEY_LENGTH)
        if NOTIFICATION.number in order.rules:
            raise Misconfigured(f"order.{NOTIFICATION.number}: is filled in already, leave it out")
        notification = Body(_over(NOTIFICATION_TABLE, self.notification), REFERENCE, _KEY_LENGTH)
        notifications, orders = records(NOTIFICATION, notification), records(ORDER, order) if self.make_order else None
        documented = FLAG if self.make_order else COMPLETE
        action = documented if self.cancel_action is None else self.cancel_action
        maintenance = Maintenance(notifications, orders, Withdrawal(notifications, orders, action))
        defects = None
        if self.defects is not None:
            body = Body(_over(DEFECT_TABLE, self.defects.mapping), None, _KEY_LENGTH)
            defects = Defects(self.defects.plan(), records(DEFECT, body, "defects."))
        plan = Plan(
            name=self.name,
            idempotency=self.idempotency,
            replay_window=self.replay_window,
            settle=self.settle,
            timeout=self.timeout,
            orders=self.make_order,
            cancel_action=action,
            maintains=defects is None or defects.plan.work_types != frozenset(typing.get_args(WorkType)),
        )
        return Sap(plan, session, maintenance, defects)

    def _auth(self) -> httpx2.Auth | None:
        if self.user and self.password is not None:
            return httpx2.BasicAuth(self.user, self.password.reveal())
        if self.token_url is None:
            return None
        grant = Grant(
            self.token_url,
            self.client_id,
            self.client_secret.reveal() if self.client_secret is not None else "",
            self.client_auth,
            scope=self.scope,
            audience=self.audience,
            resource=self.resource,
        )
        # A client of its own: a queue for connections must never keep a token waiting.
        return ClientCredentials(lambda: self.new_client(None, {}), grant)


def _over(table: Table, given: Table) -> Table:
    """Lay the settings over the table; an empty constant takes a field away."""
    rules = {**table, **given}
    return {name: rule for name, rule in rules.items() if not (isinstance(rule, Rule) and rule.constant == "")}
