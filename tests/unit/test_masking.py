"""Names are covered in what a reader sees."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.ports import StoredReport
from gateway.core.report import Extraction, QualityReport, Slot
from gateway.flow.cover import covered
from gateway.web.masking import shown
from tests.fakes import at

WORDS = st.text(alphabet="abc 轴承", min_size=0, max_size=6)


@given(WORDS, WORDS, WORDS)
def test_a_covered_text_has_its_length_and_not_the_name(before: str, name: str, after: str) -> None:
    text = f"{before}Zhang{name}X{after}"
    seen = covered(text, f"{before}[name]{after}")
    assert len(seen) == len(text)
    assert "Zhang" not in seen


def test_what_does_not_fit_is_covered_whole() -> None:
    assert covered("told by Li Wei", "something else") == "•" * 14


def test_a_report_shows_no_words_before_it_was_read_and_no_name_after() -> None:
    report = QualityReport(id="r", text="压机异响，报告人张伟", reported_at=at(0))
    told = Extraction(
        id="r", intent=None, fine_intent=None, asset=None, masked="压机异响，报告人[name]",
        slots=(Slot("symptom", 2, 4, "异响"), Slot("reporter", 8, 10, "张伟")),
    )  # fmt: skip
    assert "异响" not in repr(shown(StoredReport(report, at(0))))
    seen = shown(StoredReport(report, at(0), told))
    assert seen.report.text == "压机异响，报告人••"
    assert "张伟" not in repr(seen)
