"""Endpoints as integrators write them: `tcp://10.2.0.12`, `tls://plc`, `rtu+tcp://moxa:4001`, `rtu:///dev/ttyUSB0`."""

import re
from typing import Literal, cast
from urllib.parse import parse_qsl

import msgspec

Scheme = Literal["tcp", "tls", "rtu+tcp", "rtu"]
Parity = Literal["none", "even", "odd"]
_EXAMPLE = (
    "for example tcp://10.2.0.12:502, tls://plc.example:802, rtu+tcp://10.2.0.9:4001 "
    "or rtu:///dev/ttyUSB0?baudrate=9600&parity=even&stopbits=1"
)
_PLACE = re.compile(r"(?:\[(?P<six>[0-9a-fA-F:.]+(?:%\w+)?)\]|(?P<host>[\w.-]+))(?::(?P<port>\d{1,5}))?/?", re.ASCII)
_PORTS = {"tcp": 502, "tls": 802}
_MOST_PORT = 65_535
_BAUD = range(50, 4_000_001)
_PARITIES = {"n": "none", "e": "even", "o": "odd", "none": "none", "even": "even", "odd": "odd"}


class Serial(msgspec.Struct, frozen=True):
    """How a serial line speaks. The defaults are those of the Modbus specification."""

    baudrate: int = 19_200
    parity: Parity = "even"
    stopbits: int = 1

    @property
    def byte_s(self) -> float:
        """How long one byte takes, in seconds: start, 8 data bits, parity, stop bits."""
        return (9 + (self.parity != "none") + self.stopbits) / self.baudrate

    @property
    def silence_s(self) -> float:
        """The silence between two frames, in seconds: 3.5 characters, 1.75 ms above 19200 baud."""
        return max(3.5 * self.byte_s, 0.001_75) if self.baudrate <= 19_200 else 0.001_75  # noqa: PLR2004 (the specification)


class Endpoint(msgspec.Struct, frozen=True):
    """Where a line is: a host and port, or a serial device."""

    scheme: Scheme
    host: str = ""
    port: int = 0
    device: str = ""
    serial: Serial = Serial()

    @property
    def is_shared(self) -> bool:
        """Whether one wire carries one question at a time, whoever asks."""
        return self.scheme in {"rtu", "rtu+tcp"}

    @property
    def has_crc(self) -> bool:
        """Whether frames are RTU frames: no transaction number, a check sum."""
        return self.scheme in {"rtu", "rtu+tcp"}

    def __str__(self) -> str:
        if self.scheme == "rtu":
            return f"{self.device} at {self.serial.baudrate} baud, {self.serial.parity} parity"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


def parse_endpoint(text: str) -> Endpoint:
    """Read an endpoint. Raises ValueError that says what is wrong, with an example."""
    scheme, sign, rest = text.partition("://")
    if not sign or scheme not in {"tcp", "tls", "rtu+tcp", "rtu"}:
        raise ValueError(f"{text!r} is not an endpoint; {_EXAMPLE}")
    if scheme == "rtu":
        return _serial(text, rest)
    found = _PLACE.fullmatch(rest)
    if found is None:
        raise ValueError(f"{text!r}: {rest!r} is not host:port; {_EXAMPLE}")
    port = int(found["port"]) if found["port"] else _PORTS.get(scheme)
    if port is None:
        raise ValueError(f"{text!r}: name the port of the serial server, {_EXAMPLE}")
    if not 0 < port <= _MOST_PORT:
        raise ValueError(f"{text!r}: a port is 1 to {_MOST_PORT}")
    return Endpoint(cast("Scheme", scheme), found["six"] or found["host"], port)


def _serial(text: str, rest: str) -> Endpoint:
    device, _, query = rest.partition("?")
    if not device:
        raise ValueError(f"{text!r}: name the serial device; {_EXAMPLE}")
    if not (device.startswith("/") or re.fullmatch(r"COM\d{1,3}", device)):
        raise ValueError(f"{text!r}: write the whole path, with three slashes: rtu:///dev/ttyUSB0")
    keys: dict[str, str] = {}
    for key, value in parse_qsl(query, keep_blank_values=True):
        if key not in {"baudrate", "parity", "stopbits"}:
            raise ValueError(f"{text!r}: {key!r} is not a serial setting; known: baudrate, parity, stopbits")
        if key in keys:
            raise ValueError(f"{text!r}: {key} stands twice")
        keys[key] = value
    baudrate, stopbits = keys.get("baudrate", "19200"), keys.get("stopbits", "1")
    if not baudrate.isdecimal() or int(baudrate) not in _BAUD:
        raise ValueError(f"{text!r}: baudrate is a number such as 9600, not {baudrate!r}")
    parity = _PARITIES.get(keys.get("parity", "even").lower())
    if parity is None:
        raise ValueError(f"{text!r}: parity is none, even or odd")
    if stopbits not in {"1", "2"}:
        raise ValueError(f"{text!r}: stopbits is 1 or 2")
    return Endpoint("rtu", device=device, serial=Serial(int(baudrate), cast("Parity", parity), int(stopbits)))
