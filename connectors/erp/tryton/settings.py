"""Settings of a Tryton."""

from datetime import UTC, datetime
from typing import Annotated

import msgspec

from connectors.erp.http import ErpClient
from connectors.erp.mapping import Rule
from connectors.erp.place import Reach, Url, sendable
from connectors.erp.tryton.adapter import Tryton
from connectors.erp.tryton.carrier import KNOWN, MAPPINGS, Carrier
from connectors.erp.tryton.door import Door
from connectors.erp.tryton.record import Record, Shape
from gateway.core.reading import Name
from gateway.core.secret import SecretRef
from gateway.core.units import Duration, zone_of

SAMPLE = """
[erp.main]
protocol = "tryton"
base_url = "https://tryton.example"
database = "plant"
key = { env = "TRYTON_KEY" }       # of a user application "REST", validated by the user
company = 1
origin = "quality.inspection,1"    # where an alert comes from when its line has no origin of its own
settle = "60s"                     # its longest time to carry out a request that was given up

[erp.main.origins]                 # by asset, or by a level of its hierarchy
LINE-A = "quality.inspection,1"

[erp.main.mapping]
description = { from = "text", max = 4000 }
"""

_LONGEST_TIMEOUT, _LONGEST_SETTLE = 300.0, 2400.0

Model = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_.]{0,100}$")]
Reference = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_.]{0,100},[1-9][0-9]{0,17}$")]


class Settings(Reach, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One database of a Tryton.

    `key` is that of a user application "REST". `model` carries the orders; what its fields, states and
    buttons mean is known of quality.alert and production, others say it in `carrier`. `mapping` fills further
    fields. `link` is attached to each record, with {key} for the order's key. `zone` is where dates are read.
    Tryton bounds no write, so `settle` is what the operator says.
    """

    name: Name
    database: Annotated[str, msgspec.Meta(pattern=r"^[\w-]{1,63}$")]
    key: SecretRef
    company: Annotated[int, msgspec.Meta(ge=1)]
    model: Model = "quality.alert"
    carrier: Carrier | None = None
    origins: dict[str, Reference] = msgspec.field(default_factory=dict)
    origin: Reference | None = None
    mapping: dict[str, str | Rule] = msgspec.field(default_factory=dict)
    link: Url | None = None
    zone: str = "UTC"
    settle: Duration = Duration(60)
    connections: Annotated[int, msgspec.Meta(ge=1, le=64)] = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        # Together they must stay below the longest lease and wait of the outbox, an hour.
        if not 0 < self.timeout <= _LONGEST_TIMEOUT:
            raise ValueError("timeout is more than nothing and at most 5min")
        if self.settle > _LONGEST_SETTLE:
            raise ValueError("settle is at most 40min")
        if self.carrier is None and self.model not in KNOWN:
            raise ValueError(f"{self.model} is none of {', '.join(KNOWN)}: say in carrier what its fields mean")
        zone_of(self.zone)

    def open(self) -> Tryton:
        """Make the adapter. Raises `Misconfigured` without the key, or with a mapping that cannot be."""
        shape = Shape(
            self.model,
            self.company,
            self.carrier or KNOWN[self.model],
            self.mapping or MAPPINGS.get(self.model, {}),
            self.origins,
            self.origin,
            zone_of(self.zone),
        )
        record = Record(shape)
        client = self.new_client(None, {"authorization": f"Bearer {sendable(self.key.reveal(), 'key')}"})
        asking = ErpClient(client, self.timeout)
        door = Door(self.name, asking, self.database, self.company, lambda: datetime.now(UTC))
        return Tryton(door, record, timeout_s=self.timeout, settle_s=self.settle, link=self.link)
