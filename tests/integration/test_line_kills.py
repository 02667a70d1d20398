"""Files that are followed, and files that are dropped, while the gateway is killed with -9: each once."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from tests.line_files import wav
from tests.line_process import LineProcess

pytestmark = [pytest.mark.kill, pytest.mark.pain(5)]


async def killed(process: LineProcess, enough: str, times: int = 3) -> None:
    """Run, kill, and run again, some times; then until `enough` is in the journal."""
    for _ in range(times):
        await asyncio.to_thread(process.start)
        await asyncio.sleep(0.7)
        await asyncio.to_thread(process.kill)
    for _ in range(60):
        if enough in {line.text for batch in await process.journal() for line in batch.lines} or enough in {
            wave.tag for batch in await process.journal() for wave in batch.waveforms
        }:
            return
        await asyncio.to_thread(process.start)
        await asyncio.sleep(1)
        await asyncio.to_thread(process.kill)
    pytest.fail(f"{enough} did not come")


async def test_every_line_of_a_rotated_log_is_journalled_once(tmp_path: Path) -> None:
    log = tmp_path / "plc.log"
    log.write_text("the beginning\n")
    process = LineProcess(
        tmp_path, "tail", name="log", path=str(log), asset="M-07", whole=True, poll="5ms", most_lines=7
    )

    async def write() -> int:
        number = 0
        while not done.is_set():
            with log.open("a") as file:
                file.writelines(f"line {number + step}\n" for step in range(20))
            number += 20
            if number % 400 == 0:
                log.rename(log.with_name(f"plc.log.{number}"))
                log.write_text("")
            await asyncio.sleep(0.01)
        with log.open("a") as file:
            file.write("the end\n")
        return number

    await killed(process, "the beginning", 0)
    done = asyncio.Event()
    writing = asyncio.create_task(write())
    asyncio.get_running_loop().call_later(4, done.set)
    await killed(process, "the end")
    wanted = [f"line {number}" for number in range(await writing)]
    found = [line.text for batch in await process.journal() for line in batch.lines]
    assert found == ["the beginning", *wanted, "the end"]


async def test_every_dropped_file_is_journalled_once(tmp_path: Path) -> None:
    folder = tmp_path / "ftp"
    folder.mkdir()
    for number in range(120):
        (folder / f"{number:03}.wav").write_bytes(wav(number.to_bytes(2, "little") * 4))
    (folder / "zzz.wav").write_bytes(wav(b"\1\1" * 4))
    tag = {"asset": "M-07", "tag": "{name}", "address": "{name}.wav"}
    told = {"path": str(folder), "settle": "0s", "poll": "5ms", "most_files": 3, "order": "name"}
    process = LineProcess(tmp_path, "drop", name="camera", tag=[tag], **told)
    await killed(process, "zzz")
    found = Counter(wave.tag for batch in await process.journal() for wave in batch.waveforms)
    assert set(found.values()) == {1} and len(found) == 121
