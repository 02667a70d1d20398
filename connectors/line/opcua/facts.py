"""Facts of a node: unit, ranges and sampling rate, from the properties that stand beside its value."""

from collections.abc import Sequence
from typing import Any

import msgspec
from asyncua import ua

from connectors.line.opcua.about import in_batches, read_attributes, value_of, why_of
from connectors.line.opcua.profiles import Limits
from connectors.line.tags import readable

_UNITS = ("engineeringunits", "unit", "units")
_RATES = ("samplerate", "samplingrate", "samplingfrequency", "ratehz", "rate_hz")
_RANGES = ("eurange", "instrumentrange")
PROPERTIES = frozenset((*_UNITS, *_RATES, *_RANGES))
"""Names of the properties that say something of a value, in small letters."""


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What a node says of its value. `low`..`high` is the EURange, `least`..`most` what the instrument can give."""

    unit: str = ""
    low: float | None = None
    high: float | None = None
    least: float | None = None
    most: float | None = None
    rate_hz: float | None = None


NONE = Facts()
_MOST_PAGES = 10_000
_PAGE = 1000  # references of a node in one answer: some servers break off what is larger than a message


async def read_facts(client: Any, nodes: Sequence[Any], limits: Limits) -> list[Facts]:
    """Read what nodes (ids) say of their values, in batches.

    A property that is not there or cannot be read is left out. Raises the library's errors when the link is lost.
    """
    listed = await browse(client, nodes, limits, ua.ObjectIds.HasProperty)
    there = [
        (place, name, one.NodeId)
        for place, (found, _) in enumerate(listed)
        for one in found
        if (name := str(one.BrowseName.Name or "").casefold()) in PROPERTIES
    ]
    pairs = [(local(target), ua.AttributeIds.Value) for _, _, target in there]
    values = await read_attributes(client, pairs, limits.nodes_per_read)
    said: list[dict[str, Any]] = [{} for _ in nodes]
    for (place, name, _), answer in zip(there, values, strict=True):
        if (value := value_of(answer)) is not None:
            said[place][name] = value
    return [facts_of(one) for one in said]


async def browse(
    client: Any, nodes: Sequence[Any], limits: Limits, reference: int, kinds: int = 0
) -> list[tuple[list[Any], str]]:
    """Follow references of a type and its subtypes forwards, in batches, to the end of every list.

    Gives per node the reference descriptions found and "", or what was found and why there is no more.
    `kinds` is a mask of node classes, 0 for all.
    """

    async def ask(part: list[Any]) -> Sequence[Any]:
        wanted = [
            ua.BrowseDescription(
                NodeId=node,
                BrowseDirection=ua.BrowseDirection.Forward,
                ReferenceTypeId=ua.NodeId(reference),
                IncludeSubtypes=True,
                NodeClassMask=kinds,
                ResultMask=int(ua.BrowseResultMask.All),
            )
            for node in part
        ]
        params = ua.BrowseParameters(
            View=ua.ViewDescription(), RequestedMaxReferencesPerNode=_PAGE, NodesToBrowse=wanted
        )
        answers: Sequence[Any] = await client.uaclient.session.browse(params)
        return answers

    answers = await in_batches(ask, nodes, limits.nodes_per_browse)
    return [await _to_the_end(client, answer) for answer in answers]


async def _to_the_end(client: Any, answer: Any) -> tuple[list[Any], str]:
    if why := why_of(answer):
        return [], why
    found = list(answer.References or ())
    for _ in range(_MOST_PAGES):
        if not answer.ContinuationPoint:
            return found, ""
        params = ua.BrowseNextParameters(ReleaseContinuationPoints=False, ContinuationPoints=[answer.ContinuationPoint])
        try:
            [answer] = await client.uaclient.session.browse_next(params)
        except ua.UaStatusCodeError as fault:
            return found, str(ua.StatusCode(fault.code).name)
        if why := why_of(answer):
            return found, why
        found += answer.References or ()
    return found, "too many references"


def local(target: Any) -> Any:
    """Give a plain node id of an expanded one on the same server."""
    return ua.NodeId(target.Identifier, target.NamespaceIndex, target.NodeIdType)


def facts_of(said: dict[str, Any]) -> Facts:
    """Give what the values of properties say, by the name of the property in small letters."""
    low, high = _range(said.get("eurange"))
    least, most = _range(said.get("instrumentrange"))
    units = (unit_of(said[name]) for name in _UNITS if name in said)
    rates = (_positive(said[name]) for name in _RATES if name in said)
    return Facts(
        unit=next((unit for unit in units if unit), ""),
        low=low,
        high=high,
        least=least,
        most=most,
        rate_hz=next((rate for rate in rates if rate), None),
    )


def unit_of(value: Any) -> str:
    """Give the symbol of an EUInformation, or the text that stands for a unit."""
    shown = getattr(value, "DisplayName", value)
    return readable(str(getattr(shown, "Text", shown) or "")).strip()


def _range(value: Any) -> tuple[float | None, float | None]:
    low, high = getattr(value, "Low", None), getattr(value, "High", None)
    if not isinstance(low, int | float) or not isinstance(high, int | float) or not low < high:
        return None, None
    return float(low), float(high)


def _positive(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and value > 0 else None


_SAME_UNITS: tuple[frozenset[str], ...] = tuple(
    frozenset(group.split())
    for group in (
        "degc °c c celsius cel",
        "degf °f f fahrenheit",
        "k kelvin",
        "% percent pct",
        "rpm 1/min min-1 min⁻¹ r/min u/min rev/min upm",
        "hz 1/s s-1",
        "mm/s mmps",
        "mm/s2 mm/s²",
        "m/s2 m/s²",
        "m3/h m³/h cbm/h",
        "l/min lpm",
        "um μm µm",
        "us μs µs",
        "ohm Ω ω",
        "v volt",
        "a amp ampere",
        "w watt",
        "n newton",
        "nm n.m n·m newtonmetre newtonmeter",
        "g gn gₙ",
        "pcs pieces ea",
    )
)


def same_unit(ours: str, theirs: str) -> bool:
    """Whether two ways to write a unit mean the same: `degC` is `°C`, `rpm` is `1/min`, `psi` is not `bar`."""
    one, other = (_bare(unit) for unit in (ours, theirs))
    if one == other:
        return True
    return any(one in group and other in group for group in _SAME_UNITS)


def _bare(unit: str) -> str:
    return "".join(unit.split()).replace("*", "").replace("^", "").casefold()
