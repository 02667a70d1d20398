"""An order as one model of Odoo takes it: its values, its row, and the equipment that they name."""

from connectors.erp.odoo.carrier import Carrier
from connectors.erp.odoo.check import EQUIPMENT_MODEL
from connectors.erp.odoo.door import Door
from connectors.erp.odoo.fields import NoValueError, Value, loaded, written
from connectors.erp.odoo.record import About, Plan
from gateway.core.order import WorkOrder

_MOST_KNOWN = 10_000
"""So much equipment is kept before it is looked up anew."""


class Filler:
    """Fills in orders, as the mapping of their model says. Equipment is met first: looked up once, and kept."""

    def __init__(self, plan: Plan, door: Door) -> None:
        self._plan, self._door = plan, door
        self._machines: dict[str, int] = dict(plan.equipment)

    async def meet(self, carrier: Carrier, about: About, assets: set[str]) -> None:
        """Look equipment up that was not met before. Raises `Unreachable` and `Refused`."""
        new = sorted(assets - set(self._machines))
        if not new or not sends_machines(carrier, about):
            return
        by = self._plan.equipment_by
        rows = await self._door.search(EQUIPMENT_MODEL, [[by, "in", new]], [by], 2 * len(new))
        if len(self._machines) > _MOST_KNOWN:
            # What these orders name was met, and is not asked for now.
            still = {name: self._machines[name] for name in assets if name in self._machines}
            self._machines = {**self._plan.equipment, **still}
        met = [str(row.get(by)) for row in rows]
        self._machines |= {str(row[by]): row["id"] for row in rows if met.count(str(row.get(by))) == 1}

    def values(self, carrier: Carrier, order: WorkOrder, about: About) -> dict[str, Value]:
        """Give an order as `write` takes it. Raises `NoValueError`."""
        values: dict[str, Value] = {}
        for name, value in carrier.body.fields(order).items():
            kind = about.kinds.get(name)
            if kind is None:
                raise NoValueError(f"field {name}: {carrier.model} has no such field; see {carrier.place}mapping")
            if kind.relation == EQUIPMENT_MODEL and carrier.body.rules[name].source is not None:
                machine = self._machines.get(str(value))
                if machine is not None:
                    values[name] = machine
                elif self._plan.unknown_equipment == "refuse":
                    by = self._plan.equipment_by
                    raise NoValueError(f"field {name}: the ERP has no equipment, or several, with {by} {value!r}")
                continue
            values[name] = written(name, value, kind)
        return values

    def row(self, carrier: Carrier, order: WorkOrder, about: About) -> tuple[tuple[str, ...], list[str]]:
        """Give an order as `load` takes it: its columns, and its cells under our external id. Raises `NoValueError`."""
        values = self.values(carrier, order, about)
        cells = [loaded(name, value, about.kinds[name]) for name, value in values.items()]
        columns = ("id", *(column for column, _ in cells))
        return columns, [f"{self._plan.module}.{order.key}", *(text for _, text in cells)]


def sends_machines(carrier: Carrier, about: About) -> bool:
    """Say whether the assets of orders go into a field that names equipment."""
    return any(
        name in about.kinds and about.kinds[name].relation == EQUIPMENT_MODEL and rule.source is not None
        for name, rule in carrier.body.rules.items()
    )
