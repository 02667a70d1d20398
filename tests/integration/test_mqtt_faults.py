"""MQTT against Mosquitto, while one or the other is killed, frozen, cut or fed with rubbish."""

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, suppress
from pathlib import Path

import pytest

from connectors.line.mqtt import Settings
from connectors.line.mqtt.wire import decode
from gateway.core.batch import Batch
from gateway.core.errors import Unreachable
from gateway.core.ports import Inspectable, LineSource
from gateway.core.reading import LogLine, Quality
from tests.faulty_link import FaultyLink
from tests.line_process import LineProcess
from tests.line_rigs import gather, lost, settings_of, settled, until
from tests.mosquitto import Mosquitto, needed
from tests.papers import Pki
from tests.sparkplug_wire import metric, payload

pytestmark = [pytest.mark.peer, needed]
COUNTER = {"asset": "M-07", "tag": "count", "address": "plant/count#n", "type": "number"}


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Mosquitto]:
    broker = Mosquitto(tmp_path)
    await broker.start()
    yield broker
    await broker.kill()


def source_of(broker: Mosquitto, *tags: Mapping[str, object], **more: object) -> LineSource:
    fields: dict[str, object] = {"endpoint": broker.endpoint, "gather": "5ms", "timeout": "5s", **more}
    return settings_of(Settings, name="cell", tag=list(tags or (COUNTER,)), **fields).open()


def counts(batches: list[Batch]) -> list[object]:
    return [reading.value for batch in batches for reading in batch.values()]


def numbers(first: int, last: int) -> list[tuple[str, bytes | str]]:
    return [("plant/count", f'{{"n": {number}}}') for number in range(first, last)]


async def subscribed(broker: Mosquitto, memory: dict[str, bytes], **more: object) -> None:
    """Make the session at the broker: one value taken and acknowledged."""
    source = source_of(broker, **more)
    taking = asyncio.create_task(gather(source, lambda taken: bool(counts(taken))))
    await until(lambda: source.tags()[0].healthy)
    while not taking.done():
        await broker.say(("plant/count", '{"n": -1}'))
        await asyncio.sleep(0.05)
    for batch in await taking:
        memory.update(batch.memory)


@pytest.mark.pain(5)
@pytest.mark.timeout(240)
async def test_a_killed_gateway_loses_nothing_and_takes_nothing_twice(broker: Mosquitto, tmp_path: Path) -> None:
    process = LineProcess(
        tmp_path, "mqtt", name="cell", endpoint=broker.endpoint, tag=[COUNTER], in_flight=50, gather="1ms"
    )
    await asyncio.to_thread(process.start)
    said = 0
    talk = asyncio.create_task(_count_on(broker))
    try:
        for _ in range(4):
            await asyncio.sleep(0.8)  # killed at any point of receiving, committing and acknowledging
            await asyncio.to_thread(process.kill)
            await asyncio.sleep(0.2)
            await asyncio.to_thread(process.start)
    finally:
        talk.cancel()
        said = (await asyncio.gather(talk))[0]
    await broker.say(("plant/count", '{"n": -2}'))
    told: list[object] = []
    deadline = asyncio.get_running_loop().time() + 90
    while -2 not in told and asyncio.get_running_loop().time() < deadline:  # the last one comes last
        await asyncio.sleep(1)
        await asyncio.to_thread(process.kill)
        told = counts(await process.journal())
        await asyncio.to_thread(process.start)
    await asyncio.to_thread(process.kill)
    found = [value for value in told if isinstance(value, int) and value >= 0]
    started = found[0] if found else 0
    assert said > 200
    assert sorted(found) == list(range(int(started), said))


async def _count_on(broker: Mosquitto) -> int:
    """Say one number after the other until cancelled; gives how many the broker took."""
    number = 0
    try:
        while True:
            sending = asyncio.ensure_future(broker.say(*numbers(number, number + 20)))
            try:
                await asyncio.shield(sending)
            except asyncio.CancelledError:
                await sending
                number += 20
                raise
            number += 20
    except asyncio.CancelledError:
        return number


async def test_what_comes_while_we_are_away_waits_at_the_broker_and_a_restarted_broker_has_it(
    broker: Mosquitto,
) -> None:
    memory: dict[str, bytes] = {}
    await subscribed(broker, memory)
    await broker.say(*numbers(0, 300))
    await broker.kill()
    await broker.start()
    await broker.say(*numbers(300, 320))
    source = source_of(broker)
    taken = await settled(source, 320, memory)
    assert [value for value in counts(taken) if value != -1] == list(range(320))
    assert not [gap for batch in taken for gap in batch.gaps]


