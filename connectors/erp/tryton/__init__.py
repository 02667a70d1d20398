"""Tryton over its own REST: an order is a quality alert, or whatever record the settings say."""

from connectors.erp.tryton.settings import SAMPLE, Settings

__all__ = ["SAMPLE", "Settings"]
