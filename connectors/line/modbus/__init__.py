"""Modbus TCP: polled registers and coils, packed into few reads."""

from connectors.line.modbus.settings import SAMPLE, Register, Settings

__all__ = ["SAMPLE", "Register", "Settings"]
