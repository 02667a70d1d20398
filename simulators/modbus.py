"""A tunnel oven over Modbus TCP: `python -m simulators.modbus --port 0 --asset OVEN-01 --unit 1`.

Register map, offsets from 0 as they stand in the request:

input registers (function 4)
  0-2    zone 1-3 temperature     int16, 0.1 degC   (32767: thermocouple broken)
  3-5    zone 1-3 heater output   uint16, 0.1 %
  10-11  mean temperature         float32 ABCD, degC
  12-13  the same                 float32 CDAB (words swapped)
  14-15  the same                 float32 BADC (bytes swapped)
  16-17  the same                 float32 DCBA (both)
  18-19  energy                   uint32 ABCD, Wh, counts up
  20-21  uptime                   uint32 CDAB, s
  22-25  (refused: exception 2)
  26     requests answered        uint16, wraps
  30-37  name                     16 ASCII characters, padded with spaces
holding registers (functions 3, 6, 16)
  0-2    zone 1-3 setpoint        int16, 0.1 degC, 0..300 (else exception 3)
coils (functions 1, 5)
  0      heaters enabled
discrete inputs (function 2)
  0      door open
  1      alarm (over-temperature or broken thermocouple)
  2-4    zone 1-3 heater failed

Another unit answers exception 11 (no response from the target). Prints `READY {"port": …, "registers": […]}`.
Commands on stdin, one JSON object a line:

{"fail": 2, "how": "heater"}    heater (stays cold), runaway (relay welded), sensor (thermocouple broken)
{"repair": 2}                   {"door": true}
{"busy": true}                  every request is answered with exception 6 until it is false
"""

import argparse
import asyncio
import json
import logging
import struct
import sys
from typing import Literal

import msgspec
from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from simulators.console import attend, fail, say
from simulators.oven import ZONES, Failure, Oven

PROGRAM = "simulators.modbus"
COILS, DISCRETE, HOLDING = {1, 5, 15}, {2}, {3, 6, 16}
HIGHEST_SETPOINT = 3000
STEP_S = 0.1


def nobody() -> SimDevice:
    """Every unit that is not there; a gateway in front of a serial line would say the same."""

    async def absent(*_: object) -> ExcCodes:
        return ExcCodes.GATEWAY_NO_RESPONSE

    words = SimData(0, count=256, values=0, datatype=DataType.REGISTERS)
    bits = SimData(0, count=16, values=[False] * 16, datatype=DataType.BITS)
    return SimDevice(id=0, simdata=([bits], [bits], [words], [words]), action=absent)


