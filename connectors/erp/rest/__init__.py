"""Any ERP with a REST interface that speaks JSON: five ways to make sure that an order is there once."""

from connectors.erp.rest.samples import SAMPLE
from connectors.erp.rest.settings import Settings

__all__ = ["SAMPLE", "Settings"]
