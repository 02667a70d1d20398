"""Oracle Fusion Maintenance over its REST framework. Documented, not certified."""

from connectors.erp.oracle.settings import SAMPLE, Settings

__all__ = ["SAMPLE", "Settings"]
