"""The part of `andon.toml` about production orders: who on the line gets them, and how they are written."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Annotated, Any

import msgspec

from gateway.core.reading import Value
from gateway.core.units import Duration
from gateway.flow.handing import FIELDS, PARAMETER, Plan, Write, unknown
from gateway.runtime.faults import Fault, suggest

SAMPLE = """
[production]
to = "line.cell-a"                      # or "erp.press-7", a receiver of jobs (protocol "jobcontrol")

[production.targets]                    # field = declared write target, in the order in which they are written
order_id = "order-id"
material_code = "material"
quantity = "quantity"

[production.trigger]                    # written last; what stands before it has no effect alone
target = "start"
values = [true]
"""

_SHORTEST_FOLLOW, _LONGEST_FOLLOW = 1.0, 3600.0
_WRITE_S = 7.0


class Trigger(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The write that makes the line take the order. A value "$order_id" is that field of the order.

    The line takes it back when it has the order, and until then the next one waits; where it does not, `before` is
    written to the same target ahead of each order.
    """

    target: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    values: tuple[Value, ...] = (True,)
    before: tuple[Value, ...] = ()


class ProductionSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who gets production orders. Without `to` they are kept, and nothing is written anywhere.

    `to` is "line.<name>" with `targets` (a field of the order, and the declared write target that gets it, in the
    order in which they are written) and a `trigger`; or "erp.<name>", a receiver of jobs. `follow` is how often a
    receiver is asked about its jobs, `remembers` for how long the line surely shows an order that it took: an order in
    doubt that it does not show by then is handed over again, after that a person has to look. An order that cannot be
    handed over for `give_up_after` is for a person.
    """

    to: Annotated[str, msgspec.Meta(pattern=r"^((line|erp)\.[^\s.]+)?$")] = ""
    targets: dict[str, str] = {}
    trigger: Trigger | None = None
    follow: Duration = Duration(10)
    remembers: Duration = Duration(3600)
    give_up_after: Duration = Duration(72 * 3600)

    def __post_init__(self) -> None:
        written = bool(self.targets) or self.trigger is not None
        if self.to.startswith("line.") and not written:
            raise ValueError(f'{self.to} needs targets: order_id = "<declared write target>", …')
        if written and not self.to.startswith("line."):
            raise ValueError('targets and trigger are for to = "line.<name>"')
        wrong = [name for name in self.targets if name not in FIELDS and not name.startswith(PARAMETER)]
        wrong += [name for value in (self.trigger.values if self.trigger else ()) if (name := unknown(value))]
        if wrong:
            raise ValueError(f"{wrong[0]!r} is no field of an order: {', '.join(FIELDS)}, {PARAMETER}<id>")
        if not _SHORTEST_FOLLOW <= self.follow <= _LONGEST_FOLLOW:
            raise ValueError("follow is between 1s and 1h")

    @property
    def receiver(self) -> str:
        """The [erp.<name>] that takes the orders as jobs; empty when they are written to a line, or not at all."""
        return self.to.removeprefix("erp.") if self.to.startswith("erp.") else ""

    @property
    def plan(self) -> Plan | None:
        """What is written to a line; None when nothing is."""
        if not self.to.startswith("line."):
            return None
        writes = tuple(Write(target, (f"${field}",)) for field, target in self.targets.items())
        trigger = None if self.trigger is None else Write(self.trigger.target, self.trigger.values)
        back = None if self.trigger is None or not self.trigger.before else self.trigger
        before = None if back is None else Write(back.target, back.before)
        return Plan(self.to.removeprefix("line."), writes, trigger, before)


WRITE = timedelta(seconds=_WRITE_S)
"""The longest time that one write is waited for."""


def production_faults(rows: Mapping[str, Any]) -> Iterator[Fault]:
    """Give what [production] names and is not there: lines, ERPs, declared write targets."""
    production = rows.get("production")
    to = production.get("to") if isinstance(production, dict) else None
    if not isinstance(production, dict) or not isinstance(to, str) or not to:
        return
    group, _, name = to.partition(".")
    known = rows.get(group)
    if not isinstance(known, dict) or name not in known:
        yield Fault("production.to", f"no [{to}]", suggest(name, list(known) if isinstance(known, dict) else []))
        return
    if group == "erp":
        orders = rows.get("orders")
        if len(known) == 1 and not (isinstance(orders, dict) and orders.get("erp")):
            hint = f'say in [orders] erp = "…" who gets the work orders; erp = "{name}" when it gets both'
            yield Fault("orders.erp", f"missing: [erp.{name}] takes the production orders", hint)
        return
    declared = [str(one.get("name")) for one in _listed(known[name])]
    wanted = production.get("targets")
    trigger = production.get("trigger")
    named = [*(wanted.items() if isinstance(wanted, dict) else ())]
    if isinstance(trigger, dict):
        named.append(("trigger", trigger.get("target")))
    for field, target in named:
        if target not in declared:
            at = "production.trigger.target" if field == "trigger" else f"production.targets.{field}"
            yield Fault(at, f"[line.{name}] declares no write target {target!r}", suggest(str(target), declared))


def _listed(line: Any) -> Sequence[Mapping[str, Any]]:
    rows = line.get("target") if isinstance(line, dict) else None
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
