"""File tail keeps what every line source keeps, and takes each line once."""

import asyncio
import os
import shutil
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path

import pytest

from connectors.line.tail import Settings
from gateway.core.batch import Batch
from gateway.core.ports import LineSource
from gateway.core.reading import LogLine
from tests.contracts.line_source import LineSourceContract
from tests.line_rigs import gather, settings_of, until


def lines_of(batches: list[Batch]) -> list[LogLine]:
    return [line for batch in batches for line in batch.lines]


class TailRig:
    has_clock = False
    bad_tag = ""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "spindle.log"
        self.memory: dict[str, bytes] = {}

    def open(self, **more: object) -> LineSource:
        fields: dict[str, object] = {"path": str(self.path), "asset": "M-07", "poll": "20ms", "whole": True, **more}
        return settings_of(Settings, name="log", **fields).open()

    async def start(self) -> None: ...

    async def kill(self) -> None: ...

    def write(self, text: str | bytes) -> None:
        with self.path.open("ab") as file:
            file.write(text if isinstance(text, bytes) else text.encode())

    async def speak(self, source: LineSource) -> None:
        while True:
            self.write("2026-03-18 14:30:00 ERROR spindle overload\n")
            await asyncio.sleep(0.02)

    async def take(self, enough: Callable[[list[str]], bool], **more: object) -> list[str]:
        """Take texts until there are enough. What was committed is remembered; the last batch is not."""
        taken: list[str] = []
        source = self.open(**more)
        try:
            async with asyncio.timeout(15), aclosing(source.batches(dict(self.memory))) as batches:
                async for batch in batches:
                    taken += [line.text for line in batch.lines]
                    if enough(taken):
                        break
                    self.memory |= batch.memory
        finally:
            await source.close()
        return taken

    async def texts(self, count: int, **more: object) -> list[str]:
        return await self.take(lambda taken: len(taken) >= count, **more)


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
        rig.write("".join(f"line {n}\n" for n in range(50)))
        seen: list[str] = []
        taking = asyncio.create_task(rig.take(lambda taken: seen.__setitem__(slice(None), taken) or len(taken) >= 150))
        for part in (1, 2):
            await until(lambda part=part: len(seen) >= 50 * part)
            rig.path.rename(rig.path.with_name(f"spindle.log.{part}"))
            (rig.path.with_name(f"spindle.log.{part}.gz")).write_bytes(b"packed\n")
            rig.write("".join(f"line {n}\n" for n in range(50 * part, 50 * part + 50)))
        assert await taking == [f"line {n}" for n in range(150)]

    async def test_a_truncated_file_is_read_from_its_beginning(self, rig: TailRig) -> None:
        rig.write("one\ntwo\n")
        seen: list[str] = []
        taking = asyncio.create_task(rig.take(lambda taken: seen.__setitem__(slice(None), taken) or len(taken) >= 4))
        await until(lambda: len(seen) == 2)
        os.truncate(rig.path, 0)
        rig.write("newer\nlonger than before\n")
        assert await taking == ["one", "two", "newer", "longer than before"]

    async def test_copying_and_truncating_loses_and_repeats_nothing(self, rig: TailRig) -> None:
        rig.write("one\ntwo\n")
        seen: list[str] = []
        first = asyncio.create_task(rig.take(lambda taken: seen.__setitem__(slice(None), taken) or len(taken) >= 3))
        await until(lambda: len(seen) == 2)
        rig.write("three\n")
        assert await first == ["one", "two", "three"]  # the last was not committed
        rig.write("four\n")
        shutil.copy2(rig.path, rig.path.with_name("spindle.log.1"))
        os.truncate(rig.path, 0)
        rig.write("five, and the file is longer than it was when it was read last\n")
        again = await rig.texts(3)
        assert again == ["three", "four", "five, and the file is longer than it was when it was read last"]

    @pytest.mark.pain(5)
    async def test_a_restart_goes_on_behind_the_last_committed_line(self, rig: TailRig) -> None:
        rig.write("".join(f"line {n}\n" for n in range(10)))
        assert await rig.texts(4, most_lines=2) == [f"line {n}" for n in range(4)]
        again = await rig.texts(8, most_lines=2)
        assert again == [f"line {n}" for n in range(2, 10)]  # the batch that was not acknowledged comes again

    async def test_a_restart_after_a_rotation_reads_the_old_file_first(self, rig: TailRig) -> None:
        rig.write("one\ntwo\n")
        assert await rig.texts(2, most_lines=1) == ["one", "two"]
        rig.path.rename(rig.path.with_name("spindle.log.1"))
        rig.write("three\n")
        assert await rig.texts(2) == ["two", "three"]

    async def test_at_the_first_start_only_what_is_new_and_later_what_was_missed(self, rig: TailRig) -> None:
        rig.write("old\n")
        taking = asyncio.create_task(rig.texts(1, whole=False))
        await until(lambda: rig.memory)
        rig.write("new\n")
        assert await taking == ["new"]
        rig.write("missed\n")
        assert await rig.texts(2, whole=False) == ["new", "missed"]
        other = rig.path.with_name("spindle.other.log")
        other.write_text("appeared while we were away\n")
        assert await rig.texts(1, whole=False, path=str(other)) == ["appeared while we were away"]

    async def test_a_stack_trace_is_one_line_and_what_is_unfinished_comes_again(self, rig: TailRig) -> None:
        rig.write("ERROR boom\n  at a()\nCaused by: b\n\tat c()\nINFO fine\n")
        trace, fine = await rig.texts(2, continues=r"^(\s|Caused by)")
        assert trace == "ERROR boom   at a() Caused by: b  at c()" and fine == "INFO fine"

    async def test_several_files_have_an_asset_each(self, rig: TailRig) -> None:
        for asset in ("M-01", "M-02"):
            (rig.path.parent / asset).mkdir()
            (rig.path.parent / asset / "plc.log").write_text(f"words of {asset}\n")
        source = rig.open(path=str(rig.path.parent / "{asset}" / "*.log"), asset="{asset}")
        batches = await gather(source, lambda taken: len(lines_of(taken)) >= 2)
        assert {(line.asset, line.text) for line in lines_of(batches)} == {
            ("M-01", "words of M-01"),
            ("M-02", "words of M-02"),
        }
        assert {state.name for state in source.tags()} == {"M-01/log", "M-02/log"}

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


@pytest.mark.pain(13)
async def test_a_log_whose_name_is_no_utf_8_is_read_all_the_same(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"\xce\xc2.log")).write_text("ERROR hot\n")
    source = settings_of(
        Settings, name="log", path=str(tmp_path / "{asset}.log"), asset="{asset}", poll="20ms", whole=True
    ).open()
    [line] = lines_of(await gather(source, lambda taken: bool(lines_of(taken))))
    assert line.text == "ERROR hot" and line.asset.encode()
    assert all(state.name.encode() and state.detail.encode() for state in source.tags())
