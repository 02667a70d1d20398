"""MQTT: plain topics and Sparkplug B, acknowledged after the commit."""

from connectors.line.mqtt.settings import SAMPLE, Broker, Topic
from gateway.core.ports import LineSource

__all__ = ["SAMPLE", "Settings", "Topic"]


class Settings(Broker, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One MQTT broker, as `Broker` says."""

    def open(self) -> LineSource:
        """Make the source; it connects when its first batch is asked for. Raises `Misconfigured`."""
        from connectors.line.mqtt.source import Mqtt  # noqa: PLC0415 (paho only where it is used)

        if self.user is not None:
            self.user.password.reveal()
        return Mqtt(self, self.every_tag())
