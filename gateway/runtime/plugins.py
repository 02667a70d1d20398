"""Adapters by name: `protocol = "opcua"` is connectors.line.opcua, others come by entry point."""

from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

_OURS = {
    "line": ("drop", "http", "modbus", "mqtt", "opcua", "syslog", "tail"),
    "erp": ("b2mml", "dynamics", "frappe", "jobcontrol", "maximo", "odoo", "oracle", "rest", "sap", "tryton"),
}


def protocols(group: str) -> list[str]:
    """Give the protocols of a group (`line`, `erp`): ours, and those registered in `andon.<group>`."""
    return sorted({*_OURS[group], *(entry.name for entry in entry_points(group=f"andon.{group}"))})


def settings_of(group: str, protocol: Any) -> Any | None:
    """Give the Settings type of a protocol, or None when nobody knows it."""
    if not isinstance(protocol, str) or not protocol.isidentifier() or protocol not in protocols(group):
        return None
    for entry in entry_points(group=f"andon.{group}"):
        if entry.name == protocol:
            return entry.load()
    return import_module(f"connectors.{group}.{protocol}").Settings
