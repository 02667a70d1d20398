"""What ISA-95 has no field for: the parameters of a job that carry the rest of a work order."""

from connectors.erp.mapping import Rule, Table

PARAMETERS: Table = {
    "description": Rule(source="description", longest=4000),
    "work_type": "work_type",
    "activity": "activity",
    "component": "component",
    "failure_mode": "failure_mode",
    "iso_mode": "iso_mode",
    "mechanism": "mechanism",
    "cause": "cause",
    "effect": "effect",
    "detection": "detection",
    "impact": "impact",
    "asset_down": "asset_down",
    "detected_at": "detected_at",
    "confidence": "diagnosis.confidence",
    "model": "diagnosis.model",
    "batch": "product.batch",
    "production_order": "product.order",
}
"""When the settings name none."""

LONGEST_TITLE = 200
MOST_EVIDENCE = 50
"""So many pieces of evidence are named in a job; the capsule has all."""
