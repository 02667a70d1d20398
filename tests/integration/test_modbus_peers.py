"""Modbus against libmodbus, over TCP and over a serial line, while it is killed, frozen, delayed and cut."""

import asyncio
import re
import shutil
import ssl
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from itertools import pairwise
from pathlib import Path

import pytest

from connectors.line.modbus import Settings
from connectors.line.modbus.discover import Bounds, Look
from connectors.line.modbus.endpoint import parse_endpoint
from connectors.line.modbus.source import Modbus
from connectors.line.modbus.wire import Wire
from gateway.core.batch import Batch
from gateway.core.errors import Doubtful, Refused, Unreachable
from gateway.core.ports import LineSource, Readable, Writable
from gateway.core.reading import Quality, Reading
from tests.faulty_link import FaultyLink
from tests.integration.sim_process import running
from tests.libmodbus import Cable, RtuServer, TcpServer, serial_server
from tests.line_rigs import gather, lost, settings_of, until
from tests.modbus_papers import Papers

pytestmark = pytest.mark.peer
PI = 3.14159


def line(url: str, *tags: dict[str, object], **more: object) -> LineSource:
    fields = {"every": "40ms", "timeout": "400ms", "probe": "200ms", **more}
    return settings_of(Settings, name="m", endpoint=url, tag=list(tags), **fields).open()


def tag(name: str, address: str, **more: object) -> dict[str, object]:
    return {"asset": "A", "tag": name, "address": address, **more}


def of(batches: list[Batch], name: str) -> list[Reading]:
    return [it for batch in batches for it in batch.values() if it.tag == name]


EVERY_KIND = (
    tag("pi_abcd", "holding:100:float32:ABCD"),
    tag("pi_cdab", "holding:102:float32:CDAB"),
    tag("pi_badc", "holding:104:float32:BADC"),
    tag("pi_dcba", "holding:106:float32:DCBA"),
    tag("name", "holding:110:string8"),
    tag("bit", "holding:13:bit2"),
    tag("nobit", "holding:13:bit1"),
    tag("coil", "coil:9"),
    tag("nocoil", "coil:10"),
    tag("discrete", "discrete:12"),
    tag("input", "input:1234"),
    tag("wide", "holding:200:uint64"),
    tag("signed", "holding:201:int32:CDAB"),
    tag("scaled", "holding:300", scale=0.1, unit="degC"),
)
SAYS = {
    "name": "ANDON-01", "bit": True, "nobit": False, "coil": True, "nocoil": False, "discrete": True, "input": 1234,
    "wide": 200 << 48 | 201 << 32 | 202 << 16 | 203, "signed": 202 << 16 | 201, "scaled": pytest.approx(30.0),
}  # fmt: skip


def check_every_kind(batches: list[Batch]) -> None:
    for name, value in SAYS.items():
        assert of(batches, name)[0].value == value, name
    for order in ("abcd", "cdab", "badc", "dcba"):
        assert of(batches, f"pi_{order}")[0].value == pytest.approx(PI, abs=1e-5), order


@pytest.fixture
async def server() -> AsyncIterator[TcpServer]:
    server = TcpServer()
    await server.start()
    yield server
    server.end()


@pytest.fixture
async def cable(tmp_path: Path) -> AsyncIterator[Cable]:
    cable = Cable(tmp_path)
    await cable.plug()
    yield cable
    cable.pull()


@pytest.fixture
async def slave(cable: Cable) -> AsyncIterator[RtuServer]:
    slave = RtuServer(cable.theirs)
    await slave.start()
    yield slave
    slave.end()


async def test_every_kind_and_order_comes_over_tcp(server: TcpServer) -> None:
    check_every_kind(await gather(line(server.url, *EVERY_KIND), lambda taken: bool(of(taken, "scaled"))))


@pytest.mark.usefixtures("slave")
async def test_every_kind_and_order_comes_over_a_serial_line(cable: Cable) -> None:
    check_every_kind(await gather(line(cable.url, *EVERY_KIND), lambda taken: bool(of(taken, "scaled"))))


