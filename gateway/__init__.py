"""Andon: the open gateway between a production line and the ERP/MES."""
