"""Settings, wiring, supervision, logs, telemetry."""
