"""What the tests of every make of ERP share: an order delivered, its record there, settings from the sample."""

import tomllib
from typing import Any, TypeVar

import msgspec

from gateway.core.delivery import Delivered, ErpRef
from gateway.core.ports import ErpAdapter
from gateway.core.units import decode
from tests.erp_process import Erp, make_order

Settings = TypeVar("Settings")


async def deliver(erp: ErpAdapter, name: str, **fields: Any) -> ErpRef:
    """Deliver an order about one trouble; gives what the ERP calls it."""
    [outcome] = await erp.deliver([make_order(name, **fields)])
    assert isinstance(outcome, Delivered), outcome
    return outcome.ref


def record(plant: Erp, key: str) -> dict[str, Any]:
    """Give the one record with our key, as it is in the ERP's database."""
    [found] = [order["order"] for order in plant.state()["orders"] if order["reference"] == key]
    return dict(found)


def sampled(kind: type[Settings], sample: str, protocol: str, **change: object) -> Settings:
    """Read an adapter's sample with some settings changed; those that are None are left out."""
    row = {**tomllib.loads(sample)["erp"]["main"], "name": "main", **change}
    assert row.pop("protocol") == protocol
    given = {name: value for name, value in row.items() if value is not None}
    return msgspec.convert(given, kind, dec_hook=decode)
