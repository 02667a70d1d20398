"""Laws of what is pure on the line side: packing, addresses, scaling, syslog lines, decoders."""

import struct
from contextlib import suppress
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.line.lines import parse, read_line
from connectors.line.modbus.address import Address, bytes_of, decoder
from connectors.line.modbus.address import parse as parse_register
from connectors.line.modbus.packing import cut_of, pack
from connectors.line.shapes import ShapeTag, Times, Unfit, frame, waveform
from connectors.line.tags import Tag, judge
from connectors.opcua.address import parse as parse_node
from gateway.core.reading import Quality

NOW = datetime(2026, 3, 18, 6, 30, tzinfo=UTC)
SPANS = st.lists(st.tuples(st.integers(0, 2000), st.integers(1, 4)), min_size=1, max_size=60)


@given(SPANS, st.integers(0, 124), st.integers(4, 125), st.sets(st.integers(0, 2000), max_size=20))
def test_a_plan_covers_all_splits_nothing_and_crosses_no_cut(
    spans: list[tuple[int, int]], gap: int, most: int, cuts: set[int]
) -> None:
    blocks = pack(spans, gap=gap, most=most, cuts=cuts)
    assert sorted(place for block in blocks for place in block.places) == list(range(len(spans)))
    for block in blocks:
        inside = [spans[place] for place in block.places]
        assert block.count <= most or len(inside) == 1
        assert all(block.start <= offset and offset + count <= block.end for offset, count in inside)
        used = sorted({address for offset, count in inside for address in range(offset, offset + count)})
        assert block.start == used[0] and block.end == used[-1] + 1
        assert all(later - earlier - 1 <= gap for earlier, later in pairwise(used))
        if len(inside) > 1:
            assert not any(block.start < cut < block.end for cut in cuts - _within(spans))


def _within(spans: list[tuple[int, int]]) -> set[int]:
    """Cuts inside a span cannot be kept: a span is never split."""
    return {address for offset, count in spans for address in range(offset + 1, offset + count)}


@given(st.sets(st.integers(0, 400), min_size=2, max_size=40), st.data())
def test_cutting_refused_blocks_ends_with_every_good_tag_read(offsets: set[int], data: st.DataObject) -> None:
    spans = [(offset, 1) for offset in sorted(offsets)]
    refused = data.draw(st.sets(st.integers(0, 400), max_size=10))
    cuts: set[int] = set()
    for _ in range(500):
        blocks = pack(spans, gap=60, most=125, cuts=cuts)
        ill = [block for block in blocks if refused & set(range(block.start, block.end))]
        new = {cut for block in ill if (cut := cut_of(block, spans)) is not None}
        if not new:
            break
        assert not new <= cuts
        cuts |= new
    assert all(len(block.places) == 1 and spans[block.places[0]][0] in refused for block in ill)


@pytest.mark.parametrize("order", ["ABCD", "CDAB", "BADC", "DCBA"])
@given(value=st.floats(width=32, allow_nan=False))
def test_all_four_byte_orders_come_back(order: str, value: float) -> None:
    a, b, c, d = struct.pack(">f", value)
    sent = {"ABCD": (a, b, c, d), "CDAB": (c, d, a, b), "BADC": (b, a, d, c), "DCBA": (d, c, b, a)}[order]
    registers = struct.unpack(">HH", bytes(sent))
    assert decoder(parse_register(f"holding:0:float32:{order}"))(registers) == value
    assert bytes_of(registers, parse_register(f"holding:0:float32:{order}").order) == bytes((a, b, c, d))


@given(st.text(max_size=60))
def test_any_text_is_an_address_or_a_value_error(text: str) -> None:
    for read in (parse_register, parse_node):
        with suppress(ValueError):
            read(text)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("holding:40103:float32:CDAB", Address("holding", 102, "float32", "CDAB", 2)),
        ("holding:40001", Address("holding", 0, "uint16")),
        ("holding:@40103", Address("holding", 40103, "uint16")),
        ("holding:400103", Address("holding", 102, "uint16")),
        ("holding:465536", Address("holding", 65535, "uint16")),
        ("holding:102", Address("holding", 102, "uint16")),
        ("input:30012:int16", Address("input", 11, "int16")),
        ("discrete:10004", Address("discrete", 3, "bool")),
        ("coil:17", Address("coil", 17, "bool")),
        ("holding:10:bit3", Address("holding", 10, "bit3")),
        ("holding:110:string8", Address("holding", 110, "string8", "ABCD", 4)),
    ],
)
def test_addresses_mean_what_integrators_write(text: str, wanted: Address) -> None:
    assert parse_register(text) == wanted


