"""Checked by mypy, never run: every adapter fits its port, and every settings type fits its plug-in."""

from connectors.erp import b2mml, dynamics, frappe, jobcontrol, maximo, odoo, oracle, rest, sap, tryton
from connectors.erp.jobcontrol.adapter import JobControl
from connectors.events.webhook import Webhook
from connectors.line import drop, http, modbus, mqtt, opcua, syslog, tail
from connectors.line.modbus.source import Modbus
from connectors.line.opcua.source import OpcUa
from gateway.core.ports import (
    Alarming,
    Diagnoser,
    ErpAdapter,
    EventSink,
    Inspectable,
    Interpreter,
    LineSource,
    Modality,
    Pushable,
    Readable,
    Store,
    Writable,
)
from gateway.core.production import JobReceiver
from gateway.diagnosis.diagnoser import FusedDiagnoser
from gateway.diagnosis.process import Process
from gateway.diagnosis.vibration import Vibration
from gateway.runtime.settings import ErpSettings, LineSettings
from gateway.store.store import SqlStore
from nlp.interpret import open_interpreter


def settings(
    a: opcua.Settings,
    b: modbus.Settings,
    c: syslog.Settings,
    d: tail.Settings,
    e: rest.Settings,
    f: mqtt.Settings,
    g: drop.Settings,
    h: http.Settings,
    i: tryton.Settings,
    j: odoo.Settings,
    k: sap.Settings,
    m: frappe.Settings,
    r: jobcontrol.Settings,
    s: b2mml.Settings,
    n: dynamics.Settings,
    o: oracle.Settings,
    p: maximo.Settings,
) -> tuple[list[LineSettings], list[ErpSettings]]:
    return [a, b, c, d, f, g, h], [e, i, j, k, m, n, o, p, r, s]


def opened(lines: list[LineSettings], erps: list[ErpSettings]) -> tuple[list[LineSource], list[ErpAdapter]]:
    return [line.open() for line in lines], [erp.open() for erp in erps]


def receiver(found: JobControl) -> JobReceiver:
    return found


def readable(one: OpcUa, other: Modbus) -> list[Readable]:
    return [one, other]


def modalities() -> list[Modality]:
    return [Vibration(), Process()]


def diagnoser(found: FusedDiagnoser) -> Diagnoser:
    return found


def store(found: SqlStore) -> Store:
    return found


def sink(found: Webhook) -> EventSink:
    return found


def interpreter() -> Interpreter:
    return open_interpreter("lite")


def pushable(found: http.Door) -> Pushable:
    return found


def equipment(opc: OpcUa, bus: Modbus) -> tuple[LineSource, Writable, Alarming, list[Inspectable]]:
    return opc, opc, opc, [opc, bus]
