"""OPC UA: values, waveforms and thermal frames by subscription."""

from connectors.line.opcua.secured import User
from connectors.line.opcua.settings import SAMPLE, Settings

__all__ = ["SAMPLE", "Settings", "User"]
