"""Quality reports made up by a grammar, with the spans of their slots: the same seed gives the same reports."""

import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal, cast, get_args

from gateway.core.report import Slot, SlotName
from nlp.intents import FINE
from nlp.training import words
from nlp.training.phrases import lexicon, settle
from nlp.training.rules import Rules, rules

Language = Literal["zh", "en"]
SLOTS: frozenset[str] = frozenset(get_args(SlotName))
INTENTS: dict[str, tuple[str, ...]] = {str(name): fine for name, fine in FINE.items()} | {
    "out_of_scope": ("out_of_scope",)
}
# How often each is said; troubles of equipment and goods are most of a day's reports.
WEIGHTS = {
    "equipment_fault": 7.0,
    "process_deviation": 2.5,
    "product_surface_defect": 2.5,
    "product_internal_defect": 1.5,
    "product_dimension_defect": 2.0,
    "safety_hazard": 1.5,
    "fail": 2.0,
}
_MARK = re.compile(r"\{(~?)(\w+)(?:=(\w+))?\}")
_FULL_WIDTH = str.maketrans("0123456789", "０１２３４５６７８９")  # noqa: RUF001 - the full width is the point
_KINDS = {"failure_mode": "failure_modes", "symptom": "failure_modes", "cause": "causes", "defect": "defects"}

_WITH_PARTICLES = {"failure_mode", "symptom", "defect", "cause", "action"}
_TAIL = re.compile(r"[了的]$")
_ACTION_TAIL = re.compile(r"(?:一下|一个|好|掉|下|完)?[了的]?$")
_LEAST = 20  # options of a code
_FEW = 3  # letters inside a piece: fewer are left as they are
_SPARED = 0.6  # share of pieces that get no typo

Option = tuple[str, str]  # template, code ("" for none)


@dataclass(frozen=True, slots=True)
class Labelled:
    """A report with its labels. `intent` and `fine` are "out_of_scope" when it is none of the plant's business.

    `codes` are `kind:code` in the order of the text, kind one of failure_modes, defects, causes, action.
    """

    text: str
    language: Language
    intent: str
    fine: str
    slots: tuple[Slot, ...]
    codes: tuple[str, ...]


Piece = tuple[str, str, int]  # text, slot ("" for none), number of the span that it belongs to


@dataclass(slots=True)
class _Draft:
    pieces: list[Piece] = field(default_factory=list)
    codes: list[str] = field(default_factory=list)
    spans: int = 0

    def put(self, text: str, slot: str, span: int) -> None:
        """Append a text, to the last piece when both belong to the same span."""
        if self.pieces and self.pieces[-1][1:] == (slot, span):
            self.pieces[-1] = (self.pieces[-1][0] + text, slot, span)
        elif text:
            self.pieces.append((text, slot, span))


class Generator:
    """Makes reports. `noise` is the share of reports with typos, other letter cases, full-width or lost spaces."""

    def __init__(self, seed: int, *, noise: float = 0.4) -> None:
        self._random = random.Random(seed)  # noqa: S311 - reproducible text, no secret
        self._noise = noise
        self._rules = {"zh": _options(rules("zh"), "zh"), "en": _options(rules("en"), "en")}
        self._fine = [(intent, fine) for intent, fines in INTENTS.items() for fine in fines]
        self._weights = [WEIGHTS.get(fine, 1.0) for _, fine in self._fine]

    def reports(self, count: int, languages: tuple[Language, ...] = ("zh", "en")) -> Iterator[Labelled]:
        """Make `count` reports, the languages in turn."""
        for number in range(count):
            yield self.report(languages[number % len(languages)])

    def report(self, language: Language) -> Labelled:
        """Make one report; every slot's text stands at its offsets."""
        intent, fine = self._random.choices(self._fine, self._weights)[0]
        draft = _Draft()
        self._expand(language, "{" + fine + "}", draft, "", 0, silent=False)
        pieces = [piece for mixed in draft.pieces for piece in _trim(mixed)]
        if self._random.random() < self._noise:
            pieces = self._spoil(pieces)
        return _labelled(pieces, language, intent, fine, tuple(draft.codes))

    def _expand(self, language: Language, template: str, draft: _Draft, slot: str, span: int, *, silent: bool) -> None:
        last = 0
        for mark in _MARK.finditer(template):
            draft.put(template[last : mark.start()], slot, span)
            last = mark.end()
            quiet, name, rule = silent or mark[1] == "~", mark[2], mark[3] or mark[2]
            table = self._rules[language]
            option, code = self._random.choice(table.get(f"{name}.{rule}") or table[rule])
            option = settle(option, self._random)
            if code and not quiet:
                draft.codes.append(f"{_KINDS.get(name, name)}:{code}")
            if slot or quiet or name not in SLOTS:
                self._expand(language, option, draft, slot, span, silent=quiet)
            else:
                draft.spans += 1
                self._expand(language, option, draft, name, draft.spans, silent=quiet)
        draft.put(template[last:], slot, span)

    def _spoil(self, pieces: list[Piece]) -> list[Piece]:
        changes: list[Callable[[str], str]] = [str.lower, str.upper, _full_width, _without_commas, self._typo]
        change = self._random.choices(changes, (2, 1, 1, 2, 4))[0]
        return [(change(text), slot, span) for text, slot, span in pieces]

    def _typo(self, text: str) -> str:
        letters = [
            at for at in range(1, len(text) - 1) if text[at - 1 : at + 2].isascii() and text[at - 1 : at + 2].isalpha()
        ]
        if len(letters) < _FEW or self._random.random() < _SPARED:
            return text
        at = self._random.choice(letters)
        match self._random.randrange(3):
            case 0:
                return text[:at] + text[at + 1 :]
            case 1:
                return text[: at - 1] + text[at] + text[at - 1] + text[at + 1 :]
            case _:
                return text[:at] + text[at] + text[at:]


