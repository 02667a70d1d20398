"""Laws of reading a report: no text raises, spans index the original text, names do not leave."""

# ruff: noqa: E501, RUF001 - reports as people type them

import random
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gateway.core.asset import Asset, Plant, Shift, Site
from gateway.core.report import Extraction, QualityReport
from gateway.core.units import Wall
from nlp.interpret import Reading

PLANT = Plant(
    Site(timezone="America/Santiago", office_end=Wall(18, 15), shifts=(Shift(name="n", start=Wall(22), end=Wall(6)),)),
    (
        Asset(id="LTH-11", aliases=("11号车床", "数控车11#", "lathe 11")),
        Asset(id="OVN-05", aliases=("5号固化炉", "curing oven 5")),
        Asset(id="P-31", aliases=("31#泵", "feed pump 31")),
    ),
)
EMPTY = Plant(Site(), ())
WORDS = """
11号车床 5号固化炉 lathe 11 curing oven 5 不是 not 主轴 bearing 异响 noise 漏油 leaking 磨损 worn 没有 no 怀疑 due to 导致 如果 if 担心
明早8点前 before tomorrow 8am 周五前 by Friday 月底前 two hours 两小时内 within 3 days 下班前 end of shift 尽快 asap 昨天 2月30号 32号 99点 25:99
85℃ １５℃ 0.2mm 两丝 3-5 bar ±0.05 mm 1,200 rpm 百分之五 12件 14 pcs 3 out of 50 批次B2026-02 lot L-88 WO-10233 PO2026 停机 stop 隔离 hold 检修 repair
张伟 老马 J. Miller thanks Li 谢谢王师傅 , ， . 。 ! ？ ? ; \n 、 # - ( ) ： 轻微 minor 严重 severe 已停机 down 划痕 scratches 气孔 porosity 偏大 oversize
""".split()  # noqa: SIM905 - a list of words reads better as words
READING = Reading("lite", None)


def read(text: str, plant: Plant = PLANT) -> Extraction:
    return READING.interpret(
        QualityReport(id="x", text=text, reported_at=datetime(2026, 3, 18, 7, 30, tzinfo=UTC)), plant
    )


def check(text: str, got: Extraction) -> None:
    last = 0
    for slot in got.slots:
        assert last <= slot.start < slot.end <= len(text)
        assert text[slot.start : slot.end] == slot.text
        last = slot.end
    assert 0 <= got.confidence <= 1
    assert got.due is None or got.due.tzinfo is not None


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(st.characters(), min_size=1, max_size=300))
@example("\ud800" * 40)
@example("\x00主轴\x00异响")
@example("ﷺ㎜㍿½Ⅷ①℃ İ ß ﬁ 85㎜")
@example("𝟙𝟚号车床 𝐋𝐚𝐭𝐡𝐞 漏油")
def test_no_text_raises_and_spans_index_the_original(text: str) -> None:
    for plant in (PLANT, EMPTY):
        check(text, read(text, plant))


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.sampled_from(WORDS), min_size=1, max_size=25), st.sampled_from(["", " "]))
def test_no_mix_of_shop_words_raises(words: list[str], glue: str) -> None:
    text = glue.join(words)
    check(text, read(text))


@pytest.mark.parametrize(
    "piece", ["主轴异响，", "bearing noise ", "1", " ", "，", "不是5号，", "没", "一", "lot ", "3-", "mm", "a-", "b1-"]
)
def test_ten_thousand_characters_are_read(piece: str) -> None:
    text = (piece * 10_000)[:10_000]
    check(text, read(text))


@settings(max_examples=80, deadline=None)
@given(
    st.sampled_from(["张伟", "王建国", "李娜", "欧阳锋"]),
    st.sampled_from(["报告人{}", "报修人：{}", "联系人{}，11号车床异响，{}", "11号车床漏油，{}师傅来看下"]),
)
def test_a_chinese_name_does_not_leave(name: str, frame: str) -> None:
    text = "11号车床主轴异响，" + frame.replace("{}", name)
    got = read(text)
    assert got.reporter
    assert name not in got.masked


@settings(max_examples=80, deadline=None)
@given(
    st.sampled_from(["Tom Becker", "Maria", "J. Miller", "Pavel"]),
    st.sampled_from(["- {}", "reported by {}", "Thanks {}", "operator {}", "regards, {}"]),
)
def test_an_english_name_does_not_leave(name: str, frame: str) -> None:
    got = read("lathe 11 spindle noisy. " + frame.replace("{}", name))
    assert got.reporter
    assert name not in got.masked


def test_full_width_writing_reads_the_same() -> None:
    rng = random.Random(7)
    text = "lathe 11 bearing 85C, 14 pcs, lot L-88231, fix by 17:00"
    wide = "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" and rng.random() < 0.5 else c for c in text)
    plain, got = read(text), read(wide)
    assert (plain.asset, plain.measurements, plain.quantity, plain.due, plain.failure_modes) == (
        got.asset,
        got.measurements,
        got.quantity,
        got.due,
        got.failure_modes,
    )
