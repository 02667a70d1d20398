"""SAP S/4HANA over OData V2: a notification with our key, then the order from it. Documented, not certified."""

from connectors.erp.sap.settings import SAMPLE, Settings

__all__ = ["SAMPLE", "Settings"]
