"""One machine on its way to the OPC UA server: block after block, with heat, pictures and log lines."""

import asyncio
from datetime import UTC, datetime, timedelta

from simulators.line import Layout, LineServer, centikelvin
from simulators.machine import Machine
from simulators.pace import Pacer
from simulators.seeds import generator
from simulators.voice import Voice

PICTURE_S = 1.0
"""Seconds between thermal pictures."""


class Feed:
    """Runs a machine in real time and publishes what its sensors say, every `block_s` seconds."""

    def __init__(self, machine: Machine, server: LineServer, voice: Voice, block_s: float = 0.5) -> None:
        self.machine = machine
        self._server = server
        self._voice = voice
        self._block_s = block_s
        self._random = generator(0, "feed", self.asset)
        self._busy = asyncio.Lock()
        self._since_picture_s = PICTURE_S

    @property
    def asset(self) -> str:
        """The machine's id."""
        return self.machine.rig.name

    async def inject(self, fault: str, severity: float, ramp_s: float = 0.0) -> None:
        """Give the machine a fault between two blocks ("healthy" repairs). Raises ValueError."""
        async with self._busy:
            self.machine.inject(fault, severity, ramp_s=ramp_s)

    async def set(self, pace: float | None, load: float | None) -> None:
        """Change the set points of speed and load (1 = rated) between two blocks."""
        async with self._busy:
            drive = self.machine.drive
            drive.pace = drive.pace if pace is None else pace
            drive.load = drive.load if load is None else load

    async def run(self) -> None:
        """Publish until cancelled."""
        count = round(self._block_s * self.machine.rig.rate_hz)
        pacer = Pacer(count / self.machine.rig.rate_hz)
        while True:
            async with self._busy:
                samples = await asyncio.to_thread(self.machine.read, count)
            begin = await pacer.period()
            await self._server.write(self.asset, "vibration", samples.astype("<f4"), begin)
            await self._values(begin + timedelta(seconds=self._block_s))

    async def _values(self, at: datetime) -> None:
        machine, write = self.machine, self._server.write
        bearing = machine.temperatures.bearing + float(self._random.normal(0, 0.1))
        await write(self.asset, "speed", round(machine.speed_rpm, 1), at)
        await write(self.asset, "load", round(machine.load_pct, 1), at)
        await write(self.asset, "temperature", round(bearing, 2), at)
        await write(self.asset, "state", "running", at)
        self._since_picture_s += self._block_s
        if self._since_picture_s >= PICTURE_S:
            self._since_picture_s = 0.0
            picture = centikelvin(machine.picture())
            await write(self.asset, "thermal", picture, at)
            await write(self.asset, "thermal_bytes", picture, at)
        for line in machine.lines():
            self._voice.say(self.asset, line, datetime.now(UTC))


def layout(machine: Machine) -> Layout:
    """Describe a machine's nodes."""
    tags = ("vibration", "speed", "load", "temperature", "state", "thermal", "thermal_bytes")
    camera = machine.rig.camera
    return Layout(machine.rig.name, tags, machine.rig.rate_hz, (camera.height, camera.width))