class Command(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One command from stdin; one of `fail`, `repair`, `door`, `busy` is given."""

    fail: Literal[1, 2, 3] | None = None
    how: Failure = "heater"
    repair: Literal[1, 2, 3] | None = None
    door: bool | None = None
    busy: bool | None = None


class Register(msgspec.Struct, frozen=True):
    """One line of the register map that READY prints. `scale` times the raw number is in `unit`."""

    name: str
    table: Literal["input", "holding", "coil", "discrete"]
    offset: int
    type: str
    unit: str = ""
    scale: float = 1.0


def registers() -> list[Register]:
    """List the register map of the docstring above."""
    zones = range(1, ZONES + 1)
    orders = ("ABCD", "CDAB", "BADC", "DCBA")
    return [
        *(Register(f"zone{zone}_temperature", "input", zone - 1, "int16", "degC", 0.1) for zone in zones),
        *(Register(f"zone{zone}_output", "input", zone + 2, "uint16", "%", 0.1) for zone in zones),
        *(Register(f"mean_{o.lower()}", "input", 10 + 2 * n, f"float32:{o}", "degC") for n, o in enumerate(orders)),
        Register("energy", "input", 18, "uint32:ABCD", "Wh"),
        Register("uptime", "input", 20, "uint32:CDAB", "s"),
        Register("requests", "input", 26, "uint16"),
        Register("name", "input", 30, "string:16"),
        *(Register(f"zone{zone}_setpoint", "holding", zone - 1, "int16", "degC", 0.1) for zone in zones),
        Register("enabled", "coil", 0, "bool"),
        Register("door", "discrete", 0, "bool"),
        Register("alarm", "discrete", 1, "bool"),
        *(Register(f"zone{zone}_failed", "discrete", zone + 1, "bool") for zone in zones),
    ]


class Panel:
    """The oven as Modbus shows it."""

    def __init__(self, oven: Oven, name: str) -> None:
        self._oven = oven
        self._name = name
        self._requests = 0
        self.busy = False

    def device(self, unit: int) -> SimDevice:
        """Describe the registers to pymodbus: (coils, discrete inputs, holding, input)."""
        # Two registers of bits: a request for sixteen bits may reach into the second one.
        bits = SimData(0, values=[False] * 32, datatype=DataType.BITS)
        holding = SimData(0, values=[0] * ZONES, datatype=DataType.REGISTERS)
        low = SimData(0, values=[0] * 22, datatype=DataType.REGISTERS)
        hole = SimData(22, count=4, datatype=DataType.INVALID)
        high = SimData(26, values=[0] * 12, datatype=DataType.REGISTERS)
        return SimDevice(id=unit, simdata=([bits], [bits], [holding], [low, hole, high]), action=self.act)

    async def act(
        self,
        function: int,
        start: int,
        address: int,
        count: int,
        current: list[int],
        values: list[int] | list[bool] | None,
    ) -> ExcCodes | None:
        """Bring the registers up to date before a read; take a write over into the oven."""
        del start, count
        if self.busy:
            return ExcCodes.DEVICE_BUSY
        if values is not None:
            return self._write(function, address, list(values))
        self._requests = (self._requests + 1) % 65536  # a write is read back for its answer: counted once
        if function in COILS:
            current[0] = int(self._oven.enabled)
        elif function in DISCRETE:
            states = [self._oven.door_open, self._oven.alarm, *(zone.failure is not None for zone in self._oven.zones)]
            current[0] = sum(int(state) << place for place, state in enumerate(states))
        elif function in HOLDING:
            current[:ZONES] = [round(zone.setpoint_c * 10) for zone in self._oven.zones]
        else:
            self._measure(current)
        return None

    def _write(self, function: int, address: int, values: list[int]) -> ExcCodes | None:
        if function in COILS:
            if address == 0:
                self._oven.enabled = bool(values[0])
            return None
        if any(value > HIGHEST_SETPOINT for value in values):
            return ExcCodes.ILLEGAL_VALUE
        for place, value in enumerate(values, start=address):
            self._oven.zones[place].setpoint_c = value / 10
        return None

    def _measure(self, current: list[int]) -> None:
        oven = self._oven
        current[:ZONES] = [max(-32768, min(32767, round(zone.shown_c * 10))) & 0xFFFF for zone in oven.zones]
        current[ZONES : 2 * ZONES] = [round(zone.output * 1000) for zone in oven.zones]
        a, b, c, d = struct.pack(">f", oven.mean_c)
        for place, order in enumerate(((a, b, c, d), (c, d, a, b), (b, a, d, c), (d, c, b, a))):
            current[10 + 2 * place : 12 + 2 * place] = struct.unpack(">HH", bytes(order))
        current[18:20] = divmod(int(oven.energy_wh) % 2**32, 65536)
        current[20:22] = divmod(int(oven.uptime_s) % 2**32, 65536)[::-1]
        current[26] = self._requests
        current[30:38] = struct.unpack(">8H", self._name.encode("ascii", "replace")[:16].ljust(16))

    async def answer(self, line: str) -> str:
        """Do what one line asks for; gives the reply. Raises ValueError."""
        try:
            command = msgspec.json.decode(line, type=Command)
        except msgspec.DecodeError as wrong:
            raise ValueError(f"not a command: {wrong}") from None
        if command.fail is not None:
            self._oven.zones[command.fail - 1].failure = command.how
        elif command.repair is not None:
            self._oven.zones[command.repair - 1].failure = None
        elif command.door is not None:
            self._oven.door_open = command.door
        elif command.busy is not None:
            self.busy = command.busy
        else:
            raise ValueError("give one of fail, repair, door, busy")
        said = {key: value for key, value in msgspec.to_builtins(command).items() if value is not None}
        return f"OK {json.dumps(said)}"


async def _heat(oven: Oven, warp: float) -> None:
    """Let the oven run in real time, or `warp` times as fast."""
    loop = asyncio.get_running_loop()
    before = loop.time()
    while True:
        await asyncio.sleep(STEP_S)
        now = loop.time()
        oven.run(min(now - before, 5.0) * warp)
        before = now


async def _serve(options: argparse.Namespace) -> None:
    logging.getLogger("pymodbus").setLevel(logging.CRITICAL)
    oven = Oven(options.seed)
    panel = Panel(oven, options.asset)
    server = ModbusTcpServer([panel.device(options.unit), nobody()], address=(options.host, options.port))
    await server.serve_forever(background=True)
    try:
        port = server.transport.sockets[0].getsockname()[1]
        map_ = msgspec.to_builtins(registers())
        say("READY", host=options.host, port=port, asset=options.asset, unit=options.unit, registers=map_)
        await attend(panel.answer, asyncio.create_task(_heat(oven, options.warp)), until_eof=options.until_eof)
    finally:
        await server.shutdown()


def main(arguments: list[str] | None = None) -> int:
    """Serve until told to stop; 2 when the port cannot be had."""
    parser = argparse.ArgumentParser(prog=PROGRAM, description="A tunnel oven over Modbus TCP")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one; READY says which")
    parser.add_argument("--asset", default="OVEN-01")
    parser.add_argument("--unit", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--warp", type=float, default=1.0, help="how much faster than real time it heats")
    parser.add_argument("--until-eof", action="store_true", help="end when stdin ends")
    options = parser.parse_args(arguments)
    try:
        asyncio.run(_serve(options))
    except (OSError, RuntimeError) as wrong:
        return fail(PROGRAM, f"cannot serve on {options.host}:{options.port}: {wrong}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
