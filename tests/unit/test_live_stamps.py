"""The live view under a wrong clock."""

from datetime import UTC, datetime

from msgspec.structs import replace

from gateway.flow.live import Live
from tests.fakes import at, batch, block, value

FUTURE = datetime(2100, 1, 1, tzinfo=UTC)


def test_a_value_of_the_future_does_not_stay_the_latest_for_good() -> None:
    live = Live()
    bad = replace(value("M", "speed", 0, 9.0), sourced_at=FUTURE), replace(block("M", 0, 9.0), sourced_at=FUTURE)
    live.note(batch(1, 1, *bad))
    live.note(batch(2, 2, value("M", "speed", 1, 1500.0), block("M", 1, 1.0)))
    seen = live.of("M")
    assert [reading.value for reading in seen.readings] == [1500.0]
    assert seen.waveform is not None and seen.waveform.sourced_at == at(1)


def test_an_older_value_replaces_no_newer_one() -> None:
    live = Live()
    live.note(batch(1, 5, value("M", "speed", 5, 1500.0)))
    live.note(batch(2, 6, value("M", "speed", 4, 9.0)))
    assert [reading.value for reading in live.of("M").readings] == [1500.0]
