"""What no single value of a settings file can say: names that must exist elsewhere. Looks at whatever is there."""

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from importlib import import_module
from typing import Any

from gateway.core.event import NAMES
from gateway.core.units import zone_of
from gateway.runtime.faults import Fault, suggest

Rows = Mapping[str, Any]


def cross_faults(rows: Rows) -> Iterator[Fault]:
    """Give every fault between the tables; a table of the wrong shape is passed over (it is named elsewhere)."""
    yield from _zone(_table(rows, "site"))
    assets = [(number, row["id"]) for number, row in _tables(rows, "asset") if isinstance(row.get("id"), str)]
    names = [name for _, name in assets]
    for place, (number, name) in enumerate(assets):
        if name in names[:place]:
            yield Fault(f"asset[{number}].id", f"asset {name!r} stands twice")
    yield from _bearings(rows)
    for source, row in _table(rows, "line").items():
        for kind in ("tag", "event"):
            for number, tag in _tables(row, kind) if isinstance(row, dict) else ():
                if isinstance(tag.get("asset"), str) and tag["asset"] not in names and "{" not in tag["asset"]:
                    at = f"line.{source}.{kind}[{number}].asset"
                    yield Fault(at, f"no [[asset]] {tag['asset']!r}", suggest(tag["asset"], names))
    yield from _erp(rows)
    yield from _events(rows)


def _zone(site: Rows) -> Iterator[Fault]:
    zone = site.get("timezone", "UTC")
    if not isinstance(zone, str):
        return
    try:
        zone_of(zone)
    except ValueError:
        yield Fault("site.timezone", f"unknown time zone {zone!r}", 'an IANA name such as "Asia/Shanghai"')


def _bearings(rows: Rows) -> Iterator[Fault]:
    named = [(number, row["bearing"]) for number, row in _tables(rows, "asset") if isinstance(row.get("bearing"), str)]
    if not named:
        return
    known = import_module("gateway.diagnosis.bearing").DESIGNATIONS  # numpy only when a bearing is named
    for number, name in named:
        if name not in known:
            hint = f"{suggest(name, known)}; or give balls, ball_mm, pitch_mm, contact_deg"
            yield Fault(f"asset[{number}].bearing", f"unknown bearing {name!r}", hint)


def _erp(rows: Rows) -> Iterator[Fault]:
    erps = _table(rows, "erp")
    wanted = _table(rows, "orders").get("erp")
    if isinstance(wanted, str) and wanted not in erps:
        yield Fault("orders.erp", f"no [erp.{wanted}]", suggest(wanted, erps))
    if wanted is None and len(erps) > 1:
        yield Fault("orders.erp", "missing: there are several ERPs", f"one of: {', '.join(erps)}")


def _events(rows: Rows) -> Iterator[Fault]:
    for number, row in _tables(_table(rows, "events"), "to"):
        types = row.get("types")
        for place, wanted in enumerate(types) if isinstance(types, list) else ():
            if isinstance(wanted, str) and not any(fnmatchcase(name, wanted) for name in NAMES):
                yield Fault(f"events.to[{number}].types[{place}]", f"no event {wanted!r}", suggest(wanted, NAMES))


def _table(rows: Rows, key: str) -> dict[str, Any]:
    found = rows.get(key)
    return found if isinstance(found, dict) else {}


def _tables(rows: Rows, key: str) -> list[tuple[int, dict[str, Any]]]:
    found = rows.get(key)
    return (
        [(number, row) for number, row in enumerate(found) if isinstance(row, dict)] if isinstance(found, list) else []
    )