@pytest.mark.pain(9)
async def test_a_thousand_tags_over_two_thousand_registers_take_sixteen_requests(server: TcpServer) -> None:
    tags = [tag(f"t{n}", f"holding:{2 * n}") for n in range(1000)]
    batches = await gather(line(server.url, *tags), lambda taken: len(of(taken, "t0")) >= 4)
    counted = [int(str(reading.value)) for reading in of(batches, "t0")]
    assert max(later - earlier for earlier, later in pairwise(counted)) <= 17
    assert all(batch.count == 0 or not batch.readings for batch in batches)
    assert {reading.value for reading in of(batches, "t999")} == {1998}


@pytest.mark.usefixtures("slave")
async def test_several_units_of_a_serial_line_are_read_and_a_dead_one_is_named(cable: Cable) -> None:
    tags = [tag(f"u{unit}", "holding:7", device=unit) for unit in (1, 2, 9, 30)]
    source = line(cable.url, *tags, timeout="150ms")
    batches = await gather(source, lambda taken: len(of(taken, "u9")) >= 8 and bool(of(taken, "u30")))
    assert {reading.value for reading in of(batches, "u2")} == {7}
    assert of(batches, "u30")[-1].why == "unit 30: no answer in time"
    assert {state.name: state.healthy for state in source.tags()} == {
        "A/u1": True, "A/u2": True, "A/u9": True, "A/u30": False,
    }  # fmt: skip


async def test_a_serial_line_that_vanishes_is_unreachable_and_read_again_when_it_is_back(
    cable: Cable, slave: RtuServer
) -> None:
    def pull(taken: list[Batch]) -> bool:
        if len(of(taken, "a")) == 3:
            slave.end()
            cable.pull()
        return False

    with pytest.raises(Unreachable):
        await gather(line(cable.url, tag("a", "holding:7")), pull)
    assert await lost(line(cable.url, tag("a", "holding:7")), 5) is not None
    await cable.plug()
    await slave.start()
    batches = await gather(line(cable.url, tag("a", "holding:7")), lambda taken: bool(of(taken, "a")))
    assert of(batches, "a")[0].value == 7


@pytest.mark.pain(11)
async def test_a_frozen_serial_unit_does_not_answer_the_next_question_when_it_thaws(
    cable: Cable, slave: RtuServer
) -> None:
    tags = (tag("near", "holding:7"), tag("far", "holding:900"))
    source = line(cable.url, *tags, timeout="120ms", demote_after=10)

    def enough(taken: list[Batch]) -> bool:
        heard = of(taken, "far")
        if len(heard) == 3:
            slave.freeze()
        if any(reading.quality is Quality.BAD for reading in heard):
            slave.thaw()  # it now answers what it was asked while it was frozen
        return sum(reading.quality is Quality.GOOD for reading in heard[4:]) >= 6

    taken = await gather(source, enough)
    assert {reading.value for reading in of(taken, "near")} <= {7, None}
    assert {reading.value for reading in of(taken, "far")} <= {900, None}


@pytest.mark.pain(12)
async def test_what_was_not_heard_while_the_server_was_away_is_a_gap(server: TcpServer) -> None:
    memory: dict[str, bytes] = {}

    async def listen(stop: int) -> list[Batch]:
        taken: list[Batch] = []
        source = line(server.url, tag("a", "holding:7"))
        async with asyncio.timeout(20), aclosing(source.batches(memory)) as stream:
            async for batch in stream:
                taken.append(batch)
                memory.update(batch.memory)
                if len(of(taken, "a")) == 4:
                    await server.kill()
                if len(of(taken, "a")) >= stop:
                    break
        return taken

    with pytest.raises(Unreachable):
        await listen(99)
    gone = time.monotonic()
    while time.monotonic() - gone < 0.3:
        assert await lost(line(server.url, tag("a", "holding:7")), 5) is not None
    await server.start()
    [gap, *_] = [gap for batch in await listen(2) for gap in batch.gaps]
    assert gap.tags == (("A", "a"),)
    assert 0 < (gap.end - gap.start).total_seconds() < 20
    assert "no connection" in gap.cause or "closed" in gap.cause


