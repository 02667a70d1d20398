"""Syslog keeps what every line source keeps."""

import asyncio
import socket
import ssl
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.line.frames import Frames
from connectors.line.syslog import Settings as SyslogSettings
from connectors.line.syslog import Syslog
from gateway.core.batch import Batch
from gateway.core.errors import Unreachable
from gateway.core.ports import LineSource
from gateway.core.reading import LogLine
from tests.contracts.line_source import LineSourceContract
from tests.line_rigs import free_port, gather, settings_of, until
from tests.papers import Pki


class SyslogRig:
    has_clock = True
    bad_tag = ""

    def __init__(self) -> None:
        self.port = free_port()

    def open(self, **more: object) -> LineSource:
        return settings_of(
            SyslogSettings, name="syslog", port=self.port, assets={"m07-plc": "M-07"}, **({"gather": "10ms"} | more)
        ).open()

    async def start(self) -> None: ...

    async def kill(self) -> None: ...

    def send(self, *datagrams: bytes) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mouth:
            for datagram in datagrams:
                mouth.sendto(datagram, ("127.0.0.1", self.port))

    async def speak(self, source: LineSource) -> None:
        while True:
            self.send(b"<11>1 2026-03-18T06:30:00Z m07-plc drive - - - bearing temperature high")
            await asyncio.sleep(0.02)


def lines_of(batches: list[Batch]) -> list[LogLine]:
    return [line for batch in batches for line in batch.lines]


class TestSyslog(LineSourceContract):
    @pytest.fixture
    def rig(self) -> SyslogRig:
        return SyslogRig()

    async def test_a_line_finds_its_asset_and_keeps_its_time(self, rig: SyslogRig) -> None:
        source = rig.open()
        talk = asyncio.create_task(rig.speak(source))
        batches = await gather(source, lambda taken: bool(lines_of(taken)))
        talk.cancel()
        line = lines_of(batches)[0]
        assert (line.asset, line.severity, line.text) == ("M-07", 3, "bearing temperature high")
        assert line.sourced_at is not None and line.sourced_at.isoformat() == "2026-03-18T06:30:00+00:00"

    async def test_garbage_and_oversize_are_kept_as_text(self, rig: SyslogRig) -> None:
        source = rig.open(default="LINE")
        assert isinstance(source, Syslog)
        taking = asyncio.create_task(gather(source, lambda taken: len(lines_of(taken)) >= 3))
        await until(lambda: source.port)
        rig.send(b"\xff\xfe\x00\x07garbage", b"<999>x", b"<14>" + b"a" * 60_000)
        texts = [line.text for line in lines_of(await taking)]
        assert texts[0].endswith("garbage") and texts[0].isprintable()
        assert texts[1] == "<999>x"
        assert len(texts[2]) <= 8192 and texts[2].endswith("…")

    async def test_what_the_full_queue_drops_is_counted(self, rig: SyslogRig) -> None:
        source = rig.open(queue=5)
        assert isinstance(source, Syslog)
        taking = asyncio.create_task(gather(source, lambda taken: "dropped" in "".join(b.note for b in taken)))
        await until(lambda: source.port)
        rig.send(*[b"<14>x"] * 25)
        batches = await taking
        assert len(lines_of(batches)) + sum(int(b.note.split()[1]) for b in batches if b.note) == 25

    async def test_a_port_that_is_taken_is_unreachable(self, rig: SyslogRig) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.bind(("127.0.0.1", rig.port))
            with pytest.raises(Unreachable, match="cannot listen"):
                await gather(rig.open(), lambda _: False)

    async def test_one_sender_that_floods_leaves_room_for_the_others(self, rig: SyslogRig) -> None:
        source = rig.open(queue=100, per_sender=5, gather="300ms")
        assert isinstance(source, Syslog)
        taking = asyncio.create_task(gather(source, lambda taken: "dropped" in "".join(b.note for b in taken)))
        await until(lambda: source.port)
        rig.send(*[b"<14>x"] * 50)
        [batch] = await taking
        assert len(batch.lines) == 5 and batch.note == "gap: 45 lines dropped, the queue was full"


class TcpRig(SyslogRig):
    """Speaks over TCP, or TLS, with octet counting and with ends of lines in turn."""

    transport = "tcp"
    context: ssl.SSLContext | None = None

    def open(self, **more: object) -> LineSource:
        return super().open(transport=self.transport, **more)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        name = "localhost" if self.context else None
        return await asyncio.open_connection("127.0.0.1", self.port, ssl=self.context, server_hostname=name)

    async def say(self, *chunks: bytes) -> None:
        _, writer = await self.connect()
        for chunk in chunks:
            writer.write(chunk)
            await writer.drain()
        writer.close()
        await writer.wait_closed()

    async def speak(self, source: LineSource) -> None:
        line = b"<11>1 2026-03-18T06:30:00Z m07-plc drive - - - bearing temperature high"
        while True:
            with suppress(OSError):
                await self.say(b"%d %b" % (len(line), line), line + b"\n")
            await asyncio.sleep(0.02)


