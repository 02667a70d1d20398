"""The vocabulary and the ports: stdlib and msgspec only."""
