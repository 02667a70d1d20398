"""The work that stays asked for: firm requests before weak ones, a held lot apart from a stopped machine."""

# ruff: noqa: E501, PLR2004 - patterns of whole phrases; reaches in characters

import re
from collections.abc import Sequence
from dataclasses import replace

from nlp.marks import Mark, Owned
from nlp.scope import Scopes

_WEAK = re.compile(
    r"派|来人|来个人|someone|somebody|^(?:come|attend|tech needed|need|来一?个|[叫派找]一?个|stop by|swing by|drop by|pop over|come down|come over|come by)"
)


_NOT_USE = re.compile(r"\b(?:do not|don't|dont|not to be) use|(?:别|不要|不得|勿|停止|禁止)(?:再)?(?:使用|用)")


_REDO = re.compile(r"(?:please |pls )?re-?do|重做|返工|re-?work(?: it)?|返修")


def wanted(norm: str, marks: Sequence[Mark], scopes: Scopes, owned: Owned) -> list[Mark]:
    """An action in a conditional, feared or denied part is no request."""
    of_machine = _of_machine(marks, owned)
    kept: list[Mark] = []
    for mark in marks:
        if mark.kind != "action":
            kept.append(mark)
            continue
        status = "conditional" if any(region.start <= mark.start < region.end for region in scopes.conditional) else ""
        if (
            not status
            and any(region.start <= mark.start < region.end for region in scopes.feared)
            and mark.code not in {"stop", "hold"}
        ):
            status = ""
        kept.append(replace(mark, status=status))
    asked = [mark for mark in kept if mark.kind == "action" and not mark.status]
    firm = [mark for mark in asked if not _WEAK.search(norm[mark.start : mark.end])]
    kept = [mark for mark in kept if mark not in asked or mark in (firm or asked[:1])]
    return [_held(norm, mark, owned, of_machine=of_machine) for mark in kept]


def _held(norm: str, mark: Mark, owned: Owned, *, of_machine: bool) -> Mark:
    """To stop an order or a lot is to hold it; not to use a machine is to stop it, to redo its repair to repair it."""
    if mark.kind == "action" and mark.code in {"hold", "rework"} and of_machine:
        word = norm[mark.start : mark.end]
        if _NOT_USE.search(word):
            return replace(mark, code="stop")
        if _REDO.fullmatch(word):
            return replace(mark, code="repair")
    if mark.kind != "action" or mark.code != "stop":
        return mark
    numbers = [*owned.batches, *owned.orders]
    near = any(0 <= mark.start - one.end <= 6 or 0 <= one.start - mark.end <= 6 for one in numbers)
    return replace(mark, code="hold") if near else mark


def _of_machine(marks: Sequence[Mark], owned: Owned) -> bool:
    """Whether the report names a machine and no goods, lot or order."""
    goods = any(mark.kind in {"defect", "product"} for mark in marks)
    return bool(owned.resolved.mentions) and not (goods or owned.batches or owned.orders)
