"""A serial line as asyncio sees it: bytes in, bytes out, lost when the device vanishes."""

import asyncio
import os
from typing import Any

from connectors.line.modbus.endpoint import Endpoint

_CHUNK = 4096


class SerialLine:
    """An open serial device that feeds a protocol. Closed once; a device that vanishes is a lost connection."""

    def __init__(self, port: Any, protocol: asyncio.Protocol) -> None:
        self._port, self._protocol = port, protocol
        self._loop = asyncio.get_running_loop()
        self._closed = False

    def listen(self) -> None:
        """Begin to feed the protocol."""
        os.set_blocking(self._port.fileno(), False)
        self._loop.add_reader(self._port.fileno(), self._readable)

    def write(self, frame: bytes) -> None:
        """Send a frame; eight bytes always fit."""
        try:
            sent = os.write(self._port.fileno(), frame)
        except OSError as lost:
            self._lose(lost)
            return
        if sent != len(frame):
            self._lose(OSError("the serial device takes no more bytes"))

    def abort(self) -> None:
        """Close at once."""
        self._lose(None)

    def _readable(self) -> None:
        try:
            chunk = os.read(self._port.fileno(), _CHUNK)
        except BlockingIOError:
            return
        except OSError as lost:
            self._lose(lost)
            return
        if chunk:
            self._protocol.data_received(chunk)
        else:
            self._lose(OSError("the serial device is gone"))

    def _lose(self, why: Exception | None) -> None:
        if self._closed:
            return
        self._closed = True
        self._loop.remove_reader(self._port.fileno())
        self._port.close()
        self._loop.call_soon(self._protocol.connection_lost, why)


async def open_serial(endpoint: Endpoint, protocol: asyncio.Protocol) -> SerialLine:
    """Open a serial device for ourselves alone. Raises OSError."""
    port = await asyncio.to_thread(_open, endpoint)
    try:
        line = SerialLine(port, protocol)
        line.listen()
    except BaseException:
        port.close()
        raise
    return line


def _open(endpoint: Endpoint) -> Any:
    import termios  # noqa: PLC0415 (not on Windows)

    import serial  # noqa: PLC0415 (only where a serial line is used)

    speech = endpoint.serial
    try:
        return serial.Serial(
            endpoint.device,
            speech.baudrate,
            bytesize=8,
            parity=speech.parity[0].upper(),
            stopbits=speech.stopbits,
            timeout=0,
            exclusive=True,
        )
    except termios.error as no:  # not an OSError, and pyserial lets it through
        raise OSError(f"it does not take {speech.baudrate} baud, {speech.parity} parity: {no}") from no
