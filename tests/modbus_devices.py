"""Modbus devices that misbehave, one way each."""

import asyncio
import struct
from collections.abc import Callable

Answer = Callable[["Device", int, int, int, int, int], bytes | None]


class Device:
    """A Modbus TCP device in this process: `answer` makes the reply of each read; None: no reply.

    Registers hold their own address. Counts the reads per unit.
    """

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.reads: list[tuple[int, int, int]] = []
        self.connections = 0
        self.delay = 0.0
        self.most_at_once: dict[int, int] = {}
        self._at_once: dict[int, int] = {}
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._hung_up = False

    def hang_up(self) -> None:
        """Close the connection on which the question came, instead of answering it."""
        self._hung_up = True

    async def start(self) -> int:
        """Start it on a free port; gives the port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Stop it."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            while True:
                head = await reader.readexactly(7)
                transaction, _, length, unit = struct.unpack(">HHHB", head)
                function, start, count = struct.unpack(">BHH", await reader.readexactly(length - 1))
                self.reads.append((unit, start, count))
                answer = self.answer(self, transaction, unit, function, start, count)
                if self._hung_up:
                    self._hung_up = False
                    return
                if self.delay:
                    self._at_once[unit] = self._at_once.get(unit, 0) + 1
                    self.most_at_once[unit] = max(self.most_at_once.get(unit, 0), self._at_once[unit])
                    await asyncio.sleep(self.delay)
                    self._at_once[unit] -= 1
                if answer is not None:
                    writer.write(answer)
        except (asyncio.IncompleteReadError, OSError, asyncio.CancelledError):
            pass  # the client left, or the test ended
        finally:
            writer.close()
            self._tasks.discard(task)


def frame(transaction: int, unit: int, pdu: bytes) -> bytes:
    """Wrap a reply."""
    return struct.pack(">HHHB", transaction, 0, len(pdu) + 1, unit) + pdu


def healthy(_: Device, transaction: int, unit: int, function: int, start: int, count: int) -> bytes:
    """Answer as a good device does."""
    words = struct.pack(f">{count}H", *(address % 65536 for address in range(start, start + count)))
    return frame(transaction, unit, struct.pack(">BB", function, len(words)) + words)


def denial(transaction: int, unit: int, function: int, code: int) -> bytes:
    """Answer with an exception."""
    return frame(transaction, unit, struct.pack(">BB", function | 0x80, code))
