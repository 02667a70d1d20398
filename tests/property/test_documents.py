"""Documents in the store: what goes in comes out, whatever was said and whether it was compressed or not."""

from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.batch import Batch
from gateway.core.reading import LogLine, Quality, Reading, Waveform
from gateway.store.documents import pack, unpack

words = st.text(st.characters(codec="utf-8"), max_size=20)
times = st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - bounds
values = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | words
readings = st.builds(
    Reading, words, words, values, words, st.sampled_from(Quality), st.none() | times, st.none() | times, times, words
)
good = st.just(Quality.GOOD)
samples = st.binary(max_size=64).map(lambda content: content * 500)
waves = st.builds(
    Waveform, words, words, samples, st.floats(1, 1e5), words, st.just(Quality.GOOD), times, st.none(), times
)
lines = st.builds(LogLine, words, words, st.integers(0, 7), st.none() | times, times)
batches = st.builds(
    Batch,
    words,
    st.integers(1, 2**40),
    times,
    readings=st.lists(readings, max_size=8).map(tuple),
    waveforms=st.lists(waves, max_size=2).map(tuple),
    lines=st.lists(lines, max_size=4).map(tuple),
)


@settings(deadline=None)
@given(batches)
def test_a_batch_comes_out_of_its_document_as_it_went_in(batch: Batch) -> None:
    assert unpack(pack(batch), Batch) == batch


@settings(deadline=None)
@given(st.binary(max_size=20_000))
def test_a_document_is_never_much_longer_than_what_it_holds(content: bytes) -> None:
    assert unpack(pack(content), bytes) == content
    assert len(pack(content)) <= len(content) + 6
