"""Plays a real vibration recording as a machine over OPC UA.

`python -m simulators.recording --file X.mat --rate 12000`

The nodes are those of simulators.line: vibration in g, state, and speed where it is known (--speed, or a
file that tells it). Prints `READY {"endpoint": …}`, and `DONE {…}` when the last block is out; it serves on
until SIGTERM or SIGINT, or until stdin ends with --until-eof. With --hold it begins when the line
{"play": true} comes on stdin, so that whoever listens misses nothing.

Formats: MATLAB v4 to v7 (.mat), .npy, .npz, .wav (integers count as a share of full scale), .csv with or
without a header (a column called time gives the rate). A channel is picked by its name or a distinct part
of it ("DE" finds X105_DE_time), rows of a table by their number.

The first pass gives the file's samples exactly. With --loop the end flows into the beginning over 50 ms with
equal power, so that the seam makes no click; each later pass is 50 ms shorter. Signal time goes on without a
gap; --rate-factor 10 plays ten times as fast, and then begins so far in the past that the first pass ends now.
"""

import argparse
import asyncio
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from simulators.console import attend, fail, say
from simulators.line import Layout, LineServer, centikelvin
from simulators.pace import Pacer
from simulators.rig import plain_rig
from simulators.thermal import Temperatures, ThermalCamera
from simulators.waves import IN_G, Recording, Samples, Unreadable, read

PROGRAM = "simulators.recording"
SEAM_S = 0.05
"""Length of the cross-fade between the end of a recording and its beginning."""


def blocks(recording: Recording, count: int, *, loop: bool) -> Iterator[Samples]:
    """Cut a recording into blocks of `count` samples; the last one may be shorter, a looped one never ends."""
    samples = recording.samples
    if not loop:
        for start in range(0, len(samples), count):
            yield samples[start : start + count]
        return
    fade = min(round(SEAM_S * recording.rate_hz), len(samples) // 4)
    rise = np.sin(np.linspace(0, np.pi / 2, fade))
    seam = samples[len(samples) - fade :] * rise[::-1] + samples[:fade] * rise
    body = samples[fade : len(samples) - fade]
    ready = np.concatenate((samples[:fade], body))
    while True:
        while len(ready) < count:
            ready = np.concatenate((ready, seam, body))
        yield ready[:count]
        ready = ready[count:]


class Player:
    """Publishes a recording in real time (or `factor` times as fast)."""

    def __init__(self, recording: Recording, server: LineServer, options: argparse.Namespace) -> None:
        self._recording = recording
        self._server = server
        self._options = options
        self._begin = asyncio.Event()
        self._camera: ThermalCamera | None = None
        if options.thermal:
            self._camera = ThermalCamera(plain_rig(options.asset, bearing=options.bearing), options.seed)

    async def run(self) -> None:
        """Play, say DONE, and go on telling the constant values until cancelled."""
        if self._options.hold:
            await self._begin.wait()
        options, rate = self._options, self._recording.rate_hz
        count = max(1, round(options.block * rate))
        length = timedelta(seconds=len(self._recording.samples) / rate)
        start = datetime.now(UTC) - (length - length / options.rate_factor if options.rate_factor > 1 else timedelta())
        pacer = Pacer(count / rate, factor=options.rate_factor, started_at=start)
        sent, at = 0, start
        for block in blocks(self._recording, count, loop=options.loop):
            at = await pacer.period()
            await self._server.write(options.asset, "vibration", block.astype("<f4"), at)
            await self._constants(at)
            sent += len(block)
        await self._server.write(options.asset, "state", "finished", at)
        say("DONE", asset=options.asset, samples=sent, seconds=sent / rate)
        await asyncio.Event().wait()

    async def answer(self, line: str) -> str:
        """Begin when told to; gives the reply. Raises ValueError on any other command."""
        if line.replace(" ", "") != '{"play":true}':
            raise ValueError(f'the only command is {{"play": true}}, got {line[:40]!r}')
        self._begin.set()
        return "OK {}"

    async def _constants(self, at: datetime) -> None:
        options, write = self._options, self._server.write
        await write(options.asset, "state", "running", at)
        if (speed := options.speed or self._recording.speed_rpm) is not None:
            await write(options.asset, "speed", float(speed), at)
        if options.temperature is not None:
            await write(options.asset, "temperature", options.temperature, at)
        if self._camera is not None:
            warm = 40.0 if options.temperature is None else options.temperature
            parts = Temperatures(ambient=24.0, body=warm, bearing=warm, coupling=30.0, foot=28.0)
            picture = centikelvin(self._camera.picture(parts))
            await write(options.asset, "thermal", picture, at)
            await write(options.asset, "thermal_bytes", picture, at)


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=PROGRAM, description="Play a vibration recording as a machine over OPC UA")
    parser.add_argument("--file", type=Path, required=True)
    parser.add_argument("--channel", help="name of the channel, a distinct part of it, or a row's number")
    parser.add_argument("--rate", type=float, help="sampling rate in Hz, where the file does not tell it")
    parser.add_argument("--unit", default="g", choices=list(IN_G), help="unit of the numbers in the file")
    parser.add_argument("--scale", type=float, default=1.0, help="a number in the file times this is in --unit")
    parser.add_argument("--speed", type=float, help="rpm; the node stays constant")
    parser.add_argument("--bearing", default="6205", help="told in READY")
    parser.add_argument("--asset", default="REC-01")
    parser.add_argument("--loop", action="store_true")
    parser.add_argument("--block", type=float, default=0.5, help="seconds of signal per value")
    parser.add_argument("--rate-factor", type=float, default=1.0, help="how much faster than real time")
    parser.add_argument("--hold", action="store_true", help="begin when told on stdin")
    parser.add_argument("--temperature", type=float, help="constant bearing temperature in degC")
    parser.add_argument("--thermal", action="store_true", help="send pictures of a machine without trouble, too")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--until-eof", action="store_true", help="end when stdin ends")
    options = parser.parse_args(arguments)
    if not 0 < options.block <= 10 or not 0 < options.rate_factor <= 1000:  # noqa: PLR2004 (limits)
        parser.error("--block lies between 0 and 10 s, --rate-factor between 0 and 1000")
    return options


async def _serve(options: argparse.Namespace, recording: Recording) -> None:
    tags = ["vibration", "state"]
    speed = options.speed or recording.speed_rpm
    tags += ["speed"] if speed else []
    tags += ["temperature"] if options.temperature is not None else []
    tags += ["thermal", "thermal_bytes"] if options.thermal else []
    camera = plain_rig(options.asset).camera
    layout = Layout(options.asset, tags, recording.rate_hz, (camera.height, camera.width))
    async with LineServer([layout], options.host, options.port) as server:
        say(
            "READY",
            endpoint=server.endpoint,
            assets=[options.asset],
            rate_hz=recording.rate_hz,
            channel=recording.channel,
            samples=len(recording.samples),
            speed_rpm=speed,
            bearing=options.bearing,
        )
        player = Player(recording, server, options)
        await attend(player.answer, asyncio.create_task(player.run()), until_eof=options.until_eof)


def main(arguments: list[str] | None = None) -> int:
    """Play until told to stop; 2 on a file that cannot be played."""
    options = _options(arguments)
    try:
        recording = read(
            options.file, channel=options.channel, rate_hz=options.rate, unit=options.unit, scale=options.scale
        )
        asyncio.run(_serve(options, recording))
    except (Unreadable, OSError) as wrong:
        return fail(PROGRAM, str(wrong))
    return 0


if __name__ == "__main__":
    sys.exit(main())