async def test_a_blackhole_is_noticed_and_a_new_source_goes_on(server: TcpServer) -> None:
    link = FaultyLink("127.0.0.1", server.port)
    async with link.open():
        url = f"tcp://127.0.0.1:{link.port}"
        source = line(url, tag("a", "holding:7"))

        def swallow(taken: list[Batch]) -> bool:
            link.faults.swallow_reply = len(of(taken, "a")) >= 3
            return False

        with pytest.raises(Unreachable, match="no unit answers"):
            await gather(source, swallow)
        assert not source.tags()[0].healthy
        link.faults.swallow_reply = False
        again = await gather(line(url, tag("a", "holding:7")), lambda taken: len(of(taken, "a")) >= 3)
        assert {reading.value for reading in of(again, "a")} == {7}


async def test_a_cut_connection_is_made_anew_without_a_wrong_value(server: TcpServer) -> None:
    link = FaultyLink("127.0.0.1", server.port)
    async with link.open():

        def enough(taken: list[Batch]) -> bool:
            if len(of(taken, "a")) == 3:
                link.faults.cut_reply_after = 4
            elif link.met > 1:
                link.faults.cut_reply_after = None
            return len(of(taken, "a")) >= 8

        taken = await gather(line(f"tcp://127.0.0.1:{link.port}", tag("a", "holding:7")), enough)
        assert link.met >= 2
        assert {reading.value for reading in of(taken, "a")} <= {7, None}
        assert of(taken, "a")[-1].value == 7


async def test_dribble_is_an_answer(server: TcpServer) -> None:
    link = FaultyLink("127.0.0.1", server.port)
    link.faults.trickle = 0.003
    async with link.open():
        source = line(f"tcp://127.0.0.1:{link.port}", tag("a", "holding:7"), tag("b", "holding:12"), timeout="2s")
        batches = await gather(source, lambda taken: len(of(taken, "b")) >= 3)
        assert {reading.value for reading in of(batches, "b")} == {12}


async def test_a_far_device_is_read_over_several_connections() -> None:
    server = TcpServer(delay_ms=20)
    try:
        await server.start()
        tags = [tag(f"t{n}", f"holding:{130 * n + 1}") for n in range(24)]
        source = line(server.url, *tags, every="10ms", timeout="2s", connections=8)
        batches = await gather(source, lambda taken: len(of(taken, "t23")) >= 12)
        start, end = batches[0].received_at, batches[-1].received_at
        reads = sum(batch.count for batch in batches[1:])
        assert reads / (end - start).total_seconds() > 2 * 50  # one connection cannot do more than 50
    finally:
        server.end()


async def test_a_device_that_allows_two_connections_gets_two_and_that_is_remembered() -> None:
    server = TcpServer(delay_ms=10, connections=2)
    try:
        await server.start()
        tags = [tag(f"t{n}", f"holding:{130 * n + 1}") for n in range(12)]
        memory: dict[str, bytes] = {}
        source = line(server.url, *tags, every="20ms", timeout="1s", connections=4)

        def enough(taken: list[Batch]) -> bool:
            for batch in taken:
                memory.update(batch.memory)
            return len(of(taken, "t11")) >= 8 and "connections" in memory

        batches = await gather(source, enough)
        assert {reading.value for reading in of(batches, "t5")} == {651}
        assert b'"most":2' in memory["connections"] or b'"most":1' in memory["connections"]
    finally:
        server.end()


@pytest.mark.usefixtures("slave")
async def test_a_serial_server_is_read_over_tcp(cable: Cable) -> None:
    with serial_server(cable.ours) as port:
        dead = tag("dead", "holding:7", device=30)
        batches: list[Batch] = []
        async with asyncio.timeout(30):
            while not batches:  # it may not listen yet
                source = line(f"rtu+tcp://127.0.0.1:{port}", *EVERY_KIND, dead)
                with suppress(Unreachable):
                    batches = await gather(source, lambda taken: len(of(taken, "scaled")) >= 6)
        check_every_kind(batches)
        assert {reading.value for reading in of(batches, "dead")} == {None}


