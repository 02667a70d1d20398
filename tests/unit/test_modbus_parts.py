"""The parts of the Modbus line that are pure: endpoints, frames, costs, turns, breakers, connections, refusals."""

import random
import struct
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.line.modbus import Settings
from connectors.line.modbus.address import Address, decoder, parse
from connectors.line.modbus.area import Area
from connectors.line.modbus.breaker import SHARE, Breaker, Probes
from connectors.line.modbus.cost import GAP, Cost
from connectors.line.modbus.decode import Decoder, Spot
from connectors.line.modbus.discover import Stretch, likely, numbers_of, range_of, row_of, table_of
from connectors.line.modbus.endpoint import parse_endpoint
from connectors.line.modbus.frames import Denied, Foreign, Question, crc, mbap, read_mbap, read_rtu, rtu
from connectors.line.modbus.lanes import Lanes
from connectors.line.modbus.targets import order_of
from connectors.line.modbus.timetable import Timetable
from connectors.line.modbus.wishes import Target
from tests.line_rigs import settings_of

NOW = datetime(2026, 3, 18, 6, 30, tzinfo=UTC)
TAG = {"asset": "A", "tag": "a", "address": "holding:1"}
ASK = Question(3, "holding", 100, 2)
REPLY = bytes((3, 3, 4, 1, 2, 3, 4))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("tcp://10.2.0.12", "tcp://10.2.0.12:502"),
        ("tcp://[fe80::1]:1502", "tcp://[fe80::1]:1502"),
        ("tls://plc.example", "tls://plc.example:802"),
        ("rtu+tcp://moxa-7:4001", "rtu+tcp://moxa-7:4001"),
        ("rtu:///dev/ttyUSB0", "/dev/ttyUSB0 at 19200 baud, even parity"),
        ("rtu:///dev/ttyS1?baudrate=9600&parity=N&stopbits=2", "/dev/ttyS1 at 9600 baud, none parity"),
    ],
)
def test_endpoints_are_read_as_integrators_write_them(text: str, shown: str) -> None:
    assert str(parse_endpoint(text)) == shown


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("10.2.0.12", "is not an endpoint; for example tcp://"),
        ("udp://h", "is not an endpoint"),
        ("tcp://h:70000", "a port is 1 to 65535"),
        ("tcp://a b", "is not host:port"),
        ("rtu+tcp://moxa", "name the port"),
        ("rtu://", "name the serial device"),
        ("rtu://dev/ttyUSB0", "three slashes"),
        ("rtu:///dev/ttyUSB0?baud=9600", "known: baudrate, parity, stopbits"),
        ("rtu:///dev/ttyUSB0?baudrate=fast", "not 'fast'"),
        ("rtu:///dev/ttyUSB0?parity=x", "none, even or odd"),
        ("rtu:///dev/ttyUSB0?stopbits=3", "1 or 2"),
        ("rtu:///dev/ttyUSB0?parity=n&parity=e", "stands twice"),
    ],
)
def test_a_wrong_endpoint_is_told_what_is_wrong(text: str, hint: str) -> None:
    with pytest.raises(ValueError, match=hint.replace("?", r"\?")):
        parse_endpoint(text)


