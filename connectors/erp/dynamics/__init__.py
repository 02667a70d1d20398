"""Dynamics 365 Field Service over the Dataverse Web API. Documented, not certified."""

from connectors.erp.dynamics.settings import SAMPLE, Settings

__all__ = ["SAMPLE", "Settings"]
