"""Syslog and file tail keep what every line source keeps."""

import asyncio
import os
import socket
from pathlib import Path

import pytest

from connectors.line.syslog import Settings as SyslogSettings
from connectors.line.syslog import Syslog
from connectors.line.tail import Settings as TailSettings
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


class TailRig:
    has_clock = False
    bad_tag = ""

    def __init__(self, folder: Path) -> None:
        self.path, self.state = folder / "spindle.log", folder / "spindle.state"

    def open(self, **more: object) -> LineSource:
        fields: dict[str, object] = {"state": str(self.state), "poll": "20ms", **more}
        return settings_of(TailSettings, name="log", path=str(self.path), asset="M-07", **fields).open()

    async def start(self) -> None: ...

    async def kill(self) -> None: ...

    def write(self, text: str | bytes) -> None:
        with self.path.open("ab") as file:
            file.write(text if isinstance(text, bytes) else text.encode())

    async def speak(self, source: LineSource) -> None:
        while True:
            self.write("2026-03-18 14:30:00 ERROR spindle overload\n")
            await asyncio.sleep(0.02)

    async def texts(self, count: int, **more: object) -> list[str]:
        batches = await gather(self.open(**more), lambda taken: len(lines_of(taken)) >= count)
        return [line.text for line in lines_of(batches)]


class TestTail(LineSourceContract):
    @pytest.fixture
    def rig(self, tmp_path: Path) -> TailRig:
        return TailRig(tmp_path)

    async def test_time_and_level_of_a_line_are_read(self, rig: TailRig) -> None:
        rig.write("2026-03-18 14:30:00,250 ERROR spindle overload\nplain words\n")
        batches = await gather(rig.open(timezone="Asia/Shanghai"), lambda taken: len(lines_of(taken)) >= 2)
        first, second = lines_of(batches)
        assert first.sourced_at is not None and first.sourced_at.isoformat() == "2026-03-18T06:30:00.250000+00:00"
        assert (first.severity, first.text) == (3, "ERROR spindle overload")
        assert (second.severity, second.text, second.sourced_at) == (6, "plain words", None)

    async def test_rotation_loses_and_repeats_nothing(self, rig: TailRig) -> None:
        source = rig.open()
        rig.write("".join(f"line {n}\n" for n in range(50)))
        taking = asyncio.create_task(gather(source, lambda taken: len(lines_of(taken)) >= 150))
        await until(lambda: source.tags()[0].healthy)
        for part in (1, 2):
            rig.path.rename(rig.path.with_name(f"spindle.log.{part}"))
            rig.write("".join(f"line {n}\n" for n in range(50 * part, 50 * part + 50)))
            inode = rig.path.stat().st_ino
            await until(lambda inode=inode: taking.done() or source._reader.mark.inode == inode)
        assert [line.text for line in lines_of(await taking)] == [f"line {n}" for n in range(150)]

    async def test_a_truncated_file_is_read_from_its_beginning(self, rig: TailRig) -> None:
        source = rig.open()
        rig.write("one\ntwo\n")
        taking = asyncio.create_task(gather(source, lambda taken: len(lines_of(taken)) >= 3))
        await until(lambda: source._reader.mark.offset == 8)
        os.truncate(rig.path, 0)
        rig.write("new\n")
        assert [line.text for line in lines_of(await taking)] == ["one", "two", "new"]

    async def test_a_restart_goes_on_behind_the_last_committed_line(self, rig: TailRig) -> None:
        rig.write("".join(f"line {n}\n" for n in range(10)))
        assert await rig.texts(4, most_lines=2) == [f"line {n}" for n in range(4)]
        again = await rig.texts(8, most_lines=2)
        assert again == [f"line {n}" for n in range(2, 10)]  # the batch that was not acknowledged comes again

    async def test_a_restart_after_a_rotation_reads_the_old_file_first(self, rig: TailRig) -> None:
        rig.write("one\ntwo\n")
        assert await rig.texts(1, most_lines=1) == ["one"]
        rig.path.rename(rig.path.with_name("spindle.log.1"))
        rig.write("three\n")
        assert await rig.texts(3) == ["one", "two", "three"]

    async def test_half_a_line_waits_for_its_end_and_bad_bytes_are_replaced(self, rig: TailRig) -> None:
        rig.write(b"half")
        taking = asyncio.create_task(rig.texts(1))
        await asyncio.sleep(0)
        rig.write(b" \xff\x1b[31mline\r\n")
        assert await taking == ["half \ufffd [31mline"]

    async def test_a_line_without_an_end_is_given_in_pieces(self, rig: TailRig) -> None:
        rig.write("x" * 400_000)
        texts = await rig.texts(1)
        assert len(texts[0]) == 8192