class TestSyslogTcp(LineSourceContract):
    @pytest.fixture
    def rig(self) -> TcpRig:
        return TcpRig()

    async def test_both_framings_are_read_in_any_pieces(self, rig: TcpRig) -> None:
        source = rig.open()
        taking = asyncio.create_task(gather(source, lambda taken: len(lines_of(taken)) >= 4))
        await until(lambda: source.tags()[0].healthy)
        await rig.say(b"<14>first\n1", b"3 <14>sec", b"\nond x", b"<14>third\r\n<14>without an end")
        assert [line.text for line in lines_of(await taking)] == ["first", "sec ond x", "third", "without an end"]

    @pytest.mark.pain(5, 7)
    async def test_a_connection_is_read_on_only_after_the_commit(self, rig: TcpRig) -> None:
        source = rig.open()
        taken: list[Batch] = []
        gate = asyncio.Event()

        async def consume() -> None:
            async for batch in source.batches():
                taken.append(batch)
                await gate.wait()

        consuming = asyncio.create_task(consume())
        await until(lambda: source.tags()[0].healthy)
        _, writer = await rig.connect()
        total = 0
        with suppress(TimeoutError):
            async with asyncio.timeout(1):
                while total < 64_000_000:
                    writer.write(b"<14>" + b"x" * 995 + b"\n")
                    total += 1000
                    await writer.drain()
        assert total < 64_000_000 and len(lines_of(taken)) < 200  # the sender is held back; what is held is one read
        gate.set()
        await until(lambda: len(lines_of(taken)) > 1000)
        writer.transport.abort()
        consuming.cancel()
        await asyncio.wait({consuming})
        await source.close()

    async def test_connections_and_lines_are_bounded_and_counted(self, rig: TcpRig) -> None:
        source = rig.open(per_address=2, longest="480B")
        taking = asyncio.create_task(gather(source, lambda taken: len(lines_of(taken)) >= 4))
        await until(lambda: source.tags()[0].healthy)
        first, second, third = [await rig.connect() for _ in range(3)]
        with suppress(OSError):
            assert await third[0].read() == b""
        first[1].write(b"<14>" + b"a" * 2000 + b"\n<14>after\n")
        second[1].write(b"5000 <14>" + b"b" * 4996 + b"10 <14>behind")
        texts = [line.text for line in lines_of(await taking)]
        assert sum(len(text) == 476 for text in texts) >= 1
        detail = source.tags()[0].detail
        assert "1 turned away" in detail and "2 lines cut" in detail
        for _, writer in (first, second, third):
            writer.transport.abort()


class TestSyslogTls:
    @pytest.fixture
    def rig(self, tmp_path: Path) -> TcpRig:
        rig = TcpRig()
        rig.transport, rig.pki = "tls", Pki(tmp_path)  # type: ignore[attr-defined]  # its papers
        return rig

    async def test_only_senders_with_a_certificate_of_the_ca_are_heard(self, rig: TcpRig) -> None:
        pki: Pki = rig.pki  # type: ignore[attr-defined]  # its papers
        told = {"certificate": str(pki.server[0]), "key": str(pki.server[1]), "ca": str(pki.ca)}
        source = rig.open(**told)
        taking = asyncio.create_task(gather(source, lambda taken: bool(lines_of(taken))))
        await until(lambda: source.tags()[0].healthy)
        rig.context = ssl.create_default_context(cafile=str(pki.ca))
        with suppress(OSError):
            await rig.say(b"<14>from nobody\n")
        rig.context.load_cert_chain(*map(str, pki.client))
        await rig.say(b"<14>from a friend\n")
        assert [line.text for line in lines_of(await taking)] == ["from a friend"]
        missing = rig.open(**(told | {"certificate": "/nowhere.pem"}))
        with pytest.raises(Unreachable, match="cannot be used"):
            await gather(missing, lambda _: False)


@given(st.lists(st.binary(min_size=1, max_size=60), max_size=8), st.integers(1, 9), st.data())
def test_the_same_messages_come_whatever_the_pieces(messages: list[bytes], size: int, data: st.DataObject) -> None:
    wire, wanted = b"", []
    for body in messages:
        if data.draw(st.booleans()):
            message = b"<14>" + body
            wire += b"%d %b" % (len(message), message)
            kept = message.rstrip(b"\r\n\0")
        else:
            message = b"<14>" + body.replace(b"\n", b" ")
            wire += message + b"\n"
            kept = message.rstrip(b"\r\0")
        wanted.append(kept)
    frames = Frames(480)
    found = [one for at in range(0, len(wire), size) for one in frames.feed(wire[at : at + size])] + frames.end()
    assert found == wanted


@given(st.binary(max_size=3000), st.integers(1, 700))
def test_no_stream_is_held_beyond_the_longest_message(wire: bytes, size: int) -> None:
    frames = Frames(480)
    for at in range(0, len(wire), size):
        assert all(len(message) <= 480 for message in frames.feed(wire[at : at + size]))
        assert len(frames._held) <= 480 + 700 + 12
    frames.end()
