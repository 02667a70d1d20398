"""The ports: small protocols that adapters fill in. A port's docstring is its contract."""

from collections.abc import Callable
from datetime import datetime

from gateway.core.ports.judgement import Diagnoser, Grounded, Interpreter, Modality, Verdict
from gateway.core.ports.line import NOTHING, Alarming, Inspectable, LineSource, Pushable, Readable, Writable
from gateway.core.ports.outside import ErpAdapter, EventSink, Tried
from gateway.core.ports.store import Store, T, Tx
from gateway.core.ports.stored import (
    AppliedConfig,
    AsideBatch,
    AuditLine,
    Claimed,
    Counts,
    Held,
    JournalRow,
    Marks,
    StoredOrder,
    StoredReport,
    Watched,
    WhenFull,
)

Clock = Callable[[], datetime]

__all__ = [
    "NOTHING",
    "Alarming",
    "AppliedConfig",
    "AsideBatch",
    "AuditLine",
    "Claimed",
    "Clock",
    "Counts",
    "Diagnoser",
    "ErpAdapter",
    "EventSink",
    "Grounded",
    "Held",
    "Inspectable",
    "Interpreter",
    "JournalRow",
    "LineSource",
    "Marks",
    "Modality",
    "Pushable",
    "Readable",
    "Store",
    "StoredOrder",
    "StoredReport",
    "T",
    "Tried",
    "Tx",
    "Verdict",
    "Watched",
    "WhenFull",
    "Writable",
]
