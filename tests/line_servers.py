"""Line servers that are not ours, each a process: `python tests/line_servers.py opcua|modbus PORT`."""

import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from asyncua import Server, ua
from asyncua.crypto.permission_rules import User, UserRole
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

NAMESPACE = "urn:test:line"
REGISTERS = 200


class Everybody:
    """Lets in who has no name, and andon with the right password."""

    def get_user(
        self, _: object, username: str | None = None, password: str | None = None, **__: object
    ) -> User | None:
        """Say who that is; None: nobody of ours."""
        known = username is None or (username, password) == ("andon", "secret")
        return User(role=UserRole.User) if known else None


async def serve_opcua(port: int, trust: Path | None = None) -> None:
    """Serve a counter at 20 Hz, a waveform, a frame, a bad value and a constant."""
    server = Server(user_manager=Everybody() if trust is not None else None)
    await server.init()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{port}")
    if trust is None:
        server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    else:
        await server.load_certificate(str(trust / "server.der"))
        await server.load_private_key(str(trust / "server.pem"))
        await server.set_application_uri("urn:test:server")
        server.set_security_policy([ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt])
    await server.register_namespace("urn:test:first")
    index = await server.register_namespace(NAMESPACE)
    add = server.nodes.objects.add_variable
    counter = await add(ua.NodeId("counter", index), "counter", 0.0)
    wave = await add(ua.NodeId("wave", index), "wave", ua.Variant([0.0] * 64, ua.VariantType.Float))
    await add(ua.NodeId("constant", index), "constant", ua.Variant(-12, ua.VariantType.Int32))
    await add(ua.NodeId("frame", index), "frame", ua.Variant([[30000, 30100], [30200, 29815]], ua.VariantType.UInt16))
    bad = await add(ua.NodeId("bad", index), "bad", 1.0)
    await bad.write_value(ua.DataValue(ua.Variant(7.0), ua.StatusCode(ua.StatusCodes.BadSensorFailure)))
    async with server:
        sys.stdout.write(f"READY {port}\n")
        sys.stdout.flush()
        number = 0
        while True:
            number += 1
            now = datetime.now(UTC)
            await counter.write_value(ua.DataValue(ua.Variant(float(number)), SourceTimestamp=now))
            samples = ua.Variant([float(number)] * 64, ua.VariantType.Float)
            await wave.write_value(ua.DataValue(samples, SourceTimestamp=now))
            await asyncio.sleep(0.05)


async def count_up(*asked: Any) -> None:
    """Let register 0 count the reads."""
    registers = asked[4]
    registers[0] = (registers[0] + 1) % 65536


async def serve_modbus(port: int) -> None:
    """Serve units 1 and 2 with 200 registers each; register 0 counts the reads."""
    data = [SimData(0, values=list(range(REGISTERS)), datatype=DataType.REGISTERS)]
    units = [SimDevice(id=number, simdata=data, action=count_up) for number in (1, 2)]
    server = ModbusTcpServer(context=units, address=("127.0.0.1", port))
    await server.serve_forever(background=True)
    sys.stdout.write(f"READY {port}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    kind, where, *rest = sys.argv[1:]
    if kind == "opcua":
        asyncio.run(serve_opcua(int(where), Path(rest[0]) if rest else None))
    else:
        asyncio.run(serve_modbus(int(where)))
