"""What is to be known of a REST interface: how an order is made, found, read, changed, taken back, and what words mean.

The generic settings fill a `Plan` in from TOML; a preset for one make of ERP builds its own and hands it to
`connectors.erp.rest.adapter.Rest`. Nothing in the adapter knows a make.
"""

from typing import Annotated, Literal

import msgspec

from connectors.erp.mapping import Scalar
from connectors.erp.rest.template import HeaderName, Path, Text, faults_of
from gateway.core.delivery import Idempotency

Place = Annotated[str, msgspec.Meta(max_length=200)]
"""Where a value is in JSON: names with dots between them; "" is the whole."""
Status = Annotated[int, msgspec.Meta(ge=100, le=599)]
State = Literal["open", "done", "cancelled", "unknown"]


CALLS = 4
"""Requests one after the other that a call of the adapter may need."""


class Call(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One request. `path`, `params` and `headers` are templates; `params` is the query."""

    path: Path
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] = "GET"
    params: dict[str, Text] = {}
    headers: dict[HeaderName, Text] = {}

    def __post_init__(self) -> None:
        for template in (self.path, *self.params.values(), *self.headers.values()):
            wrong = faults_of(template)
            if wrong:
                raise ValueError(f"{template!r}: {wrong[0]}")


class Create(Call, frozen=True, kw_only=True):
    """How an order is made; its body is the mapped order.

    Statuses: `made` says that it is there now, those of `there` that it was there before. `taken` says that our
    key or number is there already (an answer that holds one of `taken_words` says so too): it is read back. All
    others mean what `connectors.erp.http.classify` says.
    """

    method: Literal["POST", "PUT", "PATCH"] = "POST"
    made: tuple[Status, ...] = (200, 201, 204)
    there: tuple[Status, ...] = ()
    taken: tuple[Status, ...] = ()
    taken_words: tuple[Text, ...] = ()


class Find(Call, frozen=True, kw_only=True):
    """How orders are looked up by our key. `rows` is where their list is.

    `single`: the answer is the one record itself, and 404 says that there is none.
    """

    rows: Place = ""
    single: bool = False


class Amend(Call, frozen=True, kw_only=True):
    """How a record is changed. `whole` sends every mapped field, for a PUT; else those that change alone."""

    method: Literal["PATCH", "PUT", "POST"] = "PATCH"
    whole: bool = False


class Cancel(Call, frozen=True, kw_only=True):
    """How a record is taken back: `body` is what is sent (place and value), the reason at `reason`, if anywhere."""

    method: Literal["PATCH", "POST", "PUT", "DELETE"] = "PATCH"
    body: dict[str, Scalar] = {}
    reason: Place = ""
    longest_reason: Annotated[int, msgspec.Meta(ge=20, le=10_000)] = 200


class Batch(Call, frozen=True, kw_only=True):
    """How several orders are made by one request of at most `size`.

    The bodies go as a list at `rows`, each inside `item` and with our key at `key`, where these are not empty. The
    answer has one entry per order, in order, at `answers`: its status at `status`, the record at `record`,
    what was wrong at `error`. An entry without a status was made when it has a number. An ERP that refuses
    all for the sake of one is asked once more for each alone. `ordered`: the ERP works through the list in its order,
    and when it has to leave one of an asset for later it leaves those behind it, too; then several orders of one
    asset may share a request.
    """

    method: Literal["POST", "PUT", "PATCH"] = "POST"
    ordered: bool = False
    size: Annotated[int, msgspec.Meta(ge=2, le=1000)] = 50
    rows: Place = ""
    item: Place = ""
    key: Place = ""
    answers: Place = ""
    status: Place = "status"
    record: Place = ""
    error: Place = "error"


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a record has what.

    `at` is where an answer about one order has the record, `fields` where the record has the mapped fields. `id`
    is what other requests call it by when that is not its number (the last part of it, when it is an address).
    `version` empty means the ETag header. `maker` is who made it: a planner's copy of it carries our key, too.
    `number_header` names a header whose last part is the number of what was just made (Location), for answers
    without a body.
    """

    number: Place = "number"
    key: Place = "reference"
    id: Place = ""
    status: Place = "status"
    version: Place = ""
    closing: Place = ""
    maker: Place = ""
    fields: Place = ""
    at: Place = ""
    number_header: Text = ""


class States(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The ERP's words for the state of an order; capitals do not matter.

    `open`: nobody has begun, so that it may still be taken back. `begun`: open, and somebody has. A word that
    stands nowhere is unknown.
    """

    open: tuple[Text, ...] = ("open", "new", "planned", "draft")
    begun: tuple[Text, ...] = ("in progress", "in_progress", "started", "waiting", "released")
    done: tuple[Text, ...] = ("done", "closed", "completed", "complete", "finished", "resolved")
    cancelled: tuple[Text, ...] = ("cancelled", "canceled")

    def __post_init__(self) -> None:
        words = [word.casefold() for word in (*self.open, *self.begun, *self.done, *self.cancelled)]
        twice = sorted({word for word in words if words.count(word) > 1})
        if twice:
            raise ValueError(f"states: {twice[0]!r} stands for two states")

    def meaning(self, word: str) -> State:
        """Say what a status means to us."""
        said = word.casefold()
        for state, words in (("done", self.done), ("cancelled", self.cancelled)):
            if said in {one.casefold() for one in words}:
                return "done" if state == "done" else "cancelled"
        return "open" if said in {one.casefold() for one in (*self.open, *self.begun)} else "unknown"

    def untouched(self, word: str) -> bool:
        """Say whether nobody has begun."""
        return word.casefold() in {one.casefold() for one in self.open}


class Probe(Call, frozen=True, kw_only=True):
    """A harmless request that has to succeed before the first order.

    OPTIONS is asked whether orders may be made. POST, PUT and PATCH carry an order as a dry run, about `asset`: only
    for an address that is known to make nothing.
    """

    method: Literal["GET", "POST", "PUT", "PATCH", "OPTIONS"] = "OPTIONS"
    asset: Annotated[str, msgspec.Meta(max_length=64)] = ""


class Metadata(Call, frozen=True, kw_only=True):
    """Where the ERP describes an order: JSON Schema, or OpenAPI with the schema at `schema`."""

    schema: Place = ""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """All of it. Seconds: `timeout` of one request, `settle`, `replay_window`.

    `find` is None where an order cannot be looked up. `stale` are the statuses of a precondition that does not
    hold. With precondition "etag" a change carries the version as If-Match, with "timestamp" in its body, at
    `record.version`; with "none" it carries nothing, and what a planner does between our reading and our writing
    may be lost. `overwrites`: a second create of the same order undoes what a planner changed. `lane`
    "connection" is for an ERP that takes one order at a time.
    """

    name: str
    idempotency: Idempotency
    create: Create
    read: Call
    record: Record = Record()
    find: Find | None = None
    amend: Amend | None = None
    cancel: Cancel | None = None
    batch: Batch | None = None
    metadata: Metadata | None = None
    probe: Probe | None = None
    states: States = States()
    precondition: Literal["etag", "timestamp", "none"] = "none"
    stale: tuple[Status, ...] = (412, 428)
    overwrites: bool = False
    lane: Literal["asset", "connection"] = "asset"
    feedback: Literal["signed", "unsigned", "poll"] = "poll"
    timeout: float = 30.0
    settle: float = 0.0
    replay_window: float | None = None