@pytest.mark.parametrize(
    "text",
    [
        "holding:65535:float32",
        "holding:10:bit16",
        "coil:1:int16",
        "holding:x",
        "register:1",
        "holding:1:f32",
        "holding:70000",
    ],
)
def test_wrong_addresses_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=text.split(":", maxsplit=1)[0]):
        parse_register(text)


def test_bits_and_strings_are_read() -> None:
    assert decoder(parse_register("holding:0:bit3"))([0b1000]) is True
    assert decoder(parse_register("holding:0:bit3"))([0b0111]) is False
    assert decoder(parse_register("holding:0:string8"))(struct.unpack(">4H", b"ANDON-01")) == "ANDON-01"
    assert decoder(parse_register("holding:0:int64"))([0xFFFF] * 4) == -1


@given(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(), st.lists(st.integers())),
    st.floats(-1e6, 1e6).filter(bool),
    st.floats(-1e6, 1e6),
)
def test_a_bad_value_never_becomes_a_number(raw: object, low: float, scale: float) -> None:
    tag = Tag(asset="A", tag="t", address="x", low=min(low, 0), high=max(low, 0), scale=scale or 1.0)
    value, why = judge(tag, raw)
    assert (value is None) == bool(why)
    if isinstance(value, int | float) and not isinstance(value, bool):
        assert min(low, 0) <= value <= max(low, 0)


@given(st.binary(max_size=300))
def test_any_datagram_is_a_line_that_is_safe_to_show(datagram: bytes) -> None:
    for said in (parse(datagram, NOW), read_line(datagram, UTC)):
        assert 0 <= said.severity <= 7
        assert said.text.isprintable()
        assert said.at is None or said.at.utcoffset() is not None


@pytest.mark.parametrize(
    ("datagram", "severity", "host", "app", "at", "text"),
    [
        (
            '<165>1 2026-03-18T14:30:00.003+08:00 m07 drive 87 ID [x@3 a="1" b="\\]"] \ufeffspindle 振动'.encode(),
            5, "m07", "drive", "2026-03-18T06:30:00.003000+00:00", "spindle 振动",
        ),
        (b"<34>1 - - - - - -", 2, "", "", None, ""),
        (b"<34>Mar 17 22:14:15 m07 plc[12]: door open", 2, "m07", "plc", "2026-03-17T22:14:15+00:00", "door open"),
        (b"<13>Dec 31 23:59:59 m07 last year", 5, "m07", "", "2025-12-31T23:59:59+00:00", "last year"),
        (b"<13>just words", 5, "", "", None, "just words"),
        (b"no priority at all", 5, "", "", None, "no priority at all"),
    ],
)  # fmt: skip
def test_both_kinds_of_syslog_are_read(
    datagram: bytes, severity: int, host: str, app: str, at: str | None, text: str
) -> None:
    said = parse(datagram, NOW)
    assert (said.severity, said.host, said.app, said.text) == (severity, host, app, text)
    assert (said.at.isoformat() if said.at else None) == at


@given(
    st.binary(max_size=200),
    st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"II*\0", b"\x02\0\x02\0"]),
)
def test_any_bytes_are_a_picture_or_unfit(tail: bytes, head: bytes) -> None:
    tag = ShapeTag(asset="A", tag="t", address="x", kind="frame", encoding="centikelvin")
    times = Times(None, None, NOW)
    with suppress(Unfit):
        made = frame(tag, head + tail, Quality.GOOD, times)
        assert made.is_whole


@given(st.lists(st.floats(width=32), max_size=50))
def test_a_waveform_is_finite_or_unfit(samples: list[float]) -> None:
    tag = ShapeTag(asset="A", tag="t", address="x", kind="waveform")
    try:
        made = waveform(tag, samples, 1000.0, Quality.GOOD, Times(None, None, NOW))
    except Unfit:
        assert not samples or not all(abs(sample) < float("inf") for sample in samples)
    else:
        assert list(struct.unpack(f"<{len(samples)}f", made.samples)) == samples
        assert (made.received_at - made.sourced_at).total_seconds() == pytest.approx(len(samples) / 1000)
