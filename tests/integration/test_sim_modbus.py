"""The oven as a process, read by a plain Modbus client."""

import asyncio
import struct
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
from pymodbus.client import AsyncModbusTcpClient

from tests.integration.sim_process import Simulator, running


@pytest.fixture(scope="module")
def oven() -> Iterator[Simulator]:
    with running("modbus", "--asset", "OVEN-07", "--unit", "3", "--warp", "20") as simulator:
        yield simulator


@pytest.fixture
async def client(oven: Simulator) -> AsyncIterator[AsyncModbusTcpClient]:
    link = AsyncModbusTcpClient("127.0.0.1", port=oven.ready["port"], timeout=3, retries=0)
    assert await link.connect()
    yield link
    link.close()


async def test_the_mean_temperature_stands_in_all_four_byte_orders(client: AsyncModbusTcpClient) -> None:
    registers = (await client.read_input_registers(10, count=8, device_id=3)).registers
    raw = struct.pack(">8H", *registers)
    plain, words, swapped, both = (raw[at : at + 4] for at in (0, 4, 8, 12))
    [mean] = struct.unpack(">f", plain)
    assert 150 < mean < 250
    assert words == plain[2:] + plain[:2]
    assert swapped == bytes((plain[1], plain[0], plain[3], plain[2]))
    assert both == plain[::-1]


async def test_ready_describes_registers_that_can_be_read(oven: Simulator, client: AsyncModbusTcpClient) -> None:
    readers = {
        "input": client.read_input_registers,
        "holding": client.read_holding_registers,
        "coil": client.read_coils,
        "discrete": client.read_discrete_inputs,
    }
    assert len(oven.ready["registers"]) == 23
    for register in oven.ready["registers"]:
        answer = await readers[register["table"]](register["offset"], count=1, device_id=3)
        assert not answer.isError(), register
    name = (await client.read_input_registers(30, count=8, device_id=3)).registers
    assert struct.pack(">8H", *name).decode().rstrip() == "OVEN-07"


async def test_a_hole_in_the_map_and_an_absent_unit_are_refused(client: AsyncModbusTcpClient) -> None:
    assert (await client.read_input_registers(20, count=8, device_id=3)).exception_code == 2
    assert (await client.read_input_registers(90, count=1, device_id=3)).exception_code == 2
    assert (await client.read_input_registers(0, count=1, device_id=4)).exception_code == 11


async def test_a_setpoint_can_be_written_and_a_dangerous_one_not(client: AsyncModbusTcpClient) -> None:
    assert not (await client.write_register(0, 1700, device_id=3)).isError()
    assert (await client.read_holding_registers(0, count=1, device_id=3)).registers == [1700]
    assert (await client.write_register(0, 9000, device_id=3)).exception_code == 3
    assert not (await client.write_register(0, 1800, device_id=3)).isError()


async def until(client: AsyncModbusTcpClient, offset: int, fits: Callable[[int], bool]) -> None:
    """Read an input register until its value fits; the requests themselves are the waiting."""
    async with asyncio.timeout(30):
        while True:
            [value] = (await client.read_input_registers(offset, count=1, device_id=3)).registers
            if fits(value):
                return


async def test_a_failed_heater_lets_its_zone_cool_and_tells(oven: Simulator, client: AsyncModbusTcpClient) -> None:
    assert oven.tell(fail=2) == 'OK {"fail": 2, "how": "heater"}'
    await until(client, 1, lambda tenths: tenths < 1900)
    bits = (await client.read_discrete_inputs(0, count=5, device_id=3)).bits[:5]
    assert bits == [False, False, False, True, False]
    assert oven.tell(repair=2).startswith("OK")


async def test_a_broken_thermocouple_reads_full_scale_and_raises_the_alarm(
    oven: Simulator, client: AsyncModbusTcpClient
) -> None:
    assert oven.tell(fail=3, how="sensor").startswith("OK")
    await until(client, 2, lambda tenths: tenths == 32767)
    assert (await client.read_discrete_inputs(1, count=1, device_id=3)).bits[0]
    assert oven.tell(repair=3).startswith("OK")


async def test_a_busy_oven_says_so_and_recovers(oven: Simulator, client: AsyncModbusTcpClient) -> None:
    assert oven.tell(busy=True).startswith("OK")
    assert (await client.read_coils(0, count=1, device_id=3)).exception_code == 6
    assert oven.tell(busy=False).startswith("OK")
    assert (await client.read_coils(0, count=1, device_id=3)).bits[0]


def test_a_wrong_command_is_answered(oven: Simulator) -> None:
    assert oven.tell(fail=9).startswith("ERROR not a command")
    assert oven.tell() == "ERROR give one of fail, repair, door, busy"
