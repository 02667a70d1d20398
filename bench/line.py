"""The line side: one row per promise, the product's road beside baselines in the same run.

The product's road is source, typing and scaling, one FULL commit per batch, then the acknowledgement. What was
delivered is counted in the store afterwards, value by value. See docs/benchmarks.md for what the load sources
and baselines are.
"""

import argparse
import sys
from collections.abc import Callable, Iterator

from lines import memory, modbus, opcua, outage, payload, store
from lines.process import Failed, Skipped
from lines.rows import Given, untold
from report import Row, publish

SUBJECTS: dict[str, Callable[[Given], Iterator[Row]]] = {
    "opcua-5000": opcua.many,
    "opcua-20000": opcua.most,
    "opcua-far": opcua.far,
    "outage": outage.outages,
    "payload": payload.payload,
    "modbus": modbus.scans,
    "modbus-far": modbus.far,
    "modbus-dead": modbus.dead,
    "store": store.acknowledged,
    "memory": memory.memory,
}


def main() -> int:
    """Run what is wanted and publish."""
    parser = argparse.ArgumentParser(prog="bench/line.py", description="Measure: line.")
    parser.add_argument("--quick", action="store_true", help="shorter, less exact")
    parser.add_argument("-o", dest="output", choices=("table", "json"), default="table", help="form of the output")
    parser.add_argument("--only", action="append", choices=tuple(SUBJECTS), help="run this row alone; may be repeated")
    parser.add_argument("--list", action="store_true", help="name the rows and end")
    parser.add_argument("--open62541", default="", metavar="COMMAND", help="starts an open62541 server")
    given = parser.parse_args()
    if given.list:
        for name, measure in SUBJECTS.items():
            print(f"{name:14} {(measure.__doc__ or '').splitlines()[0]}")
        return 0
    rows: list[Row] = []
    for name in given.only or SUBJECTS:
        try:
            rows += SUBJECTS[name](Given(quick=given.quick, open62541=given.open62541))
        except (Skipped, Failed) as why:
            rows.append(untold(name, "", why))
        if given.output == "table":
            sys.stderr.write(f"{name}: done\n")
    publish("line", rows, given.output)
    return 0 if any(row.ours is not None for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
