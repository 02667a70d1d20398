"""Odoo over JSON-2: an order is a maintenance request, made or found by our own external id."""

from connectors.erp.odoo.settings import SAMPLE, Settings

__all__ = ["SAMPLE", "Settings"]
