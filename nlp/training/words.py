"""Shop words for generated reports: parts, machines, goods, places, and troubles by code, in two languages.

They stand in `words.txt` as `中文/另一个=english/another`: forms of one thing. The pairs also seed the vectors of
hanzi that the base vocabulary does not know (see `surgery`).
"""

from pathlib import Path

Forms = tuple[str, ...]
Pair = tuple[Forms, Forms]


def _read() -> dict[str, tuple[Pair, ...]]:
    found: dict[str, tuple[Pair, ...]] = {}
    name = ""
    for line in Path(__file__).with_name("words.txt").read_text("utf-8").splitlines():
        if line.startswith("["):
            name = line[1:-1]
            found[name] = ()
        elif line and not line.startswith("#"):
            sides = [item.partition("=") for item in line.split(";")]
            found[name] += tuple((tuple(zh.split("/")), tuple(en.split("/"))) for zh, _, en in sides)
    return found


_ALL = _read()


def _by_code(kind: str) -> dict[str, Pair]:
    return {name.split()[1]: pairs[0] for name, pairs in _ALL.items() if name.startswith(kind + " ")}


COMPONENTS = _ALL["components"]
MACHINES = _ALL["machines"]
PRODUCTS = _ALL["products"]
LOCATIONS = _ALL["locations"]
CHARACTERISTICS = _ALL["characteristics"]
PLAIN = _ALL["plain"]
# What one hears, feels or reads, by failure mode; and the state of a part.
SYMPTOMS = _by_code("symptoms")
STATES = _by_code("states")
DEFECTS = _by_code("defects")
CAUSES = _by_code("causes")
ACTIONS = _by_code("actions")

SURFACE = ("SCRATCH", "DENT", "BURR", "COLOR", "CONTAMINATION", "COATING", "SPATTER", "UNDERCUT", "SINK", "OTHER")
INTERNAL = ("POROSITY", "LACK_OF_FUSION", "DELAMINATION", "CRACK")
DIMENSION = ("OVERSIZE", "UNDERSIZE", "WARP", "SHORT_SHOT", "FLASH", "LOOSE_FIT", "MISSING_PART", "WRONG_PART")


def everything() -> tuple[Pair, ...]:
    """Every pair of the lists."""
    return tuple(pair for pairs in _ALL.values() for pair in pairs)
