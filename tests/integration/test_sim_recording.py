"""The recording player as a process: every format arrives sample by sample over OPC UA."""

from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat, wavfile

from tests.integration.sim_listener import listening
from tests.integration.sim_process import running

RATE = 4000
COUNT = 3000


def wave() -> np.ndarray:
    """A signal whose values are whole 1/1024 g: every format holds them exactly."""
    random = np.random.default_rng(8)
    return np.round(random.normal(0, 200, COUNT)).clip(-1000, 1000) / 1024


def write(kind: str, folder: Path) -> tuple[Path, list[str]]:
    """Write the signal in a format; gives the file and the options to play it."""
    file, signal = folder / f"signal.{kind}", wave()
    match kind:
        case "mat":
            savemat(file, {"X1_DE_time": signal[:, None], "X1_FE_time": 0 * signal[:, None]})
            return file, ["--channel", "DE", "--rate", str(RATE)]
        case "npy":
            np.save(file, signal * 9.80665)
            return file, ["--unit", "m/s2", "--rate", str(RATE)]
        case "npz":
            np.savez(file, counts=(signal * 1024).astype(np.int16), other=np.zeros(50), rate_hz=RATE)
            return file, ["--channel", "counts", "--scale", str(1 / 1024)]
        case "wav":
            wavfile.write(file, RATE, (signal * 1024).astype(np.int16))
            return file, ["--scale", "32"]
    file.write_text("time,accel\n" + "\n".join(f"{n / RATE},{value!r}" for n, value in enumerate(signal.tolist())))
    return file, []


@pytest.mark.parametrize("kind", ["mat", "npy", "npz", "wav", "csv"])
async def test_a_recording_arrives_sample_by_sample(kind: str, tmp_path: Path) -> None:
    file, options = write(kind, tmp_path)
    node = "REC-01.vibration"
    with running("recording", "--file", str(file), *options, "--block", "0.25", "--hold", "--speed", "1797") as player:
        assert player.ready["rate_hz"] == pytest.approx(RATE)
        async with listening(player.ready["endpoint"], [node, "REC-01.speed"]) as heard:
            assert player.tell(play=True) == "OK {}"
            await heard.until(lambda: len(heard.good(node)) == COUNT // 1000)
            blocks = heard.good(node)
            assert heard.good("REC-01.speed")[0].Value.Value == 1797
        assert player.line().startswith("DONE")
    samples = np.concatenate([block.Value.Value for block in blocks])
    assert np.array_equal(samples.astype(np.float32), wave().astype(np.float32))
    assert blocks[1].SourceTimestamp - blocks[0].SourceTimestamp == timedelta(seconds=0.25)
