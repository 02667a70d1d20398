"""Machine or goods: words that mean one thing of a machine and another of what it makes."""

# ruff: noqa: E501, PLW2901 - a word read anew

import re
from collections.abc import Sequence
from dataclasses import replace

from nlp import numerals
from nlp.lexicon import Found
from nlp.marks import Mark, Owned, twins
from nlp.scope import cut

_SURFACE_WORD = re.compile(r"[a-z]")
_NEAR = 14
_GUARD = re.compile(r"防护|护罩|护栏|安全门|guard|handrail|railing|interlock|safety cover")
_GOODS_COUNT = re.compile(
    rf"(?:\d{{1,9}}|[{numerals.ZH}]{{1,8}})\s*(?:件|片|张|卷|盒|箱|瓶|枚|粒|pcs|pieces|parts|boards?|rolls?|boxes|sheets|bottles|castings|units|of them|of these|of those)(?![a-z])"
)
_FORMING = {
    "imm",
    "dcm",
    "press",
    "weld",
    "extruder",
    "paint",
    "cnc",
    "lathe",
    "mill",
    "grinder",
    "laser",
    "smt",
    "pack",
    "roll",
    "forge",
    "paper",
    "textile",
    "drill",
    "shear",
    "brake",
    "gearcut",
    "assembly",
}
_GOODS_ONLY = {
    "BURR",
    "FLASH",
    "SHORT_SHOT",
    "SINK",
    "POROSITY",
    "LACK_OF_FUSION",
    "SPATTER",
    "UNDERCUT",
    "OVERSIZE",
    "UNDERSIZE",
    "COATING",
    "DELAMINATION",
    "COLOR",
    "WRONG_PART",
}
_ON_MACHINE = {
    "SCRATCH": "WEAR",
    "DENT": "STD",
    "CRACK": "STD",
    "WARP": "STD",
    "LOOSE_FIT": "LOOSE",
    "MISSING_PART": "BRD",
    "CONTAMINATION": "UNK",
    "OTHER": "UNK",
}
_SIZE = "size"
_BESIDE = 3
_MADE = re.compile(
    r"(?:加工|做|车|磨|冲|压|铣|钻|焊|切|注塑|打|生产|挤|轧|喷|洗|装|包|烤|铸|锻|剪|折|印)(?:出来)?的(?!时|地|声|过程|温|压|问题|速|电)|出来的"
    r"|\b(?:parts|pieces|castings|gears|shafts|products?|goods) (?:from|off|out of|come)\b|\bproduc(?:ed|ing|es)\b"
)