def _full_width(text: str) -> str:
    return text.translate(_FULL_WIDTH)


def _without_commas(text: str) -> str:
    return text.replace("，", " ").replace(", ", " ").replace("。", " ")


def _trim(piece: Piece) -> Iterator[Piece]:
    """Move blanks at the edges of a slot out of it, and particles: of 漏了 and 修一下 the slots are 漏 and 修."""
    text, slot, span = piece
    bare = text.strip() if slot else text
    if slot in _WITH_PARTICLES and len(bare) > 1:
        bare = (_ACTION_TAIL if slot == "action" else _TAIL).sub("", bare) or bare
    at = text.find(bare) if bare else len(text)
    for part, kind in ((text[:at], ""), (bare, slot), (text[at + len(bare) :], "")):
        if part:
            yield part, kind, span if kind else 0


def _labelled(pieces: list[Piece], language: Language, intent: str, fine: str, codes: tuple[str, ...]) -> Labelled:
    text = "".join(piece[0] for piece in pieces)
    at = -(len(text) - len(text.lstrip()))
    slots = []
    for piece, slot, _ in pieces:
        if slot and piece:
            slots.append(Slot(cast("SlotName", slot), at, at + len(piece), piece))
        at += len(piece)
    return Labelled(text.strip(), language, intent, fine, tuple(slots), codes)


def _options(grammar: Rules, language: Language) -> dict[str, list[Option]]:
    """Join a grammar with the words of one language: our own lists and the interpreter's lexicon."""
    side = 0 if language == "zh" else 1
    known = lexicon(language)
    table: dict[str, list[Option]] = {}
    for name, texts in grammar.items():
        halves = [text.partition("@") for text in texts]
        table[name] = [(text, code) for text, _, code in halves]
    for rule, pairs in (
        ("part", words.COMPONENTS),
        ("machine", words.MACHINES),
        ("product", words.PRODUCTS),
        ("location", words.LOCATIONS),
        ("characteristic", words.CHARACTERISTICS),
    ):
        table[rule] = [(form, "") for pair in pairs for form in pair[side]] + [(text, "") for text in known[rule]]
    for rule, codes in (
        ("symptom", words.SYMPTOMS),
        ("failure_mode", words.STATES),
        ("defect", words.DEFECTS),
        ("cause", words.CAUSES),
        ("action", words.ACTIONS),
    ):
        table[rule] = []
        for code, pair in codes.items():
            forms = [(form, code) for form in (*pair[side], *known.get(f"{rule}.{code}", ()))]
            table[f"{rule}.{code}"] = forms
            # Each code as often as the next, however many words it has.
            table[rule] += (forms * _LEAST)[: max(len(forms), _LEAST)]
    table["state"] = table["failure_mode"]
    for rule, chosen in (("surface", words.SURFACE), ("internal", words.INTERNAL), ("dimension", words.DIMENSION)):
        table[f"defect.{rule}"] = [option for code in chosen for option in table[f"defect.{code}"]]
        table[rule] = [("{defect=" + rule + "}", "")]
    return table
