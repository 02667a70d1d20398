"""Quality reports into extractions: grammar first, then the lexicon, then the network for what is left."""

# ruff: noqa: E501, PLR2004, PLW2901 - whole phrases in one pattern; reaches in characters; a word read anew

import re
from collections.abc import Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Literal, Protocol

from gateway.core.asset import Plant
from gateway.core.ports import Interpreter
from gateway.core.report import Extraction, QualityReport, Slot, SlotName
from nlp import actions as work
from nlp import merge
from nlp.assets import registry, resolve
from nlp.confidence import ENOUGH, Signs, confidence
from nlp.due import find_due
from nlp.intents import Cues, Meant, understand
from nlp.lexicon import Found, lexicon, mend
from nlp.lots import Number, find_batch, find_order, find_quantity
from nlp.marks import Mark, Owned
from nlp.mask import find_names, masked
from nlp.measure import find_measures
from nlp.normalise import causes_of, is_quiet, priority_of, route_of
from nlp.slots import Reader
from nlp.spans import Read
from nlp.text import Text, normalise

_SAFETY_PART = re.compile(
    r"光幕|光栅|安全|急停|护罩|防护|护栏|联锁|限位|light curtain|guard|interlock|e-?stop|emergency stop|safety"
)


_ADVERB = re.compile(
    r"(?:又|还在|还是|还|在|一直在?|老是|老(?=[响漏抖卡跳振震])|直(?=[响漏抖])|总是|总|仍在?|有点|往外|四处|到处|不停地|突然|都|已经|已)(?=[^\s])"
)
_ADVERB_EN = re.compile(r"(?:(?:keeps|kept|constantly|always|still|now|just|suddenly|has been|is) )+(?=\w)")
_WEAK = re.compile(
    r"派|来人|来个人|someone|somebody|^(?:come|attend|tech needed|need|来一?个|[叫派找]一?个|stop by|swing by|drop by|pop over|come down|come over|come by)"
)
_GENERIC_DEFECT = re.compile(
    r"不良品?|次品|废品|缺陷|瑕疵|ng品?|not ok|nok|rejects?(?:ed)?|defects?|defective|不合格品?|外观不良|质量问题|bad parts?|out of (?:spec|tolerance|tol)|超差|尺寸不良|ncr"
)
_TO_STOP = re.compile(
    r"(?:今晚|明天|明晚|明早|后天|周[一二三四五六日天末]|下班|中午|晚上|夜班|等|待|趁)$|\btak(?:e|ing|en) (?:it |them |the \w+ )?$"
)
_STOPPED_OFTEN = re.compile(r" ?(?:了?(?:\d|[两二三四五六几好多])+(?:次|回)|once|twice|(?:\w+ ){1,2}times)")
_NOT_USE = re.compile(r"\b(?:do not|don't|dont|not to be) use|(?:别|不要|不得|勿|停止|禁止)(?:再)?(?:使用|用)")
_REDO = re.compile(r"(?:please |pls )?re-?do|重做|返工|re-?work(?: it)?|返修")


LONGEST = 2_000
"""Characters of a report that are read; a longer one goes to a person, who sees all of it."""


class SpanReader(Protocol):
    """The network's view: spans with logits into the original text, and intent probabilities, one per text."""

    def read(self, texts: Sequence[str]) -> list[Read]:
        """Read texts, in order. Never raises on a text."""
        ...


def open_interpreter(engine: Literal["lite", "encoder"] = "lite", bundle: Path | None = None) -> Interpreter:
    """Make an interpreter. "lite" is grammar and lexicon; "encoder" adds the network of `bundle`.

    Without a bundle the one that ships with the package is taken. Raises `Misconfigured` for a bad bundle.
    """
    lexicon()
    if engine == "lite":
        return Reading("lite", None)
    from nlp.encoder import open_reader  # noqa: PLC0415 - torch takes seconds, and lite must not need it

    return Reading("encoder", open_reader(bundle or Path(str(files("gateway") / "bundle"))))