class Goods:
    """Decides for one text what stands on the machine and what on the goods."""

    def __init__(self, norm: str, found: Sequence[Found], owned: Owned) -> None:
        self.norm, self.found, self.owned = norm, found, owned

    def goods(self, marks: list[Mark]) -> bool:
        """Whether the report is about goods rather than a machine."""
        if self.owned.batches or any(mark.kind == "product" and not twins(mark, marks) for mark in marks):
            return True
        if any(one.category == "inspection" for one in self.found) and any(mark.kind == "defect" for mark in marks):
            return True
        if _GOODS_COUNT.search(self.norm) or re.search(r"(?:first|last) (?:article|piece|off)", self.norm):
            return True
        if _MADE.search(self.norm):
            return True
        return any(mark.kind == "defect" and mark.code in _GOODS_ONLY and not twins(mark, marks) for mark in marks)

    def typed(self, marks: list[Mark]) -> list[Mark]:
        """Decide each word that means one thing of a machine and another of goods."""
        goods = self.goods(marks)
        nouns = self._nouns(marks, goods=goods)
        kept: list[Mark] = []
        for mark in marks:
            same = twins(mark, marks)
            if mark.kind in {"trouble", "defect"}:
                near = self._noun_near(mark, nouns)
                other = any(one.kind in {"trouble", "defect"} for one in same)
                sized = any(
                    one.kind == "characteristic" and one.code == _SIZE and 0 <= mark.start - one.end <= _BESIDE
                    for one in marks
                )
                is_goods = (
                    sized
                    or near == "product"
                    or (near in {"", "equipment"} and goods)
                    or (
                        near == "equipment"
                        and mark.kind == "defect"
                        and mark.code in {"CRACK", *_GOODS_ONLY}
                        and self._forming()
                    )
                )
                if other and (mark.kind == "defect") != is_goods:
                    continue
                if mark.kind == "defect" and mark.code == "MISSING_PART" and self._guards(mark):
                    mark = replace(mark, kind="trouble", code="BRD", slot="failure_mode")
                elif (
                    mark.kind == "defect"
                    and not other
                    and self._on_machine(near, goods=goods or sized)
                    and mark.code in _ON_MACHINE
                ):
                    mark = replace(mark, kind="trouble", code=_ON_MACHINE[mark.code], slot="failure_mode")
                elif mark.kind == "defect" and mark.code == "OVERSIZE" and near == "component" and self._is_worn(mark):
                    mark = replace(mark, kind="trouble", code="WEAR", slot="failure_mode")
                kept.append(mark)
            elif mark.kind == "either":
                if not same:
                    kept.append(replace(mark, kind=self._kind_of(mark, marks, goods=goods)))
            elif mark.kind in {"product", "component"}:
                rival = [one for one in same if one.kind in {"product", "component"}]
                both = bool(rival) or any(one.kind == "either" for one in same)
                kind = self._kind_of(mark, marks, goods=goods) if both else mark.kind
                if not rival or mark.kind == kind:
                    kept.append(replace(mark, kind=kind))
            else:
                kept.append(mark)
        return kept

    def _kind_of(self, mark: Mark, marks: list[Mark], *, goods: bool) -> str:
        """Part or goods: what is wrong with it says which, then the report as a whole."""
        nearest = min(
            (
                one
                for one in marks
                if one.kind in {"trouble", "defect"}
                and abs(one.start - mark.end) <= _NEAR
                and not re.search(r"[,;。!?]", self.norm[min(mark.end, one.end) : max(mark.start, one.start)])
            ),
            key=lambda one: abs(one.start - mark.end),
            default=None,
        )
        if nearest is not None and nearest.kind == "trouble" and not twins(nearest, marks):
            return "component"
        return "product" if goods else "component"

    def _is_worn(self, mark: Mark) -> bool:
        return re.search(r"磨|worn", self.norm[max(0, mark.start - 6) : mark.end]) is not None

    def _guards(self, mark: Mark) -> bool:
        return _GUARD.search(self.norm[max(0, mark.start - 16) : mark.end]) is not None

    def _on_machine(self, near: str, *, goods: bool) -> bool:
        """Whether a defect stands on a part of the machine itself."""
        if goods or not self.owned.resolved.mentions:
            return False
        return near == "component" or (near == "equipment" and not self._forming())

    def painted(self) -> bool:
        """Whether paint or a coating is the matter."""
        return (
            any(one.category == "machine" and one.code == "paint" for one in self.found)
            or re.search(r"漆|涂层|喷涂|paint|coating", self.norm) is not None
        )

    def _forming(self) -> bool:
        return any(one.category == "machine" and one.code in _FORMING for one in self.found)

    def _nouns(self, marks: list[Mark], *, goods: bool) -> list[tuple[int, int, str]]:
        nouns = [(one.start, one.end, "equipment") for one in self.owned.resolved.mentions]
        for mark in marks:
            if mark.kind in {"component", "product", "either"}:
                both = mark.kind == "either" or any(
                    one.kind in {"component", "product", "either"} for one in twins(mark, marks)
                )
                nouns.append((mark.start, mark.end, ("product" if goods else "component") if both else mark.kind))
        return sorted(set(nouns))

    def _noun_near(self, mark: Mark, nouns: list[tuple[int, int, str]]) -> str:
        scopes = [(start, end) for start, end in cut(self.norm) if start <= mark.start < end]
        start, end = scopes[0] if scopes else (0, len(self.norm))
        before = [noun for noun in nouns if start <= noun[0] and noun[1] <= mark.start]
        after = [noun for noun in nouns if mark.end <= noun[0] < end]
        latin = _SURFACE_WORD.match(self.norm[mark.start])
        if (
            latin
            and after
            and after[0][0] - mark.end <= _NEAR
            and (
                not before
                or re.fullmatch(
                    r"\s*(?:(?:on|in|of|at|found in|inside)\s+)?(?:the |a |all |some |several |\d+ )*(?:[a-z]+ )?",
                    self.norm[mark.end : after[0][0]],
                )
            )
        ):
            return after[0][2]
        if before:
            return before[-1][2]
        if after:
            return after[0][2]
        earlier = [noun for noun in nouns if noun[1] <= mark.start]
        return earlier[-1][2] if earlier else ""
