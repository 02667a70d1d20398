"""Policy, composition, supervision: the small steps."""

from collections.abc import Callable
from datetime import timedelta

import msgspec
import pytest
from msgspec.structs import replace

from gateway.core.asset import Asset, Plant, Site
from gateway.core.diagnosis import Contribution, Diagnosis, Evidence, Fault
from gateway.core.episode import Decision, Episode, EpisodeState
from gateway.core.errors import Unreachable
from gateway.core.report import Extraction, QualityReport
from gateway.flow import compose, policy
from gateway.flow.troubles import OF_FAULT, felt_as, iso_of, named
from gateway.runtime.supervise import supervise
from tests.fakes import at

PLANT = Plant(
    Site(id="SZ1", enterprise="ACME"), (Asset(id="M", area="HALL-2", line="A", criticality="A"), Asset(id="N"))
)
EPISODE = Episode("AN1", "M", "bearing", "bearing_inner_race", "machine", EpisodeState.OPEN, at(0), at(6), hits=3)
SEEN = Diagnosis(
    "M", at(4), at(6), Fault.BEARING_INNER, 0.8, 0.9, 0.6, {},
    contributions=(Contribution("vibration", 2.5), Contribution("thermal", 0.4)), present=("vibration",),
)  # fmt: skip
TOLD = Extraction(
    id="r", intent="defect_report", fine_intent="product_surface_defect", asset=None, defects=("BURR",), batch="L7",
    quantity=12, priority=None, route="order", masked="lot L7 burrs on 12 flanges, told by [name]", reporter=True,
)  # fmt: skip
REPORT = QualityReport(id="r", text="lot L7 burrs on 12 flanges, told by Li Wei", reported_at=at(0))


@pytest.mark.parametrize(
    ("confidence", "criticality", "expected"),
    [(0.9, "B", Decision.ORDER), (0.5, "B", Decision.REVIEW), (0.5, "A", Decision.ORDER), (0.2, "A", Decision.NOTE)],
)
def test_confidence_is_weighed_by_criticality(confidence: float, criticality: str, expected: Decision) -> None:
    episode = replace(EPISODE, peak_confidence=confidence, peak_severity=0.5)
    asset = Asset(id="M", criticality=criticality)  # type: ignore[arg-type]  # a table of literals
    assert policy.of_machine(episode, asset, 0.6) is expected


def test_a_machines_order_says_what_how_sure_since_when_and_why() -> None:
    episode = replace(EPISODE, peak_confidence=0.87, peak_severity=0.8)
    order = compose.of_episode(episode, SEEN, PLANT, (), "en", "cfg")
    assert order.title == "M: bearing inner race defect"
    assert (order.priority, order.iso_mode, order.component) == (2, "VIB", "bearing")
    assert "confidence 87%" in order.description
    assert "confirmed by 3 windows" in order.description
    assert "vibration +2.50" in order.description
    assert "thermal" not in order.description
    assert "2026-03-18 12:00:00+00:00" in order.description
    assert [level.id for level in order.hierarchy] == ["ACME", "SZ1", "HALL-2", "A"]
    assert "轴承内圈故障" in compose.of_episode(episode, SEEN, PLANT, (), "zh", "cfg").title


def test_a_reports_order_holds_the_masked_text_and_the_goods() -> None:
    episode = Episode("AN2", "", "report:BURR", "BURR", "report", EpisodeState.OPEN, at(0), at(0))
    order = compose.of_report(episode, TOLD, REPORT, PLANT, (), "cfg")
    assert order.work_type == "quality"
    assert order.product is not None
    assert (order.product.batch, order.product.quantity) == ("L7", 12)
    assert (order.priority, order.iso_mode, order.lane) == (3, "OTH", "AN2")
    assert "Li Wei" not in repr(order)


def test_every_fault_has_words_in_both_languages_and_an_iso_mode() -> None:
    for fault in set(Fault) - {Fault.HEALTHY}:
        assert named(fault, "en") != named(fault, "zh")
        assert iso_of(OF_FAULT[fault].iso) == OF_FAULT[fault].iso
    assert iso_of("LEAK") == "EXL"
    assert named("LACK_OF_FUSION", "en") == "lack of fusion"


def test_only_codes_that_such_a_trouble_is_felt_by_join_it() -> None:
    assert felt_as("bearing", ("NOI", "OHE"))
    assert not felt_as("bearing", ("NOI", "LEAK"))
    assert not felt_as("bearing", ())


def failing(times: int, error: Callable[[], Exception]) -> tuple[Callable[[], object], list[int]]:
    runs: list[int] = []

    async def job() -> None:
        runs.append(1)
        if len(runs) <= times:
            raise error()

    return job, runs


async def test_what_is_unreachable_is_tried_again_until_it_ends() -> None:
    job, runs = failing(3, lambda: Unreachable("no answer", after=timedelta(milliseconds=1)))
    await supervise("job", job, first_s=0.01)  # type: ignore[arg-type]  # an async function
    assert len(runs) == 4


async def test_a_bug_goes_up_at_once() -> None:
    job, runs = failing(3, lambda: KeyError("bug"))
    with pytest.raises(KeyError):
        await supervise("job", job, first_s=0.01)  # type: ignore[arg-type]  # an async function
    assert len(runs) == 1


def test_evidence_of_an_older_gateway_keeps_its_bytes() -> None:
    told = '{"kind":"log","sha256":"00","size":3,"media_type":"text/plain","captured_at":"2026-03-18T12:00:00Z"'
    old = f'{told},"unit":"","rate_hz":null}}'.encode()
    piece = msgspec.json.decode(old, type=Evidence)
    assert msgspec.json.encode(piece) == old
    assert msgspec.json.encode(replace(piece, tag="x")) == old[:-1] + b',"tag":"x"}'
