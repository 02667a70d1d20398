"""An extraction put together: codes, causes, route, confidence and the masked text of a report."""

import re
from collections.abc import Sequence

from gateway.core.report import Extraction
from nlp import merge
from nlp.confidence import ENOUGH, Signs, confidence
from nlp.interpret.down import is_down
from nlp.interpret.slots import Slots
from nlp.interpret.understood import LONGEST, Understood
from nlp.lots import Number, find_quantity
from nlp.mask import find_names, masked
from nlp.normalise import causes_of, is_quiet, priority_of, route_of
from nlp.text import normalise


class Extracted(Understood):
    """One report on its way into an extraction."""

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
        down = not quiet and is_down(self.norm, self.marks, self.scopes)
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
        slots = Slots(self).found(wants, causes, count, quiet=quiet)
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