@pytest.mark.parametrize(
    ("fields", "hint"),
    [
        ({"endpoint": "tcp://h", "baudrate": 9600}, "for a serial line"),
        ({"endpoint": "rtu:///dev/x?parity=n", "parity": "even"}, "not both"),
        ({"endpoint": "tls://h"}, "tls:// needs tls"),
        ({"endpoint": "tls://h", "tls": {}}, "name the ca"),
        ({"endpoint": "tls://h", "tls": {"ca": "x", "key": "y"}}, "given together"),
        ({"endpoint": "tcp://h", "tls": {"insecure": True}}, "for a tls:// endpoint"),
        ({"endpoint": "rtu:///dev/x", "connections": 2}, "one question at a time"),
        ({"endpoint": "tcp://h", "every": "100us"}, "at least 1ms"),
        ({"endpoint": "nowhere"}, "is not an endpoint"),
        ({"endpoint": "tcp://h", "target": [{"name": "t", "address": "input:1"}]}, "cannot be written"),
        ({"endpoint": "tcp://h", "target": [{"name": "t", "address": "holding:1"}]}, "low and high are mandatory"),
        ({"endpoint": "tcp://h", "target": [{"name": "t", "address": "holding:1:bit3"}]}, "overwrite its neighbours"),
        ({"endpoint": "tcp://h", "target": [{"name": "t", "address": "coil:1"}] * 2}, "t stands twice"),
    ],
)
def test_settings_that_do_not_fit_together_are_told_apart(fields: dict[str, object], hint: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=hint):
        settings_of(Settings, name="m", tag=[TAG], **fields)


def test_serial_settings_stand_beside_the_endpoint_too() -> None:
    line = settings_of(Settings, name="m", tag=[TAG], endpoint="rtu:///dev/x", baudrate=9600, parity="none", stopbits=2)
    assert (line.place.serial.baudrate, line.place.serial.parity, line.place.serial.stopbits) == (9600, "none", 2)
    assert line.place.serial.silence_s == pytest.approx(3.5 * 11 / 9600)


# frames


def test_only_the_answer_to_the_question_is_taken() -> None:
    asked = mbap(ASK, 7)
    assert asked == bytes((0, 7, 0, 0, 0, 6, 3, 3, 0, 100, 0, 2))
    good = struct.pack(">HHH", 7, 0, len(REPLY)) + REPLY
    assert read_mbap(good, ASK, 7) == b"\1\2\3\4"
    assert all(read_mbap(good[:end], ASK, 7) is None for end in range(len(good)))
    for odd in (
        struct.pack(">HHH", 8, 0, len(REPLY)) + REPLY,  # another transaction
        struct.pack(">HHH", 7, 1, len(REPLY)) + REPLY,  # another protocol
        struct.pack(">HHH", 7, 0, len(REPLY)) + bytes((4,)) + REPLY[1:],  # another unit
        struct.pack(">HHH", 7, 0, len(REPLY)) + bytes((3, 4)) + REPLY[2:],  # another table
        struct.pack(">HHH", 7, 0, 5) + bytes((3, 3, 2, 1, 2)),  # fewer registers
        good + b"\0",  # more than one answer
        struct.pack(">HHH", 7, 0, len(REPLY)) + bytes((3, 3, 9)) + REPLY[3:],  # a length that lies
    ):
        with pytest.raises(Foreign):
            read_mbap(odd, ASK, 7)
    with pytest.raises(Denied, match="DeviceBusy"):
        read_mbap(struct.pack(">HHH", 7, 0, 3) + bytes((3, 0x83, 6)), ASK, 7)


@pytest.mark.pain(11)
@given(st.binary(max_size=40), st.binary(max_size=12))
def test_a_serial_answer_is_found_between_noise_and_nothing_else_is(before: bytes, after: bytes) -> None:
    good = REPLY + crc(REPLY)
    assert rtu(ASK)[:6] == bytes((3, 3, 0, 100, 0, 2))
    noise = before.replace(b"\3", b"\4")  # no other answer of the unit in it
    assert read_rtu(noise + good + after, ASK) == b"\1\2\3\4"
    late = bytes((3, 3, 2, 9, 9))
    assert read_rtu(late + crc(late) + good, ASK) == b"\1\2\3\4"
    assert read_rtu(good[:-1] + bytes((good[-1] ^ 1,)), ASK) is None
    assert all(read_rtu(good[:end], ASK) is None for end in range(len(good)))
    no = bytes((3, 0x83, 2))
    with pytest.raises(Denied, match="IllegalDataAddress"):
        read_rtu(noise + no + crc(no), ASK)


# decoding

