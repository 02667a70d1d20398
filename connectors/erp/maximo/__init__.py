"""IBM Maximo Manage over its REST/JSON API. Documented, not certified."""

from connectors.erp.maximo.settings import SAMPLE, Settings

__all__ = ["SAMPLE", "Settings"]
