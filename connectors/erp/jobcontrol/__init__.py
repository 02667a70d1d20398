"""A machine or MES as the receiver of jobs: OPC UA ISA-95 Job Control (OPC 10031-4)."""

from connectors.erp.jobcontrol.settings import SAMPLE, Settings

__all__ = ["SAMPLE", "Settings"]
