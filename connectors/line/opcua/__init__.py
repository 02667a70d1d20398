"""OPC UA: values, waveforms and thermal frames by subscription."""

from connectors.line.opcua.settings import SAMPLE, Settings, User

__all__ = ["SAMPLE", "Settings", "User"]
