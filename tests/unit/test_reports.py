"""Reports read against hand-written gold, and the grammar's rules one by one."""

# ruff: noqa: RUF001 - reports as people type them

import json
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest

from gateway.core.report import Extraction, QualityReport
from nlp.due import find_due
from nlp.interpret import open_interpreter
from nlp.lots import find_batch, find_order, find_quantity
from nlp.measure import find_measures
from nlp.text import normalise
from tests.report_gold import CASES, hold, plant_of

FLOOR = {
    "asset": 0.97,
    "intent": 0.95,
    "fine_intent": 0.93,
    "due": 0.97,
    "quantity": 0.95,
    "batch": 0.98,
    "order": 0.98,
    "machine_down": 0.97,
    "action": 0.95,
    "priority": 0.93,
    "reporter": 0.97,
    "failure_modes": 0.95,
    "defects": 0.95,
    "causes": 0.92,
    "measurements": 0.97,
    "slots": 0.82,
    "straight_through": 0.65,
    "straight_through_precision": 0.92,
}


PLANT = plant_of("site.toml")
LITE = open_interpreter("lite")


def read(text: str, at: str = "2026-05-13T10:30:00+02:00", hint: str | None = None) -> Extraction:
    report = QualityReport(id="x", text=text, reported_at=datetime.fromisoformat(at), asset_hint=hint)
    return LITE.interpret(report, PLANT)


@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_hand_written_reports_are_read_as_well_as_before(language: str) -> None:
    hold("reports.jsonl", language, FLOOR, read)


DUES = [
    ("明早8点前来修", "2026-05-14T08:00"),
    ("周五前安排检修", "2026-05-15T16:30"),
    ("下周三前换掉", "2026-05-20T16:30"),
    ("两小时内来修", "2026-05-13T12:30"),
    ("3天内调整", "2026-05-16T10:30"),
    ("月底前弄完", "2026-05-31T16:30"),
    ("后天上午校准", "2026-05-15T09:00"),
    ("本班内调好", "2026-05-13T14:00"),
    ("交班前处理", "2026-05-13T14:00"),
    ("今天下班前来看看", "2026-05-13T16:30"),
    ("周末前换", "2026-05-15T16:30"),
    ("今晚8点前修好", "2026-05-13T20:00"),
    ("马上来修", "2026-05-13T10:30"),
    ("夜班前修好", "2026-05-13T22:00"),
    ("fix by Friday 5pm", "2026-05-15T17:00"),
    ("fix before tomorrow 8am", "2026-05-14T08:00"),
    ("fix by noon", "2026-05-13T12:00"),
    ("fix tonight", "2026-05-13T20:00"),
    ("fix by end of shift", "2026-05-13T14:00"),
    ("fix by EOB", "2026-05-13T16:30"),
    ("fix within 2 hours", "2026-05-13T12:30"),
    ("fix by next Tuesday", "2026-05-19T16:30"),
    ("fix by end of month", "2026-05-31T16:30"),
    ("fix asap", "2026-05-13T10:30"),
    ("fix it today", "2026-05-13T16:30"),
    ("在8点钟方向有裂纹，请修理", None),
    ("昨天刚修完，又漏了", None),
    ("早上8点发现异响，请修理", None),
    ("stopped at 8am, please repair", None),
    ("leaking since yesterday, repair", None),
]


@pytest.mark.parametrize(("text", "due"), DUES)
def test_due_times_follow_the_contract(text: str, due: str | None) -> None:
    got = read(f"11号车床漏油，{text}" if not text.isascii() else f"lathe 11 leaking, {text}").due
    assert (got and got.strftime("%Y-%m-%dT%H:%M")) == due