@pytest.mark.pain(4)
async def test_a_session_that_the_broker_forgot_is_a_gap_by_name(broker: Mosquitto, tmp_path: Path) -> None:
    memory: dict[str, bytes] = {}
    await subscribed(broker, memory)
    await broker.kill()
    (tmp_path / "mosquitto.db").unlink()
    await broker.start()
    source = source_of(broker)
    async with asyncio.timeout(20), aclosing(source.batches(memory)) as batches:
        first = await anext(batches)
    await source.close()
    [gap] = first.gaps
    assert gap.tags == (("M-07", "count"),) and gap.start < gap.end and "kept no session" in gap.cause


async def test_a_second_gateway_under_the_same_client_id_is_named_as_the_likely_cause(broker: Mosquitto) -> None:
    first, second = source_of(broker, client_id="andon-cell"), source_of(broker, client_id="andon-cell")
    async with asyncio.TaskGroup() as both:
        ends = [both.create_task(lost(source, 4)) for source in (first, second)]
    told = [str(end.result()) for end in ends if end.result() is not None]
    assert told and all("client_id" in one for one in told), told


@pytest.mark.pain(1)
async def test_a_broker_that_falls_silent_is_lost_within_two_keep_alives(broker: Mosquitto) -> None:
    source = source_of(broker, keep_alive="1s")
    listening = asyncio.create_task(lost(source, 30))
    await until(lambda: source.tags()[0].healthy)
    broker.freeze()
    error = await listening
    assert error is not None and "link is lost" in str(error)


async def test_a_blackhole_and_a_slow_wire_lose_nothing(broker: Mosquitto) -> None:
    memory: dict[str, bytes] = {}
    async with FaultyLink("127.0.0.1", broker.port).open() as link:
        there = f"mqtt://127.0.0.1:{link.port}"
        source = source_of(broker, endpoint=there, keep_alive="1s")
        taking = asyncio.create_task(_until_lost(source, memory))
        await until(lambda: source.tags()[0].healthy)
        await broker.say(*numbers(0, 5))
        await until(lambda: memory)
        link.faults.swallow_reply = True
        await broker.say(*numbers(5, 50))
        before = await taking
        link.faults.swallow_reply, link.faults.trickle = False, 0.0005
        await broker.say(*numbers(50, 60))
        after = await settled(source_of(broker, endpoint=there), 60 - len(counts(before)), memory)
        assert counts(before) + counts(after) == list(range(60))


async def _until_lost(source: LineSource, memory: dict[str, bytes]) -> list[Batch]:
    taken: list[Batch] = []
    with suppress(Unreachable):
        async for batch in source.batches():
            taken.append(batch)
            memory |= batch.memory
        pytest.fail("the link was not lost")
    return taken


@pytest.mark.pain(13, 14, 23)
async def test_bad_messages_fail_alone_are_named_and_never_become_numbers(broker: Mosquitto) -> None:
    tags = [
        {"asset": "M-07", "tag": "temp", "address": "t/a#v", "type": "number", "low": 0, "high": 100},
        {"asset": "M-07", "tag": "serial", "address": "t/s", "type": "text"},
        {"asset": "M-07", "tag": "wave", "address": "t/w", "kind": "waveform", "rate_hz": 1000, "encoding": "float32"},
    ]
    source = source_of(broker, *tags)
    taking = asyncio.create_task(gather(source, lambda taken: "0042" in counts(taken)))
    await until(lambda: source.tags()[0].healthy)
    await broker.say(
        ("t/a", b"\xff\xfe{"), ("t/a", '{"v": "twelve"}'), ("t/a", '{"v": 1e999}'), ("t/a", '{"v": 101}'),
        ("t/a", '{"v": null}'), ("t/a", '{"other": 1}'), ("t/a", '{"v": true}'), ("t/a", '{"v": 21.5}'),
        ("t/w", b"abc"), ("t/a", "[" * 5000), ("t/s", "0042"),
    )  # fmt: skip
    found = [reading for batch in await taking for reading in batch.values()]
    good = [(reading.tag, reading.value) for reading in found if reading.quality is Quality.GOOD]
    assert good == [("temp", 21.5), ("serial", "0042")]
    bad = [reading for reading in found if reading.quality is Quality.BAD]
    assert len(bad) == 8 and all(reading.value is None and reading.why for reading in bad)
    assert {state.name: state.detail for state in source.tags()}["M-07/wave"]


