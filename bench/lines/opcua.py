"""Rows of OPC UA values: 5,000 tags, 20,000 tags, and a server that is far away."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from report import Row

from lines import thingsboard
from lines.measure import Figure, bare, ours
from lines.process import Failed, Skipped, cores, script, started
from lines.rows import Given, untold
from lines.sources import Source, load, node_opcua, open62541

CPU_TARGET = 0.3
MANY, MOST, FAR = 5000, 20_000, 1000
TEN_TIMES = 10.0
ROUND_TRIP_S = 0.05


def _percent(name: str, figure: Figure, base: Figure | None, note: str) -> Row:
    least = 0.99995
    good = figure.delivered >= least and not figure.lost and not figure.wrong
    other = None if base is None else base.delivered * 100
    return Row(f"{name}: delivered", figure.delivered * 100, other, "%", None, "100 %", good, note)


def _lost(name: str, figure: Figure, base: Figure | None, note: str = "") -> Row:
    wrong = f"{figure.wrong} wrong; " if figure.wrong else ""
    other = None if base is None else base.lost
    return Row(f"{name}: lost", figure.lost, other, "values", None, "0", not figure.lost, wrong + note)


def _cpu(name: str, figure: Figure, base: Figure | None, target: float = CPU_TARGET, note: str = "") -> Row:
    ratio = None if base is None else base.cpu / figure.cpu
    other = None if base is None else base.cpu
    good = figure.cpu <= target
    return Row(f"{name}: CPU per 100,000", figure.cpu, other, "s", ratio, f"<= {target}", good, note)


Opened = Callable[[], AbstractContextManager[Source]]


def many(given: Given) -> Iterator[Row]:
    """5,000 tags at 10 Hz, mixed types, mapped, committed before acknowledged; a bare client beside it."""
    mine, theirs = cores()
    sources: dict[str, Opened] = {
        "own load source": lambda: load(MANY, core=theirs),
        "node-opcua": lambda: node_opcua(MANY, core=theirs),
        "open62541": lambda: open62541(given.open62541, MANY, core=theirs),
    }
    for label, opened in sources.items():
        name = f"OPC UA 5,000 x 10 Hz, {label}"
        try:
            with opened() as source:
                figure = ours(source, given.seconds, core=mine)
                base, words = _stock(source, given.seconds, mine)
        except (Skipped, Failed) as why:
            yield untold(name, "100 %", why)
            continue
        note = f"{'mixed types' if source.grid.mixed else 'Double'}; {words}"
        yield _percent(name, figure, base, note)
        yield _lost(name, figure, base, note)
        yield _cpu(name, figure, base, note=note)
    yield from _beside_thingsboard(given, mine, theirs)


def _stock(source: Source, seconds: float, core: int, *, defaults: bool = False) -> tuple[Figure | None, str]:
    """Measure the stock client; it may fail at what ours does, and then there is no baseline."""
    how = ", its default queue and sampling" if defaults else ""
    try:
        figure = bare(source, seconds, core=core, defaults=defaults)
    except Failed as why:
        return None, f"baseline failed: {why}"
    return figure, f"baseline: stock asyncua client that keeps nothing{how}"


def _beside_thingsboard(given: Given, mine: int, theirs: int) -> Iterator[Row]:
    name, target = "OPC UA 5,000 x 10 Hz, beside ThingsBoard gateway", f">= {TEN_TIMES:.0f} x"
    try:
        with thingsboard.installed() as home, load(MANY, core=theirs) as source:
            figure = ours(source, given.seconds, core=mine)
            base = thingsboard.measure(home, source, given.seconds, core=mine, other=theirs)
    except (Skipped, Failed) as why:
        yield untold(name, target, why)
        return
    note = f"{source.name}; baseline: {base.note}"
    yield _percent(name, figure, base, note)
    ratio = base.cpu / figure.cpu
    yield Row(f"{name}: CPU per 100,000", figure.cpu, base.cpu, "s", ratio, target, ratio >= TEN_TIMES, note)


def most(given: Given) -> Iterator[Row]:
    """20,000 tags at 10 Hz; ours has one core, the load source the other."""
    mine, theirs = cores()
    sources: dict[str, Opened] = {
        "own load source": lambda: load(MOST, core=theirs),
        "open62541": lambda: open62541(given.open62541, MOST, core=theirs),
    }
    for label, opened in sources.items():
        name = f"OPC UA 20,000 x 10 Hz on one core, {label}"
        try:
            with opened() as source:
                figure = ours(source, given.seconds, core=mine)
        except (Skipped, Failed) as why:
            yield untold(name, "100 %", why)
            continue
        kind = "mixed types" if source.grid.mixed else "Double"
        note = f"{kind}; {figure.rate:,.0f} values/s, {figure.rss:.0f} MiB"
        yield _percent(name, figure, None, note)
        yield _lost(name, figure, None, note)
        yield _cpu(name, figure, None, note=note)


def far(given: Given) -> Iterator[Row]:
    """1,000 tags at 10 Hz with 50 ms of round trip; the stock client beside it."""
    mine, theirs = cores()
    sources: dict[str, Opened] = {
        "own load source": lambda: load(FAR, core=theirs),
        "node-opcua": lambda: node_opcua(FAR, core=theirs),
        "open62541": lambda: open62541(given.open62541, FAR, core=theirs),
    }
    for label, opened in sources.items():
        name = f"OPC UA 1,000 x 10 Hz at 50 ms round trip, {label}"
        try:
            with opened() as source, _far(source, theirs) as away:
                figure = ours(away, given.seconds, core=mine)
                base, words = _stock(away, given.seconds, mine, defaults=True)
        except (Skipped, Failed) as why:
            yield untold(name, "0", why)
            continue
        yield _lost(name, figure, base, words)
        yield _percent(name, figure, base, words)


@contextmanager
def _far(source: Source, core: int) -> Iterator[Source]:
    command = script("delay.py", str(source.port), "--delay", str(ROUND_TRIP_S / 2))
    with started(command, "the delay", core=core) as child:
        yield source.behind(int(child.line("READY", 10.0)[1]))
