"""The report generator."""

from hypothesis import given, settings
from hypothesis import strategies as st

from nlp.training.generator import INTENTS, SLOTS, Generator


def test_the_same_seed_gives_the_same_reports() -> None:
    assert list(Generator(9).reports(50)) == list(Generator(9).reports(50))
    assert list(Generator(9).reports(50)) != list(Generator(10).reports(50))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6))
def test_every_slot_stands_where_it_says_and_none_overlap(seed: int) -> None:
    for report in Generator(seed).reports(20):
        for slot in report.slots:
            assert report.text[slot.start : slot.end] == slot.text
            assert slot.text == slot.text.strip() != ""
        for one, other in zip(report.slots, report.slots[1:], strict=False):
            assert one.end <= other.start


def test_every_slot_and_every_intent_is_said_in_both_languages() -> None:
    for language in ("zh", "en"):
        reports = list(Generator(2).reports(3000, (language,)))  # type: ignore[arg-type]
        assert {slot.slot for report in reports for slot in report.slots} == SLOTS
        assert {report.fine for report in reports} == {fine for fines in INTENTS.values() for fine in fines}


def test_what_is_denied_has_no_code() -> None:
    for report in Generator(3, noise=0.0).reports(4000):
        if report.fine in {"pass", "false_alarm", "repair_confirmed", "order_status", "out_of_scope"}:
            assert not [code for code in report.codes if code.startswith(("failure_modes", "defects"))]
