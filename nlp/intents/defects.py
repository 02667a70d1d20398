"""Which kind of defect is told: a machine's fault, a wandering process, or a product's surface, inside or size."""

# ruff: noqa: PLR2004 - reaches in characters

import re

from nlp.intents.meant import Cues
from nlp.marks import Mark

SURFACE = {"SCRATCH", "DENT", "BURR", "COLOR", "CONTAMINATION", "COATING", "SPATTER", "UNDERCUT", "SINK", "OTHER"}


INTERNAL = {"POROSITY", "LACK_OF_FUSION", "DELAMINATION", "CRACK"}


_OUT_OF_SIZE = re.compile(
    r"超差|超公差|公差|尺寸|位置度|偏位|孔位|out of (?:tol|dim)|tolerance|mislocated|position|oot"
)


def _of_size(mark: Mark, marks: list[Mark]) -> bool:
    return any(one.kind == "characteristic" and one.code == "size" and 0 <= mark.start - one.end <= 3 for one in marks)


def _of_reading(mark: Mark, marks: list[Mark]) -> bool:
    """Whether a reading wanders (a pressure), not a machine that stops and starts."""
    return any(one.kind == "characteristic" and 0 <= mark.start - one.end <= 12 for one in marks)


def fine_of(first: Mark, marks: list[Mark], cues: Cues) -> str:
    """The fine intent of the first thing that is claimed."""
    if first.kind == "defect":
        word = cues.norm[first.start : first.end]
        sized = first.code == "OTHER" and (_OUT_OF_SIZE.search(word) is not None or _of_size(first, marks))
        return "product_dimension_defect" if sized else product_class(first.code, cues)
    if first.kind == "trouble" and (first.code == "PDE" or (first.code == "ERO" and _of_reading(first, marks))):
        return "process_deviation"
    return "equipment_fault"


def product_class(code: str, cues: Cues) -> str:
    """Surface, internal or dimension; what was found by X-ray, ultrasound or a cut is internal."""
    if code in INTERNAL or (cues.any("inspection.internal") and code in {"OTHER", "CONTAMINATION", "SINK", "UNDERCUT"}):
        return "product_internal_defect"
    if code in SURFACE:
        return "product_surface_defect"
    return "product_dimension_defect"
