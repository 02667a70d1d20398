"""One connection: a question, its answer, a deadline; what is late or foreign never answers the next question."""

import asyncio
import secrets
import ssl
import time
from contextlib import suppress
from typing import Protocol

from connectors.line.modbus.endpoint import Endpoint
from connectors.line.modbus.frames import Denied, Foreign, Question, Request, mbap, read_mbap, read_rtu, rtu
from connectors.line.modbus.serial import open_serial
from gateway.core.errors import Unreachable

_MOST_NOISE = 4096
_DEAD = 3
"""Silences in a row after which a serial server is no longer believed to be there."""


class Silent(Exception):
    """The unit did not answer in time, or not what was asked."""


class Closed(Silent):
    """The other side closed the connection instead of answering."""


class _Mouth(Protocol):
    """What frames are written to: a TCP transport or a serial line."""

    def write(self, frame: bytes) -> None: ...

    def abort(self) -> None: ...


class Wire:
    """A connection that is made when it is needed, and carries one question at a time.

    Over TCP a late or foreign answer ends the connection, and with it every byte that was on its way. A
    serial line cannot be hung up, nor can one behind a serial server: what is foreign there is skipped, and
    a unit that was late is first asked something of another length, so that its late answer has nothing to
    be mistaken for.
    """

    def __init__(self, endpoint: Endpoint, timeout_s: float, tls: ssl.SSLContext | None = None, name: str = "") -> None:
        self.endpoint, self.timeout_s = endpoint, timeout_s
        self._tls, self._server_name = tls, name
        self._ears: _Ears | None = None
        self._number = 0
        self._late: dict[int, int] = {}
        self._turn = asyncio.Lock()
        self._silences = 0
        self.answers = 0
        """Answers on this connection since it was made."""

    @property
    def connected(self) -> bool:
        """Whether there is a connection, as far as anybody knows."""
        return self._ears is not None and self._ears.mouth is not None

    async def connect(self) -> None:
        """Connect, unless it is connected. Raises `Unreachable`."""
        if self.connected:
            return
        self.drop()
        ears, loop, endpoint = _Ears(), asyncio.get_running_loop(), self.endpoint
        self._ears, self.answers = ears, 0
        self._number = secrets.randbelow(65_536)  # what a serial server still holds from before is not ours
        try:
            async with asyncio.timeout(max(1.0, 2 * self.timeout_s)):
                if endpoint.scheme == "rtu":
                    line = await open_serial(endpoint, ears)
                    if self._ears is not ears:
                        line.abort()
                    ears.mouth = line
                else:
                    await loop.create_connection(
                        lambda: ears,
                        endpoint.host,
                        endpoint.port,
                        ssl=self._tls,
                        server_hostname=(self._server_name or endpoint.host) if self._tls else None,
                    )
        except ssl.SSLCertVerificationError as wrong:
            self.drop()
            raise Unreachable(f"{endpoint}: the certificate is not trusted: {wrong.verify_message}") from wrong
        except TimeoutError as late:
            self.drop()
            raise Unreachable(f"{endpoint}: no connection in time") from late
        except (OSError, ValueError) as lost:  # pyserial refuses a baud rate by ValueError
            self.drop()
            raise Unreachable(f"{endpoint}: no connection: {_reason(lost)}") from lost
        except BaseException:
            self.drop()
            raise
        if self._ears is not ears:  # dropped while it was being made
            ears.hang_up()
            raise Unreachable(f"{endpoint}: closed")

    async def read(self, question: Request, timeout_s: float | None = None) -> bytes:
        """Ask; gives the bytes of the values. Raises `Denied`, `Silent`, or `Unreachable` without a connection."""
        async with self._turn:
            return await self._read(question, timeout_s)

    async def _read(self, question: Request, timeout_s: float | None) -> bytes:
        await self.connect()
        late = self._late.get(question.unit)
        if late is not None:
            first = question if isinstance(question, Question) else Question(question.unit, "holding", 0, 1)
            first = first._replace(items=1)
            with suppress(Denied):  # an answer too: the unit lives and what was late is behind it
                await self._ask(first if first.size != late else first._replace(items=16), timeout_s)
            del self._late[question.unit]
            await self.connect()
        answer = await self._ask(question, timeout_s)
        self.answers += 1
        self._silences = 0
        return answer

    async def _ask(self, question: Request, timeout_s: float | None) -> bytes:
        ears = self._ears
        if ears is None or ears.mouth is None:
            raise Unreachable(f"{self.endpoint}: closed")
        if self.endpoint.scheme == "rtu":
            await self._silence(ears)
        self._number = (self._number + 1) % 65_536
        answer = ears.expect(question, None if self.endpoint.has_crc else self._number)
        try:
            async with asyncio.timeout(self.timeout_s if timeout_s is None else timeout_s):
                ears.mouth.write(rtu(question) if self.endpoint.has_crc else mbap(question, self._number))
                return await answer
        except TimeoutError as late:
            self._amiss(question)
            raise Silent("no answer in time") from late
        except Foreign as foreign:
            self._amiss(question)
            raise Silent(str(foreign)) from foreign
        except OSError as lost:
            strange = self._tls is not None and not self.answers
            self.drop()
            raise Closed("connection closed; is our certificate refused?" if strange else "connection closed") from lost
        except Denied:
            raise
        except BaseException:
            self._amiss(question)
            raise
        finally:
            ears.forget()

    async def _silence(self, ears: "_Ears") -> None:
        """Wait until the line was silent for as long as two frames must be apart."""
        silence, began = self.endpoint.serial.silence_s, time.monotonic()
        while (rest := ears.heard_at + silence - time.monotonic()) > 0:
            await asyncio.sleep(rest)
            if time.monotonic() - began > self.timeout_s:
                raise Silent("the line is never silent")

    def _amiss(self, question: Request) -> None:
        """After a late or foreign answer: hang up where one can; where nothing is numbered remember who was late."""
        self._silences += 1
        if self.endpoint.has_crc:
            self._late[question.unit] = question.size
        if not self.endpoint.has_crc or (self.endpoint.scheme != "rtu" and self._silences >= _DEAD):
            self.drop()

    def drop(self) -> None:
        """Close the connection; the next question makes a new one."""
        ears, self._ears = self._ears, None
        if ears is not None:
            ears.hang_up()


