"""The OPC UA server of a simulated line, and the layout of its nodes.

Each machine is an object `s=<asset>` in the namespace `urn:andon:line` with variables `s=<asset>.<tag>`:

vibration      Float[], g, one block per data change; the source timestamp is that of the first sample.
               Properties SampleRate (Double, Hz) and Unit (String).
speed          Double, rpm          load         Double, %
temperature    Double, degC         state        String, "running"
thermal        UInt16[height][width], hundredths of a kelvin (300.15 K = 30015)
thermal_bytes  ByteString, the same picture: height and width as two little-endian uint16, then the pixels,
               row by row, as little-endian uint16 in hundredths of a kelvin

Every value carries a source timestamp. Security: anonymous, no encryption, or as its papers say (simulators.papers);
it binds to loopback by default.
"""

import logging
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, Self

import numpy as np
import numpy.typing as npt
from asyncua import Server, ua

from simulators.papers import Papers

URI = "urn:andon:line"
Quality = Literal["good", "uncertain", "bad"]
TAGS: dict[str, tuple[str, ua.VariantType]] = {
    "vibration": ("g", ua.VariantType.Float),
    "speed": ("rpm", ua.VariantType.Double),
    "load": ("%", ua.VariantType.Double),
    "temperature": ("degC", ua.VariantType.Double),
    "state": ("", ua.VariantType.String),
    "thermal": ("cK", ua.VariantType.UInt16),
    "thermal_bytes": ("cK", ua.VariantType.ByteString),
}
_CODES = {
    "good": ua.StatusCodes.Good,
    "uncertain": ua.StatusCodes.UncertainSensorNotAccurate,
    "bad": ua.StatusCodes.BadSensorFailure,
}


@dataclass(frozen=True, slots=True)
class Layout:
    """Which tags a machine has; the rate of its waveform in Hz, and the shape of its pictures."""

    asset: str
    tags: Sequence[str]
    rate_hz: float
    shape: tuple[int, int] = (0, 0)


def centikelvin(picture: npt.NDArray[np.float32]) -> npt.NDArray[np.uint16]:
    """Turn degrees Celsius into hundredths of a kelvin, same shape."""
    return np.clip(np.round((picture + 273.15) * 100), 0, 65535).astype("<u2")


class LineServer:
    """Serves the values of some machines. Use as a context manager: it listens inside."""

    def __init__(
        self, layouts: Sequence[Layout], host: str = "127.0.0.1", port: int = 0, papers: Papers | None = None
    ) -> None:
        self._layouts = layouts
        self._papers = papers
        self._host = host
        self._port = port
        self._server = Server()
        self._nodes: dict[tuple[str, str], ua.NodeId] = {}
        self._quality: dict[tuple[str, str], Quality] = {}
        self._silent: set[tuple[str, str]] = set()

    @property
    def endpoint(self) -> str:
        """The address that clients connect to; the real port once it listens."""
        return f"opc.tcp://{self._host}:{self._port}"

    def has(self, asset: str, tag: str) -> bool:
        """Say whether there is such a tag."""
        return (asset, tag) in self._nodes

    def grade(self, asset: str, tag: str, quality: Quality) -> None:
        """Give a tag's values a quality from now on; a bad value is sent without a number."""
        self._quality[asset, tag] = quality

    def silence(self, asset: str, tag: str, *, silent: bool) -> None:
        """Stop sending a tag, or go on; the node stays and keeps its last value."""
        (self._silent.add if silent else self._silent.discard)((asset, tag))

    async def __aenter__(self) -> Self:
        # At INFO asyncua logs every publish, at DEBUG every request.
        logging.getLogger("asyncua").setLevel(logging.WARNING)
        # A port that is taken reaches the caller as OSError: no second report with a traceback.
        logging.getLogger("asyncua.server.server").setLevel(logging.CRITICAL)
        await self._server.init()
        self._server.set_server_name("Andon line simulator")
        await self._server.set_application_uri(f"{URI}:simulator")
        if self._papers is None:
            self._server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
            self._server.set_identity_tokens([ua.AnonymousIdentityToken])
        else:
            await self._papers.apply(self._server, f"{URI}:simulator", self._host)
        self._server.set_endpoint(self.endpoint)
        index = await self._server.register_namespace(URI)
        for layout in self._layouts:
            await self._build(layout, index)
        await self._server.start()
        self._port = self._server.bserver.port
        # The endpoint descriptions were made before the port was known.
        for endpoint in self._server.iserver.endpoints:
            endpoint.EndpointUrl = self.endpoint
            endpoint.Server.DiscoveryUrls = [self.endpoint]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.stop()

    async def _build(self, layout: Layout, index: int) -> None:
        objects = self._server.get_objects_node()
        machine = await objects.add_object(ua.NodeId(layout.asset, index), ua.QualifiedName(layout.asset, index))
        for tag in layout.tags:
            unit, kind = TAGS[tag]
            node = await machine.add_variable(
                ua.NodeId(f"{layout.asset}.{tag}", index), ua.QualifiedName(tag, index), _start(tag, kind, layout.shape)
            )
            # A node nobody has written yet has no value: say so instead of showing a zero.
            waiting = ua.DataValue(StatusCode=ua.StatusCode(ua.StatusCodes.BadWaitingForInitialData))
            await self._server.write_attribute_value(node.nodeid, waiting)
            if unit:
                await node.add_property(index, "Unit", unit)
            if tag == "vibration":
                await node.add_property(index, "SampleRate", float(layout.rate_hz), ua.VariantType.Double)
            self._nodes[layout.asset, tag] = node.nodeid

    async def write(self, asset: str, tag: str, value: object, at: datetime) -> None:
        """Publish a value (a float, a string, samples, or a picture in hundredths of a kelvin) with its source time."""
        key = (asset, tag)
        if key in self._silent or key not in self._nodes:
            return
        status = ua.StatusCode(_CODES[self._quality.get(key, "good")])
        data = ua.DataValue(
            Value=_variant(TAGS[tag][1], value),
            StatusCode=status,
            SourceTimestamp=at,
            ServerTimestamp=datetime.now(UTC),
        )
        await self._server.write_attribute_value(self._nodes[key], data)


def _start(tag: str, kind: ua.VariantType, shape: tuple[int, int]) -> ua.Variant:
    """A first value that fixes type and rank of the node."""
    match tag:
        case "vibration":
            return ua.Variant([0.0], kind, is_array=True)
        case "thermal":
            return ua.Variant([[0] * shape[1]] * shape[0], kind)
        case "thermal_bytes":
            return ua.Variant(b"", kind)
        case "state":
            return ua.Variant("", kind)
    return ua.Variant(0.0, kind)


def _variant(kind: ua.VariantType, value: object) -> ua.Variant:
    if isinstance(value, np.ndarray):
        if kind is ua.VariantType.ByteString:
            return ua.Variant(struct.pack("<HH", *value.shape) + value.tobytes(), kind)
        return ua.Variant(value.tolist(), kind, is_array=True, Dimensions=list(value.shape) if value.ndim > 1 else None)
    return ua.Variant(value, kind)
