"""Files and folders that cannot be read for a while, and folders on another file system."""

import os
import shutil
from pathlib import Path

import pytest

from connectors.line.drop import Settings as DropSettings
from connectors.line.folder import Folder
from connectors.line.follow import Follower
from tests.line_rigs import settings_of


def texts(follower: Follower) -> list[bytes]:
    return [raw.text for raw in follower.read()]


def test_a_log_file_that_cannot_be_read_at_the_start_goes_on_at_its_mark_later(tmp_path: Path) -> None:
    log, aside = tmp_path / "m.log", tmp_path / "elsewhere"
    log.write_bytes(b"one\ntwo\n")
    first = Follower(log, 100)
    first.start(None, from_end=False)
    assert texts(first) == [b"one", b"two"]
    mark = first.mark
    first.close()
    log.rename(aside)
    log.symlink_to(log)  # a name that leads nowhere: no permission would stop root
    again = Follower(log, 100)
    again.start(mark, from_end=False)
    with pytest.raises(OSError, match="symbolic links"):
        again.read()
    log.unlink()
    aside.rename(log)
    with log.open("ab") as file:
        file.write(b"three\n")
    assert texts(again) == [b"three"]
    again.close()


def drop(tmp_path: Path, **more: object) -> DropSettings:
    (tmp_path / "in").mkdir(exist_ok=True)
    return settings_of(
        DropSettings,
        name="d",
        path=str(tmp_path / "in"),
        settle="0s",
        tag=[{"asset": "M", "tag": "wave", "address": "*.wav", "kind": "waveform"}],
        **more,
    )


def test_a_folder_below_that_cannot_be_listed_hides_itself_alone(tmp_path: Path) -> None:
    settings = drop(tmp_path)
    folder = Folder(settings)
    below = tmp_path / "in" / "cam"
    below.mkdir()
    (tmp_path / "in" / "a.wav").write_bytes(b"x")
    entries = folder._entries

    def gone(path: Path) -> list[os.DirEntry[str]]:
        if path == below and below.exists():
            below.rmdir()  # between being seen and being listed
        return entries(path)

    folder._entries = gone  # type: ignore[method-assign]  # a folder that goes away at the worst moment
    assert [path.name for path in folder.complete(10)] == ["a.wav"]


MEMORY = Path("/dev/shm")  # noqa: S108 (another file system than the temporary one, on most machines)


@pytest.mark.skipif(not os.access(MEMORY, os.W_OK), reason="no second file system in memory")
def test_a_file_is_put_away_on_another_file_system(tmp_path: Path) -> None:
    there = MEMORY / f"andon-{os.getpid()}-{tmp_path.name}"
    if MEMORY.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("the temporary folder is in memory too")
    try:
        folder = Folder(drop(tmp_path, done=str(there)))
        taken = tmp_path / "in" / "a.wav"
        taken.write_bytes(b"sound")
        folder.put_away([taken], [])
        assert not taken.exists()
        assert (there / "a.wav").read_bytes() == b"sound"
        assert [path.name for path in there.iterdir()] == ["a.wav"]
    finally:
        shutil.rmtree(there, ignore_errors=True)