class _Ears(asyncio.Protocol):
    """Hears bytes and gives the answer to the one question that waits."""

    def __init__(self) -> None:
        self.mouth: _Mouth | None = None
        self.heard_at = 0.0
        self._buffer = bytearray()
        self._question: Request | None = None
        self._number: int | None = None
        self._answer: asyncio.Future[bytes] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what is written to."""
        self.mouth = transport  # type: ignore[assignment] # asyncio gives a write transport and types its base

    def expect(self, question: Request, number: int | None) -> asyncio.Future[bytes]:
        """Wait for the answer to this question from now on; what was heard before is noise."""
        self._buffer.clear()
        self._question, self._number = question, number
        self._answer = asyncio.get_running_loop().create_future()
        return self._answer

    def forget(self) -> None:
        """Nobody waits any more."""
        answer, self._answer, self._question = self._answer, None, None
        if answer is not None and answer.done() and not answer.cancelled():
            answer.exception()  # it may have been lost at the same moment as its deadline passed

    def data_received(self, data: bytes) -> None:
        """Take bytes in; without a question a TCP peer that speaks is out of step."""
        self.heard_at = time.monotonic()
        question, answer = self._question, self._answer
        if question is None or answer is None or answer.done():
            if self._number is not None:
                self.hang_up()
            return
        self._buffer += data
        try:
            if self._number is None:
                del self._buffer[:-_MOST_NOISE]
                values = read_rtu(self._buffer, question)
            else:
                values = read_mbap(self._buffer, question, self._number)
        except (Denied, Foreign) as other:
            answer.set_exception(other)
            return
        if values is not None:
            answer.set_result(values)

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail the question at once."""
        self.mouth = None
        if self._answer is not None and not self._answer.done():
            lost = ConnectionResetError("connection closed")
            lost.__cause__ = exc
            self._answer.set_exception(lost)

    def hang_up(self) -> None:
        """Close at once."""
        mouth, self.mouth = self.mouth, None
        if mouth is not None:
            mouth.abort()


def _reason(lost: Exception) -> str:
    if isinstance(lost, ConnectionRefusedError):
        return "nothing listens there (is the device on, is it this port?)"
    return getattr(lost, "strerror", None) or str(lost) or type(lost).__name__
