"""A MES that takes job orders in B2MML-JSON (V0700) over HTTP. Documented, not certified."""

from connectors.erp.b2mml.settings import SAMPLE, Settings

__all__ = ["SAMPLE", "Settings"]
