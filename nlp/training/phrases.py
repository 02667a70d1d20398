"""The interpreter's own lexicon as a source of wordings for generated reports."""

import random
import re
import tomllib
from importlib.resources import files

Table = dict[str, list[str]]
_CHOICE = re.compile(r"⟦([^⟦⟧]*)⟧")
# Phrases that begin with a part or a size hold two slots at once.
_MIXED = (
    "螺",
    "皮带",
    "机架",
    "尺寸",
    "滤芯",
    "接线",
    "中心",
    "机床",
    "frame",
    "bolt",
    "belt",
    "screw",
    "part|",
    "filter",
)
_SKIPPED = {"OVERSIZE", "UNDERSIZE", "WARP", "UNK", "SER", "WRONG_PART", "MISSING_PART"}


def lexicon(language: str) -> Table:
    """Give phrases by rule of the generator: `part`, `machine`, and by code: `symptom.NOI`, `defect.DENT`."""
    read = tomllib.loads(files("nlp.words").joinpath(f"{language}.toml").read_text("utf-8"))
    table: Table = {"part": _phrases(read["component"]["words"], language)}
    for name in ("product", "location"):
        table[name] = _phrases(read[name]["words"], language)
    for name in ("machine", "characteristic"):
        table[name] = [
            one for kind, text in read[name].items() if kind != "machine" for one in _phrases(text, language)
        ]
    for key, text in read["trouble"].items():
        code, _, slot = key.partition("_")
        _add(table, slot, code, _phrases(text, language))
    for rule in ("defect", "cause"):
        for code, text in read[rule].items():
            _add(table, rule, code, _phrases(text, language))
    return table


def settle(phrase: str, chance: random.Random) -> str:
    """Draw one wording of a lexicon phrase; a grammar's option is left as it is."""
    if not phrase.startswith("⟦"):
        return phrase
    while _CHOICE.search(phrase):
        phrase = _CHOICE.sub(lambda found: chance.choice(found[1].split("|")), phrase)
    return " ".join(phrase.replace("#", str(chance.randint(1, 9))).split())


def _add(table: Table, slot: str, code: str, phrases: list[str]) -> None:
    if code not in _SKIPPED:
        table[f"{slot}.{code}"] = [one for one in phrases if not one.startswith(tuple("⟦⟦" + word for word in _MIXED))]


def _phrases(text: str, language: str) -> list[str]:
    """Phrases stand apart by blanks in Chinese, by commas in English, but not within braces."""
    marked = text.replace("{", "⟦").replace("}", "⟧")
    found, depth, begin = [], 0, 0
    for at, sign in enumerate(marked):
        depth += (sign == "⟦") - (sign == "⟧")
        if depth == 0 and (sign == "," if language == "en" else sign.isspace()):
            found.append(marked[begin:at].strip())
            begin = at + 1
    found.append(marked[begin:].strip())
    return [f"⟦{one}⟧" for one in found if one and "\\" not in one]
