"""ERP and MES adapters."""