@pytest.mark.parametrize(
    ("reported", "text", "due"),
    [
        ("2026-03-28T20:00:00+01:00", "明早6点前修好", "2026-03-29T06:00:00+02:00"),
        ("2026-03-28T20:00:00+01:00", "24小时内修好", "2026-03-29T21:00:00+02:00"),
        ("2026-10-24T20:00:00+02:00", "明早6点前修好", "2026-10-25T06:00:00+01:00"),
        ("2026-10-24T20:00:00+02:00", "within 24 hours", "2026-10-25T19:00:00+01:00"),
        ("2026-05-13T22:30:00+00:00", "本班内修好", "2026-05-14T06:00:00+02:00"),
        ("2026-05-13T22:30:00+00:00", "fix by tomorrow noon", "2026-05-15T12:00:00+02:00"),
    ],
)
def test_days_and_shifts_are_the_sites_on_both_sides_of_midnight_and_of_dst(reported: str, text: str, due: str) -> None:
    norm = normalise(text).norm
    found, _ = find_due(norm, datetime.fromisoformat(reported), PLANT.site, [], [(0, 1)])
    assert found is not None
    assert found.at == datetime.fromisoformat(due)
    assert found.at.utcoffset() == datetime.fromisoformat(due).utcoffset()


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("超差两丝", [(0.02, "mm")]),
        ("炉温超了１５℃", [(15, "degC")]),
        ("压力5.5降到4.2bar", [(5.5, "bar"), (4.2, "bar")]),
        ("两道划痕", []),
        ("偏大3道", [(0.03, "mm")]),
        ("60-80℃", [(60, "degC"), (80, "degC")]),
        ("3号线2个", []),
        ("oil temp 52C, 1,200 rpm and 0,03 mm", [(52, "degC"), (1200, "rpm"), (0.03, "mm")]),
        ("5 psi, 3 inch, 10 L/min", []),
        ("噪音95分贝，百分之五", [(95, "dB"), (5, "%")]),
    ],
)
def test_measurements_keep_the_contracts_units_only(text: str, values: list[tuple[float, str]]) -> None:
    found = find_measures(normalise(text).norm, [])
    assert [value for one in found for value in one.values] == values


@pytest.mark.parametrize(
    ("text", "batch", "order", "count"),
    [
        ("批次B20260318-02铝壳划痕", "b20260318-02", None, None),
        ("14 pcs out of lot L-88231", "l-88231", None, 14),
        ("9 pcs left to rework, WO 10240", None, "10240", 9),
        ("WO-10233", None, "wo-10233", None),
        ("抽检50件有3件划痕", None, None, 3),
        ("scrapped 6 already, 9 pcs left", None, None, 9),
        ("3 out of 50 castings porous", None, None, 3),
        ("PO20260912那批货", None, "po20260912", None),
    ],
)
def test_lots_orders_and_counts_leave_labels_and_samples_out(
    text: str, batch: str | None, order: str | None, count: int | None
) -> None:
    norm = normalise(text).norm
    batches, orders = find_batch(norm), find_order(norm)
    taken = [(one.start, one.end) for one in (*batches, *orders)]
    counts = find_quantity(norm, taken, [], [])
    assert (norm[batches[0].start : batches[0].end] if batches else None) == batch
    assert (norm[orders[0].start : orders[0].end] if orders else None) == order
    assert (counts[0].value if counts else None) == count


@pytest.mark.parametrize(
    ("text", "asset"),
    [
        ("11号车床异响", "LTH-11"),
        ("１１＃车床异响", "LTH-11"),
        ("车床11#异响", "LTH-11"),
        ("十一号车床异响", "LTH-11"),
        ("lathe no. 11 noisy", "LTH-11"),
        ("lath 11 noisy", "LTH-11"),
        ("not pump 31, pump 32 leaking", "PMP-32"),
        ("不是31#泵，是32#泵漏水", "PMP-32"),
        ("31#泵写错了，应该是32#泵，漏水", "PMP-32"),
        ("pump leaking", None),
        ("pump 31 and pump 32 leaking", None),
        ("the grinder is noisy", "GRD-04"),
        ("某台机器响", None),
    ],
)
def test_machines_resolve_by_name_number_and_correction(text: str, asset: str | None) -> None:
    assert read(text).asset == asset


def test_a_hint_names_the_machine_and_a_different_name_goes_to_review() -> None:
    assert read("bearing noisy", hint="LTH-11").asset == "LTH-11"
    assert "conflict" in read("lathe 12 noisy", hint="LTH-11").why


