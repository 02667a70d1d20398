"""OPC UA as every adapter speaks it: addresses, certificates and trust, secure channels, sessions."""
