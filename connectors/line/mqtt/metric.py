"""What a Sparkplug metric says: its quality, and the atom that it becomes. Pure."""

from connectors.line.mqtt.node import Born
from connectors.line.mqtt.settings import Topic
from connectors.line.mqtt.wire import DataSet, Metric, value_of
from connectors.line.shapes import Unfit, frame, waveform
from connectors.line.tags import Times, judge
from gateway.core.reading import Quality, Reading, ThermalFrame, Waveform

_BAD, _STALE = 0, 500
DOUBT = "a message before it is missing; its alias may mean something else"


def quality_of(metric: Metric, *, doubtful: bool) -> tuple[Quality, str]:
    """Give the quality that the node says, lowered when a message before it is missing; and the reason."""
    if metric.quality == _BAD:
        return Quality.BAD, "the node says that it is bad"
    if metric.quality == _STALE:
        return Quality.UNCERTAIN, "the node says that it is stale"
    if doubtful:
        return Quality.UNCERTAIN, DOUBT
    return Quality.GOOD, ""


def atom_of(
    tag: Topic, metric: Metric, born: Born, column: str, times: Times, quality: Quality, why: str
) -> Reading | Waveform | ThermalFrame:
    """Make the atom of a metric; what does not fit is a BAD reading with its reason."""
    if quality is Quality.BAD:
        return _reading(tag, None, quality, times, why)
    if metric.null:
        return _reading(tag, None, Quality.BAD, times, "no value")
    try:
        raw = value_of(metric.raw, metric.datatype or born.datatype)
        if isinstance(raw, DataSet):
            raw = _of_table(raw, tag, column)
        if tag.kind == "frame":
            return frame(tag, raw, quality, times)
        if tag.kind == "waveform":
            if tag.rate_hz is None:
                raise Unfit("no rate: give rate_hz")  # noqa: TRY301 (one place makes the BAD reading)
            return waveform(tag, raw, tag.rate_hz, quality, times)
    except Unfit as no:
        return _reading(tag, None, Quality.BAD, times, str(no))
    value, fault = judge(tag, raw)
    return _reading(tag, value, Quality.BAD if fault else quality, times, fault or why)


def _of_table(table: DataSet, tag: Topic, column: str) -> object:
    if column:
        values = table.column(column)
        if tag.kind != "value":
            return values
        if not values:
            raise Unfit("the DataSet has no rows")
        return values[0]
    if tag.kind == "frame":
        return [list(row) for row in table.rows]
    raise Unfit("a DataSet: name a column, metric::column")


def _reading(tag: Topic, value: object, quality: Quality, times: Times, why: str) -> Reading:
    held = value if isinstance(value, int | float | str) else None
    return Reading(tag.asset, tag.tag, held, tag.unit, quality, times.sourced_at, None, times.received_at, why)
