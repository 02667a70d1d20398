"""The blind set: written without a look at the rules, read once for docs/reports.md, held here ever since."""

from datetime import datetime

import pytest

from gateway.core.report import Extraction, QualityReport
from nlp.interpret import open_interpreter
from nlp.merge import gaps, widened
from nlp.spans import Read, Span
from tests.report_gold import hold, plant_of

FLOOR = {
    "asset": 1.0,
    "intent": 0.98,
    "fine_intent": 0.96,
    "due": 0.98,
    "quantity": 0.98,
    "batch": 0.98,
    "order": 0.98,
    "machine_down": 0.98,
    "action": 0.96,
    "priority": 0.96,
    "failure_modes": 0.93,
    "defects": 0.97,
    "causes": 0.99,
    "measurements": 0.98,
    "slots": 0.89,
    "straight_through_precision": 0.92,
}
PLANT = plant_of("blind.toml")
LITE = open_interpreter("lite")


def read(text: str, at: str = "2026-05-12T09:40:00+02:00") -> Extraction:
    return LITE.interpret(QualityReport(id="x", text=text, reported_at=datetime.fromisoformat(at)), PLANT)


@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_blind_reports_are_read_as_well_as_after_their_errors_were_mended(language: str) -> None:
    hold("blind.jsonl", language, FLOOR, read)


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("extruder 6 melt pressure 230 bar, should be 180 bar", ("PDE",)),
        ("extruder 6 melt pressure 230 bar, should be 230 bar", ()),
        ("boiler steam pressure 8 bar, limit 9 bar", ()),
        ("boiler steam pressure 9.5 bar, limit 9 bar", ("PDE",)),
        ("锅炉蒸汽压力9.5bar，上限9bar", ("PDE",)),
        ("锅炉蒸汽压力9bar，正常9.2bar", ()),
        ("4号灌装线背压1.2bar，正常3bar", ("PDE",)),
    ],
)
def test_a_value_beside_the_one_it_should_have_is_a_deviation(text: str, codes: tuple[str, ...]) -> None:
    assert read(text).failure_modes == codes


@pytest.mark.parametrize(
    ("text", "action"),
    [
        ("overhead crane hook cracked, do not use", "stop"),
        ("lot C2605-11 caps dented, do not use", "hold"),
        ("冰水机3#又漏氟了，重新修", "repair"),
        ("3号冷水机年度保养到期了", "service"),
        ("boiler feed pump leaking again, redo it today", "repair"),
    ],
)
def test_words_of_machines_and_of_goods_ask_for_other_work(text: str, action: str) -> None:
    assert read(text).action == action


@pytest.mark.parametrize(
    ("text", "due"),
    [
        ("2号车床异响，下午来修一下", "2026-05-12T14:00"),
        ("2号车床下午检查发现异响，请修", None),
        ("dents at 8 o'clock on 2 rims, lot W2605-3, rework", None),
    ],
)
def test_a_bare_part_of_the_day_is_due_only_with_the_work(text: str, due: str | None) -> None:
    got = read(text).due
    assert (got and got.strftime("%Y-%m-%dT%H:%M")) == due


@pytest.mark.parametrize(
    ("text", "asset", "down", "codes"),
    [
        ("extr 8 drive tripped", "EXT-08", False, ("ELEC",)),
        ("extr 9 drive tripped", None, False, ("ELEC",)),
        ("wrapper 7 stopped twice this shift, infeed jammed", "PKG-07", False, ("PLU",)),
        ("3号车床今晚停产后做保养", "LTH-03", False, ()),
        ("boiler house smells of gas", "BLR-01", False, ("LEAK",)),
        ("磨床砂轮不平衡，一开就震", "GRD-11", False, ("VIB",)),
        ("grinder 11 spindle bearing at 88 C, alarm at 75", "GRD-11", False, ("OHE",)),
        ("filler 4 sensor 没反应", "FIL-04", False, ("BRD",)),
        ("AGV-15 drifts 30 mm off the line", "AGV-15", False, ("MISALIGN",)),
        ("chiller 3 leaking again, was fixed on Sunday", "CHL-03", False, ("LEAK",)),
        ("filler 4 chain jammed, nothing is running", "FIL-04", True, ("PLU",)),
    ],
)
def test_families_that_the_blind_set_taught_are_read(
    text: str, asset: str | None, codes: tuple[str, ...], *, down: bool
) -> None:
    got = read(text)
    assert (got.asset, got.machine_down, got.failure_modes) == (asset, down, codes)


def test_the_network_widens_words_of_the_same_slot_only() -> None:
    spans = (Span("component", 0, 11, 2.5), Span("defect", 20, 30, 9.0), Span("symptom", 40, 50, 1.5))
    slots = [("component", 0, 6), ("defect", 22, 30), ("symptom", 44, 50), ("component", 60, 64)]
    assert sorted(widened(Read(spans), slots)) == [
        ("component", 0, 11),
        ("component", 60, 64),
        ("defect", 22, 30),
        ("symptom", 44, 50),
    ]
    assert widened(Read((Span("component", 0, 11, 9.0),)), [("product", 0, 6)]) == [("product", 0, 6)]


def test_the_network_names_a_machine_only_when_none_is_known() -> None:
    read_ = Read((Span("equipment", 0, 6, 5.0),))
    assert gaps(read_, [], machine=True) == []
    assert gaps(read_, [], machine=False) == [("equipment", 0, 6)]