@pytest.mark.pain(15)
async def test_a_retained_message_is_old_news_and_no_sample(broker: Mosquitto) -> None:
    await broker.say(("plant/count", '{"n": 7}'), ("t/log", "old words"), retain=True)
    stamped = {"asset": "M-07", "tag": "stamped", "address": "plant/count#n", "time": "at"}
    words = {"asset": "M-07", "tag": "words", "address": "t/log", "kind": "line"}
    source = source_of(broker, COUNTER, stamped, words)
    taking = asyncio.create_task(gather(source, lambda taken: 8 in counts(taken)))
    await until(lambda: source.tags()[0].healthy)
    await broker.say(("plant/count", '{"n": 8, "at": "2026-03-18T06:30:00Z"}'))
    batches = await taking
    old, new = ([it for b in batches for it in b.values() if it.value == value] for value in (7, 8))
    assert old and all(it.repeated and it.quality is Quality.UNCERTAIN and it.why for it in old)
    assert new and not any(it.repeated for it in new)
    assert not [line for batch in batches for line in batch.lines]


@pytest.mark.pain(7)
async def test_a_flood_of_topics_and_bytes_stays_within_its_bounds(broker: Mosquitto) -> None:
    any_topic = {"asset": "{1}", "tag": "{2}", "address": "flood/+/+"}
    source = source_of(broker, any_topic, most_names=50, waiting="64KiB")
    seen: list[Batch] = []

    async def consume() -> None:
        async for batch in source.batches():
            seen.append(batch)
            await asyncio.sleep(0.01)  # a slow disk

    consuming = asyncio.create_task(consume())
    await until(lambda: source.tags()[0].healthy)
    rows: list[tuple[str, bytes | str]] = [(f"flood/m{n % 400}/t", "x" * 2000) for n in range(2000)]
    await broker.say(*rows)
    await until(lambda: sum(one.count for one in seen) >= 250, 30)
    link = source._link  # type: ignore[attr-defined]  # the bound is of its inside
    assert link._bytes < 65536 + 64 * 2200
    states = source.tags()
    assert len(states) <= 53 and "turned away" in states[0].detail
    consuming.cancel()
    await asyncio.wait({consuming})
    await source.close()


async def test_tls_with_client_certificate_and_password(tmp_path: Path) -> None:
    pki = await asyncio.to_thread(Pki, tmp_path)
    broker = Mosquitto(tmp_path, pki=pki, guarded=True)
    await broker.start()
    secret = tmp_path / "secret"
    secret.write_text(broker.password)
    told: dict[str, object] = {
        "ca": str(pki.ca),
        "certificate": str(pki.client[0]),
        "key": str(pki.client[1]),
        "user": {"name": broker.user, "password": {"file": str(secret)}},
    }
    try:
        source = source_of(broker, **told)
        taking = asyncio.create_task(gather(source, lambda taken: len(counts(taken)) >= 500))
        await until(lambda: source.tags()[0].healthy)
        await broker.say(*numbers(0, 500))
        assert counts(await taking) == list(range(500))
        secret.write_text("wrong")
        error = await lost(source_of(broker, **told), 20)
        assert error is not None and "look at user" in str(error)
        error = await lost(source_of(broker, **(told | {"ca": None})), 20)
        assert error is not None and "look at ca" in str(error)
    finally:
        await broker.kill()


async def test_shapes_and_lines_come_by_topic(broker: Mosquitto) -> None:
    tags = [
        {"asset": "M-07", "tag": "vibration", "address": "t/wave#data", "kind": "waveform", "rate": "fs", "time": "at"},
        {"asset": "M-07", "tag": "thermal", "address": "t/frame", "kind": "frame"},
        {"asset": "M-07", "tag": "words", "address": "t/log", "kind": "line"},
    ]
    source = source_of(broker, *tags, version="3.1.1")
    taking = asyncio.create_task(gather(source, lambda taken: sum(one.count for one in taken) >= 3))
    await until(lambda: source.tags()[0].healthy)
    wave = {"data": [0.5, -0.5, 0.25], "fs": 12800, "at": "2026-03-18T06:30:00Z"}
    await broker.say(("t/wave", json.dumps(wave)), ("t/frame", "[[20, 21], [22, 23]]"), ("t/log", "ERROR spindle hot"))
    batches = await taking
    [waveform], [frame], [line] = (
        sum((getattr(b, kind) for b in batches), ()) for kind in ("waveforms", "frames", "lines")
    )
    assert waveform.rate_hz == 12800 and waveform.sourced_at.isoformat() == "2026-03-18T06:30:00+00:00"
    assert (frame.height, frame.width) == (2, 2)
    assert isinstance(line, LogLine) and (line.severity, line.text) == (3, "ERROR spindle hot")


