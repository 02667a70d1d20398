"""What the gateway does: pure steps and small loops over ports."""
