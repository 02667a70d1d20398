"""Gateway: what the HTTP edge needs of the running gateway, in one value."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from gateway.core.asset import Plant
from gateway.core.batch import TagState
from gateway.core.ports import Clock, Held, Store
from gateway.flow.live import Live
from gateway.flow.receive import Confirm
from gateway.flow.takes_back import Closed, open_to_it
from gateway.runtime.api_settings import ApiSettings
from gateway.runtime.equipment import Equipment
from gateway.runtime.telemetry import Telemetry


def _nothing() -> None:
    pass


@dataclass(slots=True, kw_only=True)
class Gateway:
    """The running gateway as its edges see it. Filled in by the wiring; read by the edges, never kept by them.

    Applied settings change `plant`, `confirm`, `config`, `parts` and `model`, on the event loop, between two answers.
    `confirm` turns a reviewed report into an order inside the transaction. `wake_words` is called
    after a report was committed, `wake_delivery` after an order was, `wake_production` after a production order, which
    goes on its way to `produce_to` ("" for nobody), `wake_follow` after a hint about an order was. With `erp_signs` a
    status that the ERP signed counts by itself; `false_codes` are its closing codes that mean a false alarm.
    `takes_nothing_back` says of an ERP, by its name, why no order is taken back there, "" where one may be.
    `sources` names every node,
    register and link with its health; `troubles` says what else ails, each as "name: why". `stopping`
    is set before the web server is asked to end. `equipment` knows alarms and what can be written. `held` says
    what the journal held when it was last looked at.
    `version`, `config`, `parts` (digests by part) and `model` name the software, the settings and the model bundle.
    """

    plant: Plant
    store: Store
    live: Live
    api: ApiSettings
    now: Clock
    confirm: Confirm
    telemetry: Telemetry = field(default_factory=Telemetry)
    wake_words: Callable[[], None] = _nothing
    wake_delivery: Callable[[], None] = _nothing
    wake_production: Callable[[], None] = _nothing
    produce_to: str = ""
    false_codes: Collection[str] = ()
    takes_nothing_back: Closed = open_to_it
    wake_follow: Callable[[], None] = _nothing
    erp_signs: bool = True
    sources: Callable[[], Sequence[TagState]] = tuple
    troubles: Callable[[], Sequence[str]] = tuple
    equipment: Equipment = field(default_factory=Equipment)
    held: Callable[[], Held] = Held
    version: str = "0"
    config: str = ""
    model: str = ""
    parts: dict[str, str] = field(default_factory=dict)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
