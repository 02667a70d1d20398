"""One Modbus TCP connection: a question, its answer, a deadline; anything odd ends the connection."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException
from pymodbus.pdu import ExceptionResponse

from connectors.line.modbus.address import Table
from gateway.core.errors import Unreachable

_NAMES = {
    1: "IllegalFunction",
    2: "IllegalDataAddress",
    3: "IllegalDataValue",
    4: "DeviceFailure",
    5: "Acknowledge",
    6: "DeviceBusy",
    8: "MemoryParityError",
    10: "GatewayPathUnavailable",
    11: "GatewayTargetFailedToRespond",
}
_FUNCTIONS = {"coil": 1, "discrete": 2, "holding": 3, "input": 4}
ILLEGAL_ADDRESS = 2
NOT_THERE = frozenset({10, 11})


class Denied(Exception):
    """The unit answered with an exception; the connection is fine."""

    def __init__(self, code: int) -> None:
        super().__init__(_NAMES.get(code, f"exception {code}"))
        self.code = code


class Silent(Exception):
    """The unit did not answer in time, or not what was asked. The connection was dropped."""


class Wire:
    """A connection that is made when it is needed and dropped when an answer is late, short or foreign.

    A late answer may never meet the next question: it would be taken for its answer.
    """

    def __init__(self, host: str, port: int, timeout_s: float) -> None:
        self._host, self._port, self._timeout = host, port, timeout_s
        self._client: AsyncModbusTcpClient | None = None
        self._drops = 0

    async def connect(self) -> None:
        """Connect. Raises `Unreachable`."""
        if self._client is not None and self._client.connected:
            return
        self.drop()
        logging.getLogger("pymodbus.logging").setLevel(logging.CRITICAL)  # every fault is raised and named by us
        client = AsyncModbusTcpClient(
            self._host,
            port=self._port,
            timeout=self._timeout * 2,
            retries=0,
            reconnect_delay=0,
            trace_connect=self._noted,
        )
        drops = self._drops
        try:
            async with asyncio.timeout(self._timeout * 2):
                connected = await client.connect()
        except (OSError, ModbusException) as lost:
            client.close()
            raise Unreachable(f"{self._host}:{self._port}: no connection") from lost
        except BaseException:
            client.close()
            raise
        if not connected or drops != self._drops:  # dropped while it was being made
            client.close()
            raise Unreachable(f"{self._host}:{self._port}: no connection")
        self._client = client

    async def read(self, table: Table, start: int, count: int, device: int) -> Sequence[int]:
        """Read registers or bits. Raises `Denied`, `Silent`, or `Unreachable` when there is no connection."""
        await self.connect()
        client = self._client
        if client is None:
            raise Unreachable(f"{self._host}:{self._port}: closed")
        ask = {
            "coil": client.read_coils,
            "discrete": client.read_discrete_inputs,
            "holding": client.read_holding_registers,
            "input": client.read_input_registers,
        }[table]
        try:
            async with asyncio.timeout(self._timeout):
                answer = await ask(start, count=count, device_id=device)
        except TimeoutError as late:
            self.drop()
            raise Silent("no answer in time") from late
        except (ModbusException, OSError) as lost:
            self.drop()
            raise Silent("connection closed" if isinstance(lost, OSError) else "no usable answer") from lost
        except BaseException:
            self.drop()
            raise
        return self._checked(answer, table, count, device)

    def _checked(self, answer: Any, table: Table, count: int, device: int) -> Sequence[int]:
        """Take an answer only when it has the question's shape."""
        if isinstance(answer, ExceptionResponse):
            if answer.function_code & 0x7F != _FUNCTIONS[table]:
                self.drop()
                raise Silent("answer to another question")
            raise Denied(int(answer.exception_code))
        if answer.isError() or answer.function_code != _FUNCTIONS[table] or answer.dev_id != device:
            self.drop()
            raise Silent("answer to another question")
        if table in {"coil", "discrete"}:
            bits: list[bool] = answer.bits
            if not count <= len(bits) < count + 8:
                self.drop()
                raise Silent(f"{len(bits)} bits instead of {count}")
            return bits[:count]
        registers: list[int] = answer.registers
        if len(registers) != count:
            self.drop()
            raise Silent(f"{len(registers)} registers instead of {count}")
        return registers

    def _noted(self, connected: bool) -> None:  # noqa: FBT001 (the library calls it so)
        """Fail the question at once when the connection closes; the library would wait for its time-out."""
        client = self._client
        if not connected and client is not None and not client.ctx.response_future.done():
            client.ctx.response_future.set_exception(ConnectionResetError("connection closed"))
            client.ctx.response_future.exception()  # nobody may be waiting

    def drop(self) -> None:
        """Close the connection; the next read makes a new one."""
        self._drops += 1
        client, self._client = self._client, None
        if client is not None:
            client.close()
