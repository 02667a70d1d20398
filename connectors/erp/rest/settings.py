"""Settings of any ERP with a REST interface that speaks JSON."""

from typing import Annotated, Literal

import msgspec

from connectors.erp.mapping import DEFAULT, Body, Rule
from connectors.erp.rest.access import Access
from connectors.erp.rest.adapter import Rest
from connectors.erp.rest.plan import (
    Amend,
    Batch,
    Call,
    Cancel,
    Create,
    Find,
    Metadata,
    Place,
    Plan,
    Probe,
    Record,
    States,
)
from connectors.erp.rest.template import HeaderName, Path, Text
from gateway.core.delivery import Idempotency
from gateway.core.errors import Misconfigured
from gateway.core.units import Duration

_KEY = "{key}"


class Settings(Access, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One ERP, and what its interface is like.

    `idempotency` says what keeps it from making a second order. "header": it honours Idempotency-Key (its name
    and form: `key_header`, `key_value`) for at least `replay_window`. "upsert": PUT to `orders_path`/key makes or
    writes over; with `create_only` it goes with If-None-Match, so that nothing is written over. "client_id":
    `number_field` is filled by our key, and a number that is taken is refused with one of `taken`. "lookup": none of
    these, but it can be looked up. "none": not even that, so that a person has to look after each doubt.

    An order is found by GET on `orders_path` with `lookup_param`; the answer is a list, or has one at `list_field`.
    `create`, `find` and `read` say the same in full, where an interface is otherwise. `amend`, `cancel` and
    `batch` are left out where it has nothing for them. An empty `mapping` sends
    `connectors.erp.mapping.DEFAULT`. `feedback` says whether what its webhooks tell is signed (then it counts, else
    the record is read). `metadata` names the ERP's own description of an order: the mapping is
    compared with it before the first order.
    """

    idempotency: Literal["header", "upsert", "client_id", "lookup", "none"] = "lookup"
    replay_window: Duration = Duration(12 * 3600)
    key_header: HeaderName = "idempotency-key"
    key_value: Text = '"{key}"'
    create_only: bool = False
    taken: tuple[Annotated[int, msgspec.Meta(ge=400, le=499)], ...] = (409,)
    orders_path: Path = "/api/orders"
    lookup_param: Annotated[str, msgspec.Meta(min_length=1, max_length=100)] = "reference"
    list_field: Place = "items"
    number_field: Place = "number"
    reference_field: Place = "reference"
    status_field: Place = "status"
    closing_field: Place = "closing_code"
    version_field: Place = ""
    maker_field: Place = ""
    fields_in: Place = ""
    create: Create | None = None
    find: Find | None = None
    read: Call | None = None
    amend: Amend | None = None
    cancel: Cancel | None = None
    batch: Batch | None = None
    metadata: Metadata | None = None
    probe: Probe | None = None
    states: States = States()
    precondition: Literal["etag", "timestamp", "none"] = "none"
    stale: tuple[Annotated[int, msgspec.Meta(ge=400, le=499)], ...] = (412, 428)
    overwrites: bool | None = None
    lane: Literal["asset", "connection"] = "asset"
    feedback: Literal["signed", "unsigned", "poll"] = "signed"
    mapping: dict[str, str | Rule] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.precondition == "timestamp" and not self.version_field:
            raise ValueError('precondition = "timestamp" needs version_field')
        if self.idempotency == "header" and self.batch is not None and not self.batch.key:
            # Sent again alone after a lost reply, an order would be another one: its key was in no header.
            raise ValueError('idempotency = "header" needs batch.key: where each order of a batch has its key')
        self.plan()  # templates that cannot be filled are named now

    def open(self) -> Rest:
        """Make the adapter. Raises `Misconfigured` without a secret, or with a mapping that cannot be."""
        table = self.mapping or DEFAULT
        named = self.number_field if self.idempotency == "client_id" else self.reference_field
        # With "none" nobody looks an order up, and an upsert may have its key in the address alone.
        must = self.idempotency in {"header", "lookup", "client_id"} or named in table
        body = Body(table, named if must and self.idempotency != "none" else None, 20)
        if self.idempotency == "none" and self.find is not None:
            raise Misconfigured('idempotency = "none" is for an ERP that has no find; use "lookup"')
        plan = self.plan()
        door, tokens = self.door({}, replays=self.idempotency == "header")
        return Rest(plan, door, body, tokens)

    def plan(self) -> Plan:
        """Say it in full."""
        idempotency = Idempotency(self.idempotency)
        known = self.reference_field in (self.mapping or DEFAULT)
        lookup = Find(path=self.orders_path, params={self.lookup_param: _KEY}, rows=self.list_field)
        if idempotency is Idempotency.UPSERT and not known:
            lookup = Find(path=f"{self.orders_path}/{_KEY}", single=True)
        find = self.find or (None if idempotency is Idempotency.NONE else lookup)
        return Plan(
            name=self.name,
            idempotency=idempotency,
            create=self.create or self._create(),
            find=find,
            read=self.read or Call(path=f"{self.orders_path}/{{number}}"),
            amend=self.amend,
            cancel=self.cancel,
            batch=self.batch,
            metadata=self.metadata,
            probe=self.probe,
            record=Record(
                number=self.number_field,
                key=self.reference_field if known else "",
                status=self.status_field,
                version=self.version_field,
                closing=self.closing_field,
                maker=self.maker_field,
                fields=self.fields_in,
            ),
            states=self.states,
            precondition=self.precondition,
            stale=self.stale,
            overwrites=self.overwrites
            if self.overwrites is not None
            else idempotency is Idempotency.UPSERT and not self.create_only,
            lane=self.lane,
            feedback=self.feedback,
            timeout=self.timeout,
            settle=self.settle,
            replay_window=self.replay_window if idempotency is Idempotency.HEADER else None,
        )

    def _create(self) -> Create:
        if self.idempotency == "upsert":
            headers: dict[str, str] = {"if-none-match": "*"} if self.create_only else {}
            refused: tuple[int, ...] = (412,) if self.create_only else ()
            return Create(
                path=f"{self.orders_path}/{_KEY}",
                method="PUT",
                made=(201, 204),
                there=(200,),
                headers=headers,
                taken=refused,
            )
        # The header is harmless where it is not honoured.
        headers = {self.key_header: self.key_value}
        taken = self.taken if self.idempotency == "client_id" else ()
        return Create(path=self.orders_path, headers=headers, taken=taken)
