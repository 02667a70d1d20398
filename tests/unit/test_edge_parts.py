"""Parts of the edge that need no server: settings, words, colours, pieces, the Chinese catalogue."""

import re
import string
import tomllib
from importlib import resources

import msgspec
import pytest

from gateway.core.ports import StoredReport
from gateway.core.report import Extraction, QualityReport, Slot, SlotName
from gateway.core.units import decode
from gateway.flow.live import AssetView
from gateway.runtime.api_settings import SAMPLE, ApiSettings
from gateway.web.pages.frame import frame_of
from gateway.web.pages.views import Piece, pieces, spark
from gateway.web.pages.words import Words, catalogue, language_of
from tests.integration.edge_rig import NOW

PAGES = resources.files("gateway.web.pages")
TEMPLATES = {file.name: file.read_text("utf-8") for file in (PAGES / "templates").iterdir()}


def settings(text: str) -> ApiSettings:
    return msgspec.convert(tomllib.loads(text)["api"], ApiSettings, dec_hook=decode)


def test_the_sample_settings_load() -> None:
    read = settings(SAMPLE)
    assert read.issuer[0].types == ("at+jwt", "JWT")
    assert read.anonymous == ("read", "reports:write")


@pytest.mark.parametrize(
    "text",
    [
        'anonymous = ["production:write"]',
        'anonymous = ["everything"]',
        "port = 70000",
        'issuer = [{ issuer = "x", audience = "y" }]',
        'issuer = [{ issuer = "x", audience = "y", jwks_file = "f", jwks_url = "https://x" }]',
        'issuer = [{ issuer = "x", audience = "y", jwks_file = "f", algorithms = ["HS256"] }]',
        'issuer = [{ issuer = "x", audience = "y", jwks_file = "f", algorithms = [] }]',
        'erp_secrets = ["plain text"]',
        "colour = 1",
    ],
)
def test_unsafe_or_unknown_settings_are_refused(text: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        settings(f"[api]\n{text}")


def test_nobody_may_do_anything_by_default() -> None:
    assert ApiSettings().anonymous == ()


def test_every_word_of_the_templates_is_translated() -> None:
    chinese = catalogue()
    used = {found[1] for text in TEMPLATES.values() for found in re.findall(r"""\bt\((['"])(.*?)\1\)""", text)}
    assert used, "the search for words is broken"
    assert used - chinese.keys() == set()
    assert [key for key, said in chinese.items() if not said.strip()] == []
    assert [name for name in SlotName.__args__ if name not in chinese] == []


def test_no_template_switches_escaping_off_or_carries_style_or_script() -> None:
    for name, text in TEMPLATES.items():
        assert "|safe" not in text.replace(" ", ""), name
        assert not re.search(r"\sstyle=|\son[a-z]+=|<script(?! src)|<style", text), name
        assert not re.search(r"(src|href)=\"https?://", text), name


def test_the_language_is_the_cookies_then_the_browsers_then_english() -> None:
    assert language_of("zh", "en") == "zh"
    assert language_of(None, "fr, zh-CN;q=0.8, en;q=0.5") == "zh"
    assert language_of("xx", None) == "en"
    assert Words("zh", catalogue()).code("bearing_outer_race") == "轴承外圈故障"
    assert Words("en", {}).code(None) == "unknown"


def luminance(colour: str) -> float:
    parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_text_and_symbols_reach_the_contrast_of_wcag_on_both_grounds_and_themes() -> None:
    css = (PAGES / "static" / "andon.css").read_text("utf-8")
    blocks = re.findall(r"(?::root|\[data-theme=\"\w+\"\]) \{(.*?)\}", css, re.DOTALL)
    assert len(blocks) == 3
    for block in blocks:
        tokens = dict(re.findall(r"--(\w+): (#\w{6})", block))
        for ground in ("bg", "panel"):
            for ink in ("fg", "mute", "trace", "p1", "p2", "p3"):
                assert contrast(tokens[ink], tokens[ground]) >= 4.5, (ink, ground)
        for level in ("p1", "p2", "p3"):
            assert contrast(tokens["on"], tokens[level]) >= 4.5, level
        assert contrast(tokens["fg"], tokens["mark"]) >= 4.5


def stored(text: str, *slots: Slot) -> StoredReport:
    report = QualityReport(id="r", text=text, reported_at=NOW)
    return StoredReport(
        report, NOW, Extraction(id="r", intent=None, fine_intent=None, asset=None, slots=slots, masked=text)
    )


def test_pieces_give_back_the_text_whatever_the_slots() -> None:
    text = "主轴轴承异响 😀 at 85℃"
    slots = (
        Slot("component", 2, 4, "轴承"),
        Slot("symptom", 3, 6, "overlaps"),
        Slot("measurement", 12, 15, "85℃"),
        Slot("due", 90, 99, "beyond"),
    )
    cut = pieces(stored(text, *slots))
    assert "".join(piece.text for piece in cut) == text
    assert cut[:2] == [Piece("主轴"), Piece("轴承", "component")]
    assert Piece("85℃", "measurement") in cut


def test_a_sparkline_stays_in_its_box() -> None:
    assert spark([0.5]) == ""
    points = [tuple(map(float, point.split(","))) for point in spark([-1, 0.5, 2]).split()]
    assert [x for x, _ in points] == [0, 60, 120]
    assert all(0 <= y <= 28 for _, y in points)


def test_an_asset_that_said_nothing_has_no_drawings() -> None:
    frame = frame_of(AssetView("M-01"), None)
    assert (frame.wave, frame.spectrum, frame.thermal) == (None, None, None)


def test_file_names_are_plain() -> None:
    allowed = set(string.ascii_lowercase + "_.")
    assert all(set(name) <= allowed for name in TEMPLATES)