async def test_qos_0_says_what_it_could_not_have_seen(broker: Mosquitto) -> None:
    memory: dict[str, bytes] = {}
    await subscribed(broker, memory, qos=0)
    source = source_of(broker, qos=0)
    async with asyncio.timeout(20), aclosing(source.batches(memory)) as batches:
        first = await anext(batches)
    await source.close()
    assert [gap.cause for gap in first.gaps] == ["QoS 0: the broker keeps nothing"]


@pytest.mark.pain(21)
async def test_check_live_says_what_each_topic_brings_and_leaves_no_session(broker: Mosquitto) -> None:
    await broker.say(("plant/count", '{"n": 7}'), ("plant/other", '{"n": "many"}'), retain=True)
    other = {"asset": "M-07", "tag": "other", "address": "plant/other#n", "type": "number"}
    silent = {"asset": "M-07", "tag": "silent", "address": "plant/silent"}
    source = source_of(broker, COUNTER, other, silent)
    assert isinstance(source, Inspectable)
    found = {check.name: check for check in await source.inspect()}
    assert found["broker"].ok
    assert found["M-07/count"].ok and found["M-07/count"].said.startswith("7")
    assert not found["M-07/other"].ok and "no number" in found["M-07/other"].said
    assert found["M-07/silent"].ok and "no message" in found["M-07/silent"].said
    memory: dict[str, bytes] = {}
    await subscribed(broker, memory)


async def test_sparkplug_over_the_wire_asks_for_its_birth_and_reads_on(broker: Mosquitto) -> None:
    tag = {"asset": "M-07", "tag": "load", "address": "sparkplug:Plant/edge#Load"}
    source = source_of(broker, tag, rebirth=True, host_id="andon-host")
    taking = asyncio.create_task(gather(source, lambda taken: 12.5 in counts(taken)))
    await until(lambda: source.tags()[0].healthy)
    sub = ["mosquitto_sub", "-p", str(broker.port), "-C", "1", "-W", "15"]
    command = [*sub, "-t", "spBv1.0/Plant/NCMD/edge", "-F", "%x"]
    hearing = asyncio.create_task(asyncio.to_thread(subprocess.run, command, capture_output=True, check=True))
    while not hearing.done():
        await broker.say(("spBv1.0/Plant/NDATA/edge", payload(metric(value=1.0, alias=1), seq=3)), qos=0)
        await asyncio.sleep(0.1)
    [asked] = decode(bytes.fromhex((await hearing).stdout.decode().strip())).metrics
    assert asked.name == "Node Control/Rebirth"
    await broker.say(
        ("spBv1.0/Plant/NBIRTH/edge", payload(metric("Load", 10.0, 10, alias=1), seq=0)),
        ("spBv1.0/Plant/NDATA/edge", payload(metric(value=12.5, alias=1), seq=1)),
        qos=0,
    )
    assert [value for value in counts(await taking) if value is not None] == [10.0, 12.5]
    told = await asyncio.to_thread(
        subprocess.run, [*sub, "-t", "spBv1.0/STATE/andon-host"], capture_output=True, check=True
    )
    assert "online" in json.loads(told.stdout)


@pytest.mark.pain(7, 12)
async def test_a_source_that_pauses_at_its_bound_never_stays_paused(broker: Mosquitto) -> None:
    source = source_of(broker, waiting="1KiB")
    taking = asyncio.create_task(gather(source, lambda taken: 299 in counts(taken)))
    await until(lambda: source.tags()[0].healthy)
    for first in range(0, 300, 20):  # more bytes of topics than may wait, taken and stored again and again
        await broker.say(*numbers(first, first + 20))
    async with asyncio.timeout(30):
        told = counts(await taking)
    assert told == list(range(300))
