"""Syslog keeps what every line source keeps."""

import asyncio
import socket

import pytest

from connectors.line.syslog import Settings as SyslogSettings
from connectors.line.syslog import Syslog
from gateway.core.batch import Batch
from gateway.core.errors import Unreachable
from gateway.core.ports import LineSource
from gateway.core.reading import LogLine
from tests.contracts.line_source import LineSourceContract
from tests.line_rigs import free_port, gather, settings_of, until


class SyslogRig:
    has_clock = True
    bad_tag = ""

    def __init__(self) -> None:
        self.port = free_port()

    def open(self, **more: object) -> LineSource:
        return settings_of(
            SyslogSettings, name="syslog", port=self.port, assets={"m07-plc": "M-07"}, gather="10ms", **more
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
