"""The baseline: a bare pymodbus client that reads blocks one after the other and keeps nothing.

`bare_modbus.py PORT FIRST REGISTERS` prints `LIVE` after its first scan, and `COUNT scans reads` for each line
on stdin.
"""

import asyncio
import sys

from pymodbus.client import AsyncModbusTcpClient

MOST = 124  # an even number: no value of two registers is cut


async def main(port: int, first: int, registers: int) -> None:
    """Read until standard input ends."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    client = AsyncModbusTcpClient("127.0.0.1", port=port, retries=0, timeout=3)
    await client.connect()
    scans = reads = 0

    async def scan() -> None:
        nonlocal scans, reads
        while True:
            for at in range(first, first + registers, MOST):
                count = min(MOST, first + registers - at)
                answer = await client.read_holding_registers(at, count=count, device_id=1)
                if answer.isError() or len(answer.registers) != count:
                    raise SystemExit(f"register {at}: {answer}")
                reads += 1
            if not scans:
                print("LIVE", flush=True)
            scans += 1

    scanning = asyncio.create_task(scan())
    while await reader.readline():
        print("COUNT", scans, reads, flush=True)
    scanning.cancel()
    client.close()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
