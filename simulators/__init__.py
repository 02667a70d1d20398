"""The outside world: machines, cameras, an oven, an ERP. Imports nothing of the gateway."""
