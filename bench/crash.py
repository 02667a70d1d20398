"""Kill the gateway: at random under load, and at every system call; count lost and double orders in the ERP itself.

The baseline is an integration as it is written first (send until it is answered), on the same ERP with the same
faults and as many kills.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from crashes import kills, points
from crashes.erp import STRATEGIES, simulated
from crashes.once import Job
from report import Row, publish

KILLS = 60
SEED = 20261121


def main() -> int:
    """Run what is wanted and publish; exit 1 when an order was lost or made twice."""
    parser = argparse.ArgumentParser(prog="bench/crash.py", description="Measure: crash.")
    parser.add_argument("--kills", type=int, default=KILLS, help="kills at random, shared by the strategies")
    parser.add_argument("--seed", type=int, default=SEED, help="of the kills and the faults")
    parser.add_argument("--only", action="append", choices=("kills", "points"), help="this part alone")
    parser.add_argument("--strategy", action="append", choices=tuple(STRATEGIES), help="this one alone; repeatable")
    parser.add_argument("--quick", action="store_true", help="8 kills, and the points of one strategy")
    parser.add_argument("-o", dest="output", choices=("table", "json"), default="table", help="form of the output")
    given = parser.parse_args()
    parts = given.only or ["kills", "points"]
    strategies = given.strategy or list(STRATEGIES)
    sys.stderr.write(f"seed {given.seed}\n")
    rows: list[Row] = []
    if "kills" in parts:
        rows += _kills(strategies, 8 if given.quick else given.kills, given.seed)
    if "points" in parts:
        rows += _points(["lookup"] if given.quick else strategies)
    publish("crash", rows, given.output)
    return 0 if all(row.ok is not False for row in rows) else 1


def _kills(strategies: list[str], count: int, seed: int) -> Iterator[Row]:
    share = [len(range(place, count, len(strategies))) for place in range(len(strategies))]
    with tempfile.TemporaryDirectory() as folder:
        bare = kills.without_safeguards(max(share), seed, Path(folder))
    first = f"naive: {bare.duplicates} of {bare.orders} were duplicates after {bare.kills} kills"
    for strategy, mine in zip(strategies, share, strict=True):
        if not mine:
            continue
        with tempfile.TemporaryDirectory() as folder:
            told = kills.gateway(strategy, mine, seed, Path(folder))
        note = f"{told.accepted} reports accepted, {told.orders} orders, {told.parked} parked, seed {seed}"
        well = not told.why and told.accepted > 0 and not told.parked
        yield Row(
            f"{strategy}: lost after {mine} kills",
            told.lost,
            bare.lost,
            "orders",
            None,
            "0",
            well and not told.lost,
            told.why or note,
        )
        yield Row(
            f"{strategy}: duplicates", told.duplicates, bare.duplicates, "orders", None, "0", not told.duplicates, first
        )


def _points(strategies: list[str]) -> Iterator[Row]:
    missing = points.missing()
    for strategy in strategies:
        name = f"{strategy}: bad of all kill points"
        if missing:
            yield Row(name, None, None, "points", None, "0", None, missing)
            continue
        profile, _ = STRATEGIES[strategy]
        with tempfile.TemporaryDirectory() as kept, simulated(profile, Path(kept)) as erp:
            ready = erp.ready

            def job(folder: Path, names: list[str], strategy: str = strategy, ready: dict[str, str] = ready) -> Job:
                where = (ready["base_url"], ready["token_url"], ready["client_id"], ready["client_secret"])
                return Job(str(folder / "store"), *where, strategy, names, str(folder / "acks"))

            tally = points.enumerate_points(job, erp.commits, 2)
        note = f"{tally.points} system calls of accepting and delivering {points.REPORTS}, {tally.killed} died there"
        yield Row(name, len(tally.bad), None, "points", None, "0", not tally.bad, "; ".join(tally.bad[:3]) or note)


if __name__ == "__main__":
    sys.exit(main())