def test_mbpoll_reads_the_oven_as_the_gateway_does() -> None:
    if shutil.which("mbpoll") is None:
        pytest.skip("mbpoll is not installed (tools/services)")
    with running("modbus", "--unit", "3", "--warp", "1") as oven:
        port = str(oven.ready["port"])
        common = ["mbpoll", "-m", "tcp", "-p", port, "-a", "3", "-0", "-1", "-t"]
        asked = [*common, "4", "-r", "0", "-c", "3", "127.0.0.1"]
        said = subprocess.run(asked, capture_output=True, text=True, timeout=30, check=False).stdout
        polled = [int(value) for value in re.findall(r"^\[\d\]:\s+(-?\d+)", said, re.MULTILINE)]
        tags = [tag(f"z{n}", f"holding:{n}:int16", device=3) for n in range(3)]
        batches = asyncio.run(gather(line(f"tcp://127.0.0.1:{port}", *tags), lambda taken: bool(of(taken, "z2"))))
        assert polled == [of(batches, f"z{n}")[0].value for n in range(3)]
        refused = [*common, "3", "-r", "23", "-c", "1", "127.0.0.1"]
        hole = subprocess.run(refused, capture_output=True, text=True, timeout=30, check=False)
        assert "Illegal data address" in hole.stdout + hole.stderr


async def test_a_look_finds_the_units_and_what_stands_in_their_registers(server: TcpServer) -> None:
    wire = Wire(parse_endpoint(server.url), 0.1)
    try:
        look = Look(wire, Bounds())
        units = await look.units([1, 9, 10, 200])
        assert [unit.unit for unit in units.units] == [1, 9]
        seen = await look.rows(1, "holding", 98, 113)
        rows = {row.offset: row for row in seen.rows}
        for place, offset in enumerate((100, 102, 104, 106)):
            assert rows[offset].float32[place] == pytest.approx(PI, abs=1e-5)
        assert "".join(rows[offset].text for offset in range(110, 114)) == "ANDON-01"
        edge = await Look(wire, Bounds()).stretches(1, "input", 9900, 10_050)
        assert [(stretch.start, stretch.end) for stretch in edge.stretches] == [(9900, 9999)]
        few = await Look(wire, Bounds(questions=3)).stretches(1, "input", 9900, 60_000)
        assert few.ended == "after 3 questions" and few.questions == 3
    finally:
        wire.drop()


async def test_an_inspection_says_where_a_tag_points_and_which_order_fits(server: TcpServer) -> None:
    source = line(
        server.url,
        tag("right", "holding:40101:float32:ABCD", low=0, high=10),
        tag("wrong", "holding:@100:float32:CDAB", low=0, high=10),
        tag("missing", "holding:20000"),
        tag("silent", "holding:1", device=30),
        tag("silent2", "holding:2", device=30),
        timeout="200ms",
    )
    assert isinstance(source, Modbus)
    said = {check.name: check for check in await source.inspect()}
    assert said["A/right"].ok
    assert said["A/right"].said == "unit 1, holding offset 100 (Modicon 400101), float32 ABCD: 3.14159"
    assert not said["A/wrong"].ok
    assert "3.14159 as ABCD" in said["A/wrong"].said and "is the byte order right?" in said["A/wrong"].said
    assert "IllegalDataAddress" in said["A/missing"].said
    assert "no answer in time" in said["A/silent"].said
    assert "not asked" in said["A/silent2"].said
    assert of(await gather(source, lambda taken: bool(of(taken, "right"))), "right")  # it stays unused


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Papers:
    return Papers(tmp_path_factory.mktemp("papers"))