class Reading:
    """An `Interpreter`: pure, safe to call from several threads."""

    def __init__(self, engine: str, network: SpanReader | None) -> None:
        self._engine, self._network = engine, network

    @property
    def engine(self) -> str:
        """Name of the engine: "lite" or "encoder"."""
        return self._engine

    def interpret(self, report: QualityReport, plant: Plant) -> Extraction:
        """Read one report. Never raises on a text."""
        read = None
        if self._network is not None:
            read = self._network.read([report.text])[0]
        return _Report(report, plant, self._engine, read).extraction()


def signs_of(report: QualityReport, plant: Plant, read: Read | None) -> tuple[Signs, Extraction]:
    """A reading with the signs that its confidence is made of, for fitting."""
    one = _Report(report, plant, "encoder" if read else "lite", read)
    got = one.extraction()
    return one.signs(got.failure_modes, got.defects), got


class _Report:
    """One report on its way through the reading."""

    def __init__(self, report: QualityReport, plant: Plant, engine: str, read: Read | None) -> None:
        self.report, self.plant, self.engine, self.network = report, plant, engine, read
        known = registry(plant).words
        self.text: Text = normalise(report.text[:LONGEST], lambda word: mend(word, known))
        self.norm = self.text.norm
        self.found: list[Found] = lexicon().find(self.norm)
        self.owned = self._grammar()
        free = [one for one in self.found if not self._inside_name(one)]
        self.marks, self.scopes = Reader(self.text, free, self.owned).read()
        self.cues = Cues(self.norm, free)
        self._wanted()
        meant = self._meaning()
        self.meant = meant if read is None else merge.intent_of(read, meant)

    def _inside_name(self, one: Found) -> bool:
        owned = [
            (name.start, name.end) for name in self.owned.resolved.mentions if name.how != "word"
        ] + self.owned.names
        owned += [(number.start, number.end) for number in (*self.owned.batches, *self.owned.orders)]
        return any(start <= one.start and one.end <= end for start, end in owned) and one.category != "machine"

    def _grammar(self) -> Owned:
        batches = find_batch(self.norm)
        orders = [
            one
            for one in find_order(self.norm)
            if not any(one.start < other.end and other.start < one.end for other in batches)
        ]
        ids = [(one.start, one.end) for one in (*batches, *orders)]
        resolved = resolve(self.norm, self.plant, self.report.asset_hint, ids)
        machines = [(one.start, one.end) for one in resolved.mentions if one.how != "word"]
        batches, orders = _clear_of(batches, machines), _clear_of(orders, machines)
        ids = [(one.start, one.end) for one in (*batches, *orders)]
        names = find_names(self.text, [*machines, *ids])
        wants = [
            (one.start, one.end)
            for one in self.found
            if one.category == "action" and work.is_wanted(self.norm, one.start, one.end, one.code)
        ]
        due, times = find_due(self.norm, self.report.reported_at, self.plant.site, [*machines, *ids, *names], wants)
        taken = [*machines, *ids, *names, *times, *([(due.start, due.end)] if due else [])]
        return Owned(resolved, batches, orders, names, find_measures(self.norm, taken), due, times)

    def _wanted(self) -> None:
        """An action in a conditional, feared or denied part is no request."""
        kept: list[Mark] = []
        for mark in self.marks:
            if mark.kind != "action":
                kept.append(mark)
                continue
            status = (
                "conditional"
                if any(region.start <= mark.start < region.end for region in self.scopes.conditional)
                else ""
            )
            if (
                not status
                and any(region.start <= mark.start < region.end for region in self.scopes.feared)
                and mark.code not in {"stop", "hold"}
            ):
                status = ""
            kept.append(replace(mark, status=status))
        wanted = [mark for mark in kept if mark.kind == "action" and not mark.status]
        firm = [mark for mark in wanted if not _WEAK.search(self.norm[mark.start : mark.end])]
        kept = [mark for mark in kept if mark not in wanted or mark in (firm or wanted[:1])]
        self.marks = [self._held(mark) for mark in kept]

    def _held(self, mark: Mark) -> Mark:
        """To stop an order or a lot is to hold it; not to use a machine is to stop it, to redo its repair to repair it."""
        if mark.kind == "action" and mark.code in {"hold", "rework"} and self._of_machine():
            word = self.norm[mark.start : mark.end]
            if _NOT_USE.search(word):
                return replace(mark, code="stop")
            if _REDO.fullmatch(word):
                return replace(mark, code="repair")
        if mark.kind != "action" or mark.code != "stop":
            return mark
        numbers = [*self.owned.batches, *self.owned.orders]
        near = any(0 <= mark.start - one.end <= 6 or 0 <= one.start - mark.end <= 6 for one in numbers)
        return replace(mark, code="hold") if near else mark

    def _of_machine(self) -> bool:
        """Whether the report names a machine and no goods, lot or order."""
        goods = any(mark.kind in {"defect", "product"} for mark in self.marks)
        return bool(self.owned.resolved.mentions) and not (goods or self.owned.batches or self.owned.orders)

    def _meaning(self) -> Meant:
        resolved = self.owned.resolved
        away = self.cues.any("outside.words")
        machine = any(
            one.how in {"exact", "class", "fuzzy"} or (one.how == "generic" and (one.candidates or not away))
            for one in resolved.mentions
        )
        number = bool(self.owned.batches or self.owned.orders)
        return understand(
            self.cues, self.marks, has_asset=resolved.asset is not None, has_machine=machine, has_number=number
        )

    def extraction(self) -> Extraction:
        """Put everything together."""
        meant = self.meant
        quiet = is_quiet(meant)
        claimed = [
            mark
            for mark in self.marks
            if mark.kind in {"trouble", "defect", "value"} and not mark.status and not mark.cause
        ]
        codes = [] if quiet else list(dict.fromkeys(mark.code for mark in claimed if mark.kind in {"trouble", "value"}))
        defects = [] if quiet else list(dict.fromkeys(mark.code for mark in claimed if mark.kind == "defect"))
        codes, defects = self._tidy(codes, defects)
        causes = [] if quiet else self._causes()
        wants = [] if quiet else [mark for mark in self.marks if mark.kind == "action" and not mark.status]
        asked = [mark.code for mark in wants]
        action = next((code for code in asked if code in {"stop", "hold"}), asked[0] if asked else None)
        due = None if quiet else self.owned.due
        down = not quiet and self._is_down()
        resolved = self.owned.resolved
        asset = resolved.asset if meant.coarse is not None else None
        counts = find_quantity(
            self.norm,
            self.owned.spans(),
            [(mark.start, mark.end) for mark in claimed if mark.kind == "defect"],
            [(mark.start, mark.end) for mark in self.marks if mark.kind == "trouble"],
        )
        count = (
            counts[0]
            if counts
            and (
                defects
                or meant.fine == "fail"
                or self.owned.batches
                or any(mark.kind == "product" for mark in self.marks)
            )
            and not quiet
            else None
        )
        sure = confidence(self.signs(codes, defects))
        route, why = route_of(
            meant,
            asset,
            asked,
            codes,
            defects,
            lot=bool(self.owned.batches or self.owned.orders),
            conflict=resolved.conflict,
            sure=sure >= ENOUGH,
        )
        if len(self.report.text) > LONGEST:
            route, why = "review", (*why, "too_long")
        slots = self._slots(wants, causes, count, quiet=quiet)
        return Extraction(
            id=self.report.id,
            intent=meant.coarse,
            fine_intent=meant.fine,
            asset=asset,
            components=tuple(slot.text for slot in slots if slot.slot == "component"),
            failure_modes=tuple(codes),
            defects=tuple(defects),
            causes=tuple(dict.fromkeys(code for code, _, _ in causes)),
            measurements=tuple(value for one in self.owned.measures for value in one.values) if meant.coarse else (),
            quantity=count.value if count else None,
            batch=self._id(self.owned.batches),
            order=self._id(self.owned.orders),
            due=due.at if due else None,
            machine_down=down,
            priority=priority_of(
                self.norm,
                meant,
                codes,
                asked,
                self.cues,
                self.marks,
                down=down,
                now=due is not None and due.rule == "now",
            ),
            action=action,
            reporter=bool(self.owned.names),
            slots=slots,
            confidence=sure,
            route=route,
            why=why,
            masked=self._masked(),
            language="zh" if self.text.is_chinese else "en",
            engine=self.engine,
        )

    def _masked(self) -> str:
        """The whole text without names; what was too long to be read is searched for names too."""
        pieces = [masked(self.text, self.owned.names)]
        for start in range(LONGEST, len(self.report.text), LONGEST):
            piece = normalise(self.report.text[start : start + LONGEST])
            pieces.append(masked(piece, find_names(piece, [])))
        return "".join(pieces)

    def _id(self, numbers: Sequence[Number]) -> str | None:
        return self.text.written(numbers[0].start, numbers[0].end) if numbers else None

    def _tidy(self, codes: list[str], defects: list[str]) -> tuple[list[str], list[str]]:
        if len(codes) > 1:
            codes = [code for code in codes if code not in {"UNK", "SER"}] or codes[:1]
        if defects:
            codes = [code for code in codes if code not in {"UNK", "SER"}]
            if len(defects) > 1:
                defects = [code for code in defects if code != "OTHER"]
        return codes, defects

    def _causes(self) -> list[tuple[str, int, int]]:
        regions = [(region.start, region.end) for region in self.scopes.causes]
        seen: list[tuple[str, int, int]] = []
        for code, start, end in causes_of(self.norm, self.found, self.marks, regions):
            if not any(start < last and first < end for _, first, last in seen):
                seen.append((code, start, end))
        return seen

    def _is_down(self) -> bool:
        for mark in self.marks:
            if mark.kind != "severity" or mark.code != "down":
                continue
            before, after = self.norm[max(0, mark.start - 16) : mark.start], self.norm[mark.end : mark.end + 10]
            if _TO_STOP.search(before) or _STOPPED_OFTEN.match(after):
                continue
            if re.search(
                r"(?:没有?|未|不用|不需要?|无需|不|别|避免|以免|防止|会|将|不必|否则|免得|暂不)$|\b(?:not|no|without|avoid|prevent|n't|before it|or it|might go|will be|will go|could go|may go|if it|could be|get|gets|getting|got|come|comes|coming|came|move[sd]?|moving|pull(?:s|ed)?|push(?:es|ed)?|lower(?:s|ed)?|ramp(?:s|ed)?|drop(?:s|ped)?|runs?|ran|running|cool(?:s|ed|ing)?|wash(?:ed)?|wipe|trickle|sits?|lies?|lay|let|bolt(?:ed)?|tied?|cut|close[sd]?|drip(?:s|ping)?|tear|flow(?:s|ing)?|drift(?:s|ing)?|fall(?:s|ing)?|fell|side|upside|up and|worn|wear(?:s|ing)?|slow(?:ed|s|ing)?|shut(?:s|ting)?|calm|creep(?:s|ing)?|sag(?:s|ging)?|slid(?:es|ing)|slip(?:s|ping)?|slows|settled?|goes|wind(?:s|ing)?|step(?:s|ped)?|hold(?:s|ing)?|press(?:ed)?|break(?:s|ing)?|broke|turn(?:ed)?|going)\s*$",
                before,
            ) and not re.search(r"(?:was|has|been|is|it) (?:shut|broken?|went)\s*$|\bbroke\s*$", before):
                continue
            if any(
                region.start <= mark.start < region.end for region in (*self.scopes.conditional, *self.scopes.feared)
            ):
                continue
            if re.match(
                r"(?:前|风险|按钮|时间|后|时(?!间)|检修|保养|位|计划|线|开关|原因|信号)| ?(?:button|time|valve|switch|to \d|by|payment|stream|side|hold|the )",
                after,
            ) and not re.match(r"时间|后", after):
                continue
            return True
        return False

    def signs(self, codes: Sequence[str], defects: Sequence[str]) -> Signs:
        """What bears on the confidence of this reading."""
        resolved, due = self.owned.resolved, self.owned.due
        content = len(re.findall(r"[a-z]{3,}|[\u3400-\u9fff]", self.norm))
        covered = sum(mark.end - mark.start for mark in self.marks)
        covered += sum(end - start for start, end in self.owned.spans())
        named = any(one.how != "word" for one in resolved.mentions)
        return Signs(
            doubt=1 - self.meant.sure,
            unknown_share=max(0.0, 1 - covered / max(len(self.norm), 1)),
            long=min(content / 60, 2.0),
            many=max(0, len(codes) + len(defects) - 1) / 2,
            unspecific=float(bool({"UNK", "OTHER"} & {*codes, *defects})),
            no_code=float(not codes and not defects and self.meant.coarse == "defect_report"),
            disagreement=0.5 if self.network is None else 1 - merge.agreement(self.network, self.meant),
            asset_generic=float(resolved.how == "generic"),
            asset_fuzzy=float(resolved.how == "fuzzy"),
            asset_open=float(resolved.asset is None and named),
            asset_conflict=float(resolved.conflict),
            due_vague=float(due is not None and due.vague),
        )

    def _slots(
        self, wants: list[Mark], causes: list[tuple[str, int, int]], count: Number | None, *, quiet: bool
    ) -> tuple[Slot, ...]:
        if self.meant.coarse is None:
            return ()
        made: list[tuple[str, int, int]] = []
        made += [("equipment", one.start, one.end) for one in self.owned.resolved.mentions if one.how != "word"]
        if not made:
            made += [("equipment", one.start, one.end) for one in self.owned.resolved.mentions][:1]
        made += [("batch", one.start, one.end) for one in self.owned.batches] + [
            ("order", one.start, one.end) for one in self.owned.orders
        ]
        made += [("reporter", start, end) for start, end in self.owned.names]
        if self.owned.due and not quiet:
            made.append(("due", self.owned.due.start, self.owned.due.end))
        made += [("measurement", one.start, one.end) for one in self.owned.measures]
        if count:
            made.append(("quantity", count.start, count.end))
        made += [("cause", start, end) for _, start, end in causes]
        made += [("action", *work.core(self.norm, mark.start, mark.end)) for mark in wants]
        made += self._content_slots(quiet=quiet)
        return self._filled(self._apart(made), quiet=quiet)

    def _filled(self, slots: tuple[Slot, ...], *, quiet: bool) -> tuple[Slot, ...]:
        """Widen and add what the network saw and the lexicon does not know."""
        if self.network is None or quiet:
            return slots
        denied = [self.text.span(mark.start, mark.end) for mark in self.marks if mark.status]
        denied += [self.text.span(start, end) for start, end in self.owned.spans()]
        known = merge.widened(self.network, [(slot.slot, slot.start, slot.end) for slot in slots])
        machine = any(slot == "equipment" for slot, _, _ in known)
        more = merge.gaps(self.network, [*denied, *((start, end) for _, start, end in known)], machine=machine)
        text = self.report.text
        return tuple(
            Slot(_slot_name(name), start, end, text[start:end])
            for name, start, end in sorted((*known, *more), key=lambda one: one[1])
        )

    def _content_slots(self, *, quiet: bool) -> list[tuple[str, int, int]]:
        made: list[tuple[str, int, int]] = []
        defects = {mark.code for mark in self.marks if mark.kind == "defect" and not mark.status}
        for mark in self.marks:
            if mark.kind == "defect" and mark.code == "OTHER" and len(defects) > 1:
                continue
            if mark.kind == "location":
                mark = self._numbered(mark)
                if mark.end == mark.start:
                    continue
            if mark.kind in {"component", "characteristic"}:
                made.append((mark.kind, mark.start, mark.end))
            elif mark.kind == "value":
                made.append(("characteristic", mark.start, mark.end))
            elif mark.kind == "trouble" and not mark.status and not quiet and not mark.cause:
                made.append((mark.slot or "symptom", *self._bare(mark)))
            elif mark.kind == "defect" and not mark.status and not quiet and not mark.cause:
                made.append(("defect", *self._bare(mark)))
            elif mark.kind in {"product", "location"} and not quiet:
                made.append((mark.kind, mark.start, mark.end))
            elif mark.kind == "severity" and not quiet and (mark.code != "down" or self._is_down()):
                made.append(("severity", *self._stripped(mark)))
        return made

    def _numbered(self, mark: Mark) -> Mark:
        """A place with its number (2号缸壁); "left" and "right" only before a thing."""
        word = self.norm[mark.start : mark.end]
        if word in {
            "left",
            "right",
            "top",
            "bottom",
            "joint",
            "joints",
            "rib",
            "root",
            "thread",
            "threads",
            "radius",
            "shoulder",
        } and not any(0 < one.start - mark.end <= 2 and one.kind in {"product", "component"} for one in self.marks):
            return replace(mark, end=mark.start) if word in {"left", "right"} else mark
        lead = re.search(
            r"(?:第?(?:\d+|[一二三四五六七八九十]+)(?:号|#|个|道|腔)?)$", self.norm[max(0, mark.start - 5) : mark.start]
        )
        if lead and not word[0].isascii():
            return replace(mark, start=mark.start - len(lead[0]))
        return mark

    def _bare(self, mark: Mark) -> tuple[int, int]:
        """Without the particle at the end: 超了 is 超."""
        end = mark.end
        while (
            end - mark.start > 1
            and self.norm[end - 1] in "了的"
            and self.norm[end - 2 : end - 1] != "不"
            and not re.search(r"不\S了$", self.norm[mark.start : end])
        ):
            end -= 1
        lead = (_ADVERB_EN if self.norm[mark.start].isascii() else _ADVERB).match(self.norm[mark.start : end])
        start = mark.start + lead.end() if lead and mark.start + lead.end() < end else mark.start
        return start, end

    def _stripped(self, mark: Mark) -> tuple[int, int]:
        lead = re.match(r"(?:and|is|are|was|it|has been|has|been) ", self.norm[mark.start : mark.end])
        end = mark.end - (self.norm[mark.end - 1] == "了" and mark.end - mark.start > 1)
        return mark.start + (lead.end() if lead else 0), end

    def _apart(self, made: list[tuple[str, int, int]]) -> tuple[Slot, ...]:
        kept: list[tuple[str, int, int]] = []
        for slot, start, end in made:
            if end > start and not any(start < last and first < end for _, first, last in kept):
                kept.append((slot, start, end))
        slots: list[Slot] = []
        last = 0
        for name, start, end in sorted(kept, key=lambda one: one[1]):
            first, stop = self.text.span(start, end)
            if first >= last and stop > first:
                slots.append(Slot(_slot_name(name), first, stop, self.report.text[first:stop]))
                last = stop
        return tuple(slots)


def _clear_of(numbers: Sequence[Number], spans: Sequence[tuple[int, int]]) -> list[Number]:
    """Numbers that are no part of a machine's name."""
    return [one for one in numbers if not any(one.start < end and start < one.end for start, end in spans)]


_SLOTS: dict[str, SlotName] = {
    name: name
    for name in (
        "equipment", "component", "failure_mode", "symptom", "defect", "cause", "location", "product", "characteristic",
        "measurement", "quantity", "batch", "order", "severity", "due", "action", "reporter",
    )
}  # fmt: skip


def _slot_name(name: str) -> SlotName:
    return _SLOTS[name]
