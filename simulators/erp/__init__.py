"""A simulated ERP with its own database and authorization server: `python -m simulators.erp`."""