@asynccontextmanager
async def secured(server: TcpServer, papers: Papers, name: str) -> AsyncIterator[str]:
    """A TLS endpoint in front of the server that wants a certificate of our CA."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(*papers.made(name))
    tls.verify_mode = ssl.CERT_REQUIRED
    tls.load_verify_locations(papers.ca)
    link = FaultyLink("127.0.0.1", server.port)
    async with link.open(tls):
        yield f"tls://localhost:{link.port}"


async def test_modbus_over_mutual_tls(server: TcpServer, papers: Papers) -> None:
    certificate, key = map(str, papers.made("gateway"))
    tls = {"ca": str(papers.ca), "certificate": certificate, "key": key}
    async with secured(server, papers, "localhost") as url:
        check_every_kind(await gather(line(url, *EVERY_KIND, tls=tls), lambda taken: bool(of(taken, "scaled"))))
        nobody = line(url, *EVERY_KIND, tls={"ca": str(papers.ca)})  # without a certificate of our own
        with pytest.raises(Unreachable):
            await gather(nobody, lambda _: False, 10)
        assert "is our certificate refused?" in nobody.tags()[0].detail
    async with secured(server, papers, "other.example") as url:
        with pytest.raises(Unreachable, match=r"not trusted: Hostname mismatch"):
            await gather(line(url, *EVERY_KIND, tls=tls), lambda _: False, 10)
        named = {**tls, "server_name": "other.example"}
        check_every_kind(await gather(line(url, *EVERY_KIND, tls=named), lambda taken: bool(of(taken, "scaled"))))


async def test_a_declared_target_is_written_and_nothing_else(server: TcpServer) -> None:
    tags = [
        tag("setpoint", "holding:@400:int16", scale=0.1),
        tag("recipe", "holding:@410:float32:CDAB"),
        tag("lamp", "coil:@400"),
        tag("beside", "holding:@401"),
    ]
    targets = [
        {"name": "setpoint", "address": "holding:@400:int16", "scale": 0.1, "low": -50, "high": 300},
        {"name": "recipe", "address": "holding:@410:float32:CDAB", "low": 0, "high": 10},
        {"name": "lamp", "address": "coil:@400"},
        {"name": "elsewhere", "address": "holding:@20000", "low": 0, "high": 10},
        {"name": "dead", "address": "holding:@1", "low": 0, "high": 10, "device": 30},
    ]
    source = line(server.url, *tags, target=targets, timeout="200ms")
    assert isinstance(source, Writable)
    assert list(source.targets()) == ["setpoint", "recipe", "lamp", "elsewhere", "dead"]
    with pytest.raises(Unreachable, match="nothing was written"):
        await source.write("setpoint", [20.0])
    batches: list[Batch] = []

    async def read() -> None:
        take = batches.append
        async with aclosing(source.batches()) as stream:
            async for batch in stream:
                take(batch)

    def last(name: str) -> object:
        return of(batches, name)[-1].value if of(batches, name) else None

    reading = asyncio.create_task(read())
    try:
        await until(lambda: last("beside") == 401)
        assert await source.write("setpoint", [-20.5]) == []
        assert await source.write("recipe", [3.25]) == []
        assert await source.write("lamp", [True]) == []
        assert isinstance(source, Readable)
        held = [await source.held_by(name) for name in ("setpoint", "recipe", "lamp")]
        assert held == [pytest.approx(-20.5), 3.25, True]
        for name, error in (("unknown", Refused), ("elsewhere", Refused), ("dead", Unreachable)):
            with pytest.raises(error):
                await source.held_by(name)
        await until(
            lambda: last("setpoint") == pytest.approx(-20.5) and last("recipe") == 3.25 and last("lamp") is True
        )
        assert last("beside") == 401
        for target, values, why in (
            ("setpoint", [301], "not between"),
            ("setpoint", ["20"], "not a number"),
            ("setpoint", [True], "not a number"),
            ("setpoint", [1, 2], "takes one value"),
            ("lamp", [1], "not true or false"),
            ("elsewhere", [1], "IllegalDataAddress"),
            ("unknown", [1], "not declared"),
        ):
            with pytest.raises(Refused, match=why):
                await source.write(target, values)  # type: ignore[arg-type] # a table of what does not fit
        with pytest.raises(Doubtful, match="look at the equipment"):
            await source.write("dead", [1])
    finally:
        await source.close()
        await asyncio.wait({reading}, timeout=5)


@pytest.mark.usefixtures("slave")
async def test_a_target_on_a_serial_line_is_written(cable: Cable) -> None:
    target = {"name": "setpoint", "address": "holding:@400", "low": 0, "high": 300}
    source = line(cable.url, tag("setpoint", "holding:@400"), target=[target])
    assert isinstance(source, Modbus)
    written: list[asyncio.Task[object]] = []

    def enough(taken: list[Batch]) -> bool:
        if not written:
            written.append(asyncio.create_task(source.write("setpoint", [77])))
        return any(reading.value == 77 for reading in of(taken, "setpoint"))

    await gather(source, enough)
    assert await written[0] == []
