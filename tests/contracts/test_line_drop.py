"""The drop folder keeps what every line source keeps, and takes each file once."""

import asyncio
import os
import shutil
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from connectors.line.drop import Settings
from connectors.line.shapes import ShapeTag, Times, Unfit, waveform
from gateway.core.errors import Unreachable
from gateway.core.ports import LineSource
from gateway.core.reading import Quality
from gateway.store.settings import Settings as StoreSettings
from tests.contracts.line_source import LineSourceContract
from tests.line_files import jpeg, tiff, wav
from tests.line_rigs import gather, settings_of, settled, until

TAGS = [
    {"asset": "{asset}", "tag": "thermal", "kind": "frame", "address": "{asset}_ir_{time}.tif", "unit": "degC",
     "encoding": "centikelvin"},
    {"asset": "M-07", "tag": "vibration", "address": "daq/*.wav", "unit": "g"},
]  # fmt: skip
SHOT = tiff(np.full((2, 3), 300.0))


class DropRig:
    has_clock = True
    bad_tag = ""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "ftp"
        self.folder.mkdir()

    def open(self, **more: object) -> LineSource:
        fields: dict[str, object] = {"tag": TAGS, "settle": "50ms", "poll": "20ms", "timezone": "Asia/Shanghai", **more}
        return settings_of(Settings, name="camera", path=str(self.folder), **fields).open()

    async def start(self) -> None: ...

    async def kill(self) -> None: ...

    def put(self, name: str, content: bytes = SHOT) -> Path:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        return path

    async def speak(self, source: LineSource) -> None:
        number = 0
        while True:
            number += 1
            self.put(f"daq/{number}.wav", wav(number.to_bytes(2, "little") * 8))
            await asyncio.sleep(0.02)

    def names(self, folder: str) -> list[str]:
        return sorted(path.name for path in (self.folder / folder).glob("*"))


class TestDrop(LineSourceContract):
    @pytest.fixture
    def rig(self, tmp_path: Path) -> DropRig:
        return DropRig(tmp_path)

    async def test_a_picture_has_asset_and_time_from_its_name_and_is_put_away(self, rig: DropRig) -> None:
        rig.put("M-07_ir_20260318-143000.tif")
        [batch] = await settled(rig.open(), 1)
        [frame] = batch.frames
        assert (frame.asset, frame.tag, frame.height, frame.width) == ("M-07", "thermal", 2, 3)
        assert frame.sourced_at == datetime(2026, 3, 18, 6, 30, tzinfo=UTC)
        assert rig.names("done") == ["M-07_ir_20260318-143000.tif"]

    async def test_a_sound_without_a_time_is_of_when_it_was_written(self, rig: DropRig) -> None:
        path = rig.put("daq/x.wav", wav(bytes(64)))
        os.utime(path, (1_700_000_000, 1_700_000_000))
        [batch] = await settled(rig.open(after="delete"), 1)
        assert batch.waveforms[0].sourced_at == datetime.fromtimestamp(1_700_000_000, UTC)
        assert not path.exists() and rig.names("done") == []

    @pytest.mark.pain(5)
    async def test_a_crash_between_commit_and_putting_away_gives_no_second_copy(self, rig: DropRig) -> None:
        path = rig.put("M-07_ir_20260318-143000.tif")
        source = rig.open()
        async with asyncio.timeout(10), aclosing(source.batches()) as batches:
            first = await anext(batches)  # committed; then the process is gone
        await source.close()
        assert path.exists()
        rig.put("M-07_ir_20260318-143001.tif")
        again = await settled(rig.open(), 1, first.memory)
        assert sum(batch.count for batch in again) == 1
        assert rig.names("done") == ["M-07_ir_20260318-143000.tif", "M-07_ir_20260318-143001.tif"]

    async def test_half_a_file_is_waited_for(self, rig: DropRig) -> None:
        path = rig.put("M-07_ir_20260318-143000.tif", SHOT[:40])
        rig.put("M-07_ir_20260318-143009.tif.part")
        source = rig.open(settle="400ms")
        taking = asyncio.create_task(settled(source, 1))
        for end in (60, 80, len(SHOT)):
            await asyncio.sleep(0.1)
            path.write_bytes(SHOT[:end])
        [batch] = await taking
        assert len(batch.frames) == 1 and (rig.folder / "M-07_ir_20260318-143009.tif.part").exists()

    @pytest.mark.pain(13)
    async def test_a_bad_file_goes_aside_with_its_reason_and_the_next_still_comes(self, rig: DropRig) -> None:
        rig.put("M-07_ir_20260318-143000.tif", jpeg())
        rig.put("M-07_ir_20261399-143000.tif")
        rig.put("stranger.tif")
        rig.put("M-07_ir_20260318-143002.tif")
        source = rig.open()
        batches = await settled(source, 1)
        assert sum(len(batch.frames) for batch in batches) == 1
        await until(lambda: len(rig.names("bad")) == 6)
        whys = {name: (rig.folder / "bad" / name).read_text() for name in rig.names("bad") if name.endswith(".why")}
        assert "JPEG loses" in whys["M-07_ir_20260318-143000.tif.why"]
        assert "not a time" in whys["M-07_ir_20261399-143000.tif.why"]
        assert "no tag" in whys["stranger.tif.why"]
        assert "3 bad" in source.tags()[0].detail

    @pytest.mark.pain(7)
    async def test_size_count_and_links_are_bounded(self, rig: DropRig) -> None:
        rig.put("daq/00huge.wav", wav(bytes(200_000)))
        (rig.folder / "daq" / "link.wav").symlink_to("/etc/passwd")
        for number in range(30):
            rig.put(f"daq/{number:02}.wav", wav(number.to_bytes(2, "little") * 4))
        batches = await settled(rig.open(largest="100kB", most_files=10, keep=5, order="name"), 30)
        assert sum(batch.count for batch in batches) == 30
        assert max(batch.count for batch in batches) <= 10
        assert len(rig.names("done")) == 5
        assert (rig.folder / "bad" / "00huge.wav.why").read_text().startswith("200")
        assert (rig.folder / "daq" / "link.wav").is_symlink()

    async def test_a_folder_that_is_not_there_is_unreachable_by_name(self, rig: DropRig) -> None:
        shutil.rmtree(rig.folder)
        with pytest.raises(Unreachable, match="No such file"):
            await gather(rig.open(), lambda _: False)


@pytest.mark.pain(13)
async def test_a_name_that_is_no_utf_8_ends_nothing_and_its_values_are_taken(tmp_path: Path) -> None:
    rig = DropRig(tmp_path)
    for name, content in ((b"\xce\xc2_ir_20260318T063000.tif", SHOT), (b"daq/\xb6\xc8.wav", wav(bytes(16)))):
        rig.put(os.fsdecode(name), content)
    store = StoreSettings(path=str(tmp_path / "data")).open()
    try:
        for batch in await settled(rig.open(), 1):
            await store.write(lambda tx, batch=batch: tx.append(batch))
        journal = [batch for _, batch in await store.read(lambda tx: tx.batches_after(0))]
    finally:
        await store.close()
    assert sum(len(batch.waveforms) for batch in journal) == 1
    assert any("not UTF-8" in batch.note for batch in journal)


def test_a_rate_that_makes_a_block_of_years_is_refused() -> None:
    tag = ShapeTag(asset="A", tag="t", address="x", kind="waveform")
    now = datetime.now(UTC)
    for rate in (1e-300, float("inf"), float("nan"), 0.0):
        with pytest.raises(Unfit):
            waveform(tag, [1.0, 2.0], rate, Quality.GOOD, Times(None, None, now))
