"""ERPNext and other Frappe sites: an order is a document whose name is our key. Documented, not certified."""

from connectors.erp.frappe.settings import SAMPLE, Settings

__all__ = ["SAMPLE", "Settings"]
