"""What an order of the generic profile may hold, as JSON Schema, and what is wrong with one that does not."""

from typing import Any

LIMITS = {
    "reference": 20,
    "title": 80,
    "description": 4000,
    "equipment": 40,
    "component": 60,
    "failure_code": 40,
    "number": 20,
}
_TEXTS = (
    *("type", "activity", "impact", "location", "failure_text", "cause", "mechanism", "effect", "detection"),
    *("action", "detected_at", "required_start", "due", "material", "batch", "production_order", "language"),
    *("source", "source_id", "reporter", "model", "work_center", "plant", "iso_mode"),
)
SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Order",
    "type": "object",
    "additionalProperties": False,
    "required": ["title"],
    "properties": {
        **{name: {"type": "string"} for name in _TEXTS},
        **{name: {"type": "string", "maxLength": limit} for name, limit in LIMITS.items()},
        "priority": {"type": "integer", "enum": [1, 2, 3, 4]},
        "equipment_down": {"type": "boolean"},
        "quantity": {"type": "number"},
        "confidence": {"type": "number"},
        "version": {"type": "integer"},
        "attachments": {"type": "array"},
        "evidence": {"type": "array"},
    },
}
FIELDS = frozenset(SCHEMA["properties"])


def wrong(body: dict[str, Any], *, whole: bool = True) -> list[dict[str, str]]:
    """Name every field that is too long, and where it is the whole order what is missing."""
    faults = [
        {"field": name, "detail": f"at most {limit} characters"}
        for name, limit in LIMITS.items()
        if body.get(name) is not None and len(str(body[name])) > limit
    ]
    if not body.get("title") and (whole or "title" in body):
        faults.append({"field": "title", "detail": "is required"})
    if body.get("priority", 3) not in (1, 2, 3, 4):
        faults.append({"field": "priority", "detail": "is 1 to 4"})
    return faults