@pytest.mark.parametrize(
    ("text", "route", "why"),
    [
        ("11号车床异响，停机检查", "review", "action_stops_line"),
        ("lot L-88231 porosity, quarantine", "review", "action_stops_line"),
        ("漏油，快来修", "review", "asset_unresolved"),
        ("划痕37件", "review", "asset_unresolved"),
        ("食堂的菜太咸", "review", "out_of_scope"),
        ("批次B20260318-02划痕37件", "order", None),
        ("11号车床主轴异响", "order", None),
        ("点检11号车床正常", "record", None),
        ("11号车床什么时候修好？", "none", None),
    ],
)
def test_reports_take_the_contracts_road(text: str, route: str, why: str | None) -> None:
    got = read(text)
    assert got.route == route
    assert why is None or why in got.why


@pytest.mark.parametrize(
    "text",
    [
        "11号车床没有漏油，也没有异响",
        "担心11号车床会漏油",
        "如果11号车床再漏油就停机",
        "lathe 11: no leaks and no noise",
        "lathe 11 might leak soon",
        "if lathe 11 leaks again stop it",
        "check lathe 11 for leaks",
        "lathe 11 was leaking, fixed yesterday",
        "11号车床昨天漏油，已修好",
    ],
)
def test_what_is_denied_feared_conditional_or_mended_has_no_code(text: str) -> None:
    got = read(text)
    assert got.failure_modes == ()
    assert got.action in {None, "inspect"}


@pytest.mark.parametrize(
    ("text", "causes"),
    [
        ("11号车床异响，怀疑轴承磨损", ("wear",)),
        ("密封圈老化导致11号车床漏油", ("seal",)),
        ("11号车床漏油，轴承磨损", ()),
        ("lathe 11 vibrating due to loose bolts", ("looseness",)),
        ("lathe 11 overheating, probably lack of grease", ("lubrication",)),
        ("clogged filter causing low pressure on lathe 11", ("blockage",)),
    ],
)
def test_causes_need_a_connective(text: str, causes: tuple[str, ...]) -> None:
    assert read(text).causes == causes


def parse(site: Path, lines: str, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gateway.cli.main", "report", "parse", "--site", str(site), *more]
    return subprocess.run(command, input=lines, capture_output=True, text=True, timeout=60, check=False)


def test_parse_reads_the_good_lines_names_the_bad_ones_and_exits_with_5() -> None:
    good = '{"id": "a", "text": "11号车床漏油", "reported_at": "2026-05-13T10:30:00+02:00"}'
    done = parse(
        CASES / "site.toml", f"{good}\nnonsense\n\n{good.replace('T10:30:00+02:00', '')}\n{good}\n", "-o", "jsonl"
    )
    assert done.returncode == 5
    assert [json.loads(line)["asset"] for line in done.stdout.splitlines()] == ["LTH-11", "LTH-11"]
    assert "line 2:" in done.stderr
    assert "line 4:" in done.stderr
    assert "2 of 4 lines" in done.stderr


def test_a_wrong_site_file_is_told_with_every_fault_and_exits_with_2(tmp_path: Path) -> None:
    site = tmp_path / "site.toml"
    site.write_text(
        '[site]\ntimezon = "x"\noffice_end = "25:00"\n[[asset]]\nid = "a"\nfoo = 1\n[[asset]]\nname = "b"\n'
    )
    done = parse(site, "")
    assert done.returncode == 2
    for place in ("site.timezon", "site.office_end", "asset[0].foo", "asset[1].id"):
        assert place in done.stderr


def test_a_plant_without_assets_reads_codes_and_goes_to_review(tmp_path: Path) -> None:
    site = tmp_path / "site.toml"
    site.write_text('[site]\ntimezone = "UTC"\n')
    line = '{"id": "a", "text": "press 3 bearing noisy", "reported_at": "2026-05-13T10:30:00Z"}'
    done = parse(site, line + "\n", "-o", "jsonl")
    got = json.loads(done.stdout)
    assert done.returncode == 0
    assert (got["asset"], got["failure_modes"], got["route"]) == (None, ["NOI"], "review")