NUMBERS = ("int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64")
KINDS = (*NUMBERS, "bit0", "bit7", "bit15", "string5")
ADDRESSES = st.builds(
    lambda kind, order: parse(f"holding:0:{kind}:{order}"),
    st.sampled_from(KINDS),
    st.sampled_from(("ABCD", "CDAB", "BADC", "DCBA")),
)


@given(st.lists(ADDRESSES, min_size=1, max_size=12), st.data())
def test_columns_say_what_one_decoder_per_tag_says(addresses: list[Address], data: st.DataObject) -> None:
    raw = data.draw(st.binary(min_size=80, max_size=80))
    spots = [Spot(place, address, data.draw(st.integers(0, 36)) * 2) for place, address in enumerate(addresses)]
    made = Decoder(spots)
    said: dict[int, object] = dict(made.texts(raw))
    for column in made.columns(raw):
        said |= dict(zip(column.places.tolist(), column.values.tolist(), strict=True))
    for spot in spots:
        words = struct.unpack(f">{spot.address.count}H", raw[spot.at : spot.at + 2 * spot.address.count])
        alone = decoder(spot.address)(words)
        assert repr(said[spot.place]) == repr(alone)  # not a number is like itself
    assert sorted(said) == list(range(len(spots)))


@given(st.lists(st.booleans(), min_size=1, max_size=60))
def test_coils_come_out_as_they_went_in(bits: list[bool]) -> None:
    raw = bytearray((len(bits) + 7) // 8)
    for place, bit in enumerate(bits):
        raw[place // 8] |= bit << place % 8
    area = Area(1, "coil", [(place, parse(f"coil:{place}")) for place in range(len(bits))], gap=60, span=125)
    [block] = area.blocks
    [column] = Decoder(area.spots(block, 0)).columns(bytes(raw))
    assert dict(zip(column.places.tolist(), column.values.tolist(), strict=True)) == dict(enumerate(bits))


@given(st.sampled_from(NUMBERS), st.sampled_from(("ABCD", "CDAB", "BADC", "DCBA")), st.integers(-100, 100))
def test_what_is_written_reads_back_as_it_was_meant(kind: str, order: str, value: int) -> None:
    target = Target(name="t", address=f"holding:@9:{kind}:{order}", low=-100, high=100)
    if kind.startswith("u") and value < 0:
        with pytest.raises(ValueError, match="does not fit"):
            order_of(target, 1, value)
        return
    request = order_of(target, 1, value)
    address = parse(target.address)
    raw = request.body[-2 * address.count :]
    words = struct.unpack(f">{address.count}H", raw)
    assert decoder(address)(words) == value
    assert request.function == (6 if address.count == 1 else 16)


# what a request costs


@pytest.mark.pain(9)
def test_the_gap_that_is_worth_bridging_is_learned() -> None:
    dice = random.Random(1)
    for base, slope, least, most in ((0.02, 0.0023, 6, 11), (0.0003, 0.000_000_5, 124, 124), (0.0001, 0.01, 0, 0)):
        cost = Cost()
        assert cost.gap == GAP
        for _ in range(300):
            registers = dice.randrange(1, 125)
            cost.learn(registers, (base + slope * registers) * dice.uniform(0.95, 1.05))
        assert least <= cost.gap <= most
        assert msgspec.json.decode(msgspec.json.encode(cost), type=Cost).gap == cost.gap


def test_answers_of_one_length_teach_no_gap() -> None:
    cost = Cost()
    for _ in range(500):
        cost.learn(100, 0.01)
    assert not cost.known
    assert cost.gap == GAP


# turns


def test_groups_are_spread_over_their_period_by_what_they_cost() -> None:
    table = Timetable([1.0, 1.0, 1.0, 1.0], [1, 1, 1, 1], 0.0)
    assert [place for place, _ in table.due(0.0)] == [0, 1, 2, 3]
    for place in range(4):
        table.free(place, 0.1)
    seen: list[tuple[float, int]] = []
    for tick in range(40, 400):
        for place, _ in table.due(tick / 100):
            seen.append((tick / 100, place))
            table.free(place, tick / 100)
    first = {place: min(at for at, other in seen if other == place) for place in range(4)}
    assert sorted(at % 1.0 for at in first.values()) == pytest.approx([0.0, 0.25, 0.5, 0.75])
    for place in range(4):
        times = [at for at, other in seen if other == place]
        assert all(later - earlier == pytest.approx(1.0) for earlier, later in pairwise(times))


def test_a_group_that_is_not_done_misses_its_turn_and_says_so() -> None:
    table = Timetable([1.0], [4], 0.0)
    assert table.due(0.0)
    assert table.due(1.2) == []
    table.done(0, 1.4)
    assert table.detail(0) == "scan takes 1.4 s of 1 s, 1 turns missed"
    table.free(0, 1.4)
    assert [place for place, _ in table.due(1.4)] == [0]  # it goes on as fast as it can
    table.done(0, 1.9)
    table.free(0, 1.9)
    assert table.detail(0) == ""


# silent units


@pytest.mark.pain(10)
def test_silent_units_take_a_bounded_share_of_the_line_however_many_there_are() -> None:
    probes = Probes(every_s=1.0, timeout_s=0.8)
    probes.heard(0.02)
    silent = [Breaker(unit, 2) for unit in range(1, 6)]
    for breaker in silent:
        assert [breaker.fail(0.0), breaker.fail(0.0)] == [False, True]
    now, spent, asked = 0.0, 0.0, {breaker.unit: 0 for breaker in silent}
    while now < 1000:
        at = probes.next(silent)
        assert at is not None
        now = max(now, at)
        breaker = probes.due(silent, now)
        assert breaker is not None
        wait = probes.timeout(breaker)
        assert wait <= 0.8
        now, spent = now + wait, spent + wait
        probes.asked(breaker, now, wait)
        asked[breaker.unit] += 1
    assert spent / now <= 0.05
    assert spent / now == pytest.approx(SHARE, rel=0.2)
    assert min(asked.values()) >= 10  # nobody is forgotten
    assert silent[0].answer() and not silent[0].demoted


# connections


def lanes_with(seconds: float, lanes: Lanes) -> Lanes:
    for _ in range(64):
        lanes.heard(seconds)
    return lanes


def test_connections_grow_with_what_the_requests_need_and_no_further() -> None:
    lanes = Lanes(None, shared=False)
    assert not lanes_with(0.0003, lanes).grow(16, 10.0)
    assert [lanes_with(0.02, lanes).grow(400, 10.0 * turn) for turn in range(1, 5)] == [1, 2, 4, 0]
    assert lanes.count == 8
    assert not lanes_with(0.02, lanes).grow(4000, 100.0)
    assert not lanes_with(9.0, Lanes(None, shared=True)).grow(1000, 10.0)


def test_a_connection_that_brings_nothing_is_given_back() -> None:
    lanes = lanes_with(0.02, Lanes(None, shared=False))
    assert lanes.grow(400, 10.0) == 1
    assert lanes_with(0.05, lanes).grow(400, 20.0) == 0
    assert lanes.count == 1
    assert lanes_with(0.02, lanes).grow(400, 30.0) == 0
    assert lanes_with(0.02, lanes).grow(400, 400.0) == 1  # it may have been a bad moment
    assert lanes.news() is None


def test_a_refused_connection_is_remembered_for_a_day() -> None:
    lanes = Lanes(8, shared=False)
    lanes.refused(NOW)
    kept = lanes.news()
    assert kept is not None and lanes.news() is None
    again = Lanes(8, shared=False)
    again.recall(kept, NOW + timedelta(hours=3))
    assert (again.count, again.most) == (7, 7)
    old = Lanes(8, shared=False)
    old.recall(kept, NOW + timedelta(hours=25))
    assert old.most == 8
    damaged = Lanes(8, shared=False)
    damaged.recall(b"{", NOW)
    assert damaged.most == 8


# what was refused


def area(*offsets: int) -> Area:
    return Area(1, "holding", [(place, parse(f"holding:{at}")) for place, at in enumerate(offsets)], gap=60, span=125)


@pytest.mark.pain(9)
def test_a_refused_hole_is_remembered_for_the_same_tags_and_for_a_day() -> None:
    first = area(0, 10, 40)
    [block] = first.blocks
    found = first.parts(block, 2)
    assert found is not None
    first.both_answered(block, found[0], 2, NOW)
    assert [(block.start, block.count) for block in first.blocks] == [(0, 11), (40, 1)]
    kept = first.news(NOW)
    assert kept and first.news(NOW) is None
    same, other, later, damaged = area(0, 10, 40), area(0, 10, 41), area(0, 10, 40), area(0, 10, 40)
    same.recall(kept, NOW + timedelta(hours=1))
    other.recall(kept, NOW)
    later.recall(kept, NOW + timedelta(hours=25))
    damaged.recall(b"\0", NOW)
    assert [len(each.blocks) for each in (same, other, later, damaged)] == [2, 1, 1, 1]
    assert same.news(NOW + timedelta(hours=26)) == b""  # asked again after a day
    assert len(same.blocks) == 1


def test_silent_registers_are_found_by_halves_and_wait_alone() -> None:
    made, now, wait = area(*range(0, 80, 10)), 0.0, 40.0
    asked: list[int] = []
    for _ in range(2000):
        now += 1.0
        for block in made.asked(now):
            silent = block.start <= 30 < block.end
            asked.append(silent)
            if silent:
                made.unheard(block, NOW, now, wait)
            else:
                made.heard(block)
    assert [(block.start, block.count) for block in made.blocks if block.start == 30] == [(30, 1)]
    waiting = {block.start for block in made.blocks} - {block.start for block in made.asked(now)}
    assert waiting <= {30}
    assert sum(asked) < 20


# looking


def test_ranges_of_registers_are_read_as_people_write_them() -> None:
    assert range_of("100..110") == ("holding", 100, 110)
    assert range_of("input:0..9") == ("input", 0, 9)
    assert range_of("holding:40101..40110") == ("holding", 100, 109)
    assert range_of("coil:7") == ("coil", 7, 7)
    assert numbers_of("1,2, 7..9") == [1, 2, 7, 8, 9]
    for wrong in ("", "a..b", "9..1", ":1", "register:1"):
        with pytest.raises(ValueError, match="for example"):
            range_of(wrong)
    for wrong in ("", "a", "1..", "256"):
        with pytest.raises(ValueError, match="unit numbers"):
            numbers_of(wrong)


def test_a_register_is_shown_in_every_type_and_order() -> None:
    row = row_of("holding", 100, struct.unpack(">2H", struct.pack(">f", 41.25)))
    assert row.float32[0] == pytest.approx(41.25)
    assert row_of("holding", 1, (0xFFF4,)).int16 == -12
    assert row_of("holding", 1, (0x414E,)).text == "AN"
    assert row_of("holding", 1, (0x7FC0, 0)).float32[0] is None  # not a number
    assert row_of("coil", 1, (1, 0)).float32 == ()
    assert likely(41.25) and likely(0.0) and not likely(1e-30) and not likely(None)


def test_a_tag_table_of_what_is_there_can_be_read_back() -> None:
    text = table_of([Stretch("holding", 100, 105), Stretch("coil", 3, 4)], "float32:CDAB", "OVEN-1", 7)
    rows = [line.split(",") for line in text.splitlines()]
    assert [row[2] for row in rows[1:]] == [
        "holding:@100:float32:CDAB", "holding:@102:float32:CDAB", "holding:@104:float32:CDAB", "coil:@3", "coil:@4",
    ]  # fmt: skip
    assert all(parse(row[2]) and row[4] == "7" for row in rows[1:])
