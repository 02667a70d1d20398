"""What can be wrong before the first order: properties, lengths of codes, dates that SAP computes itself."""

from collections.abc import Mapping

from connectors.erp.mapping import Body
from connectors.erp.sap.values import Property


def wrong(service: str, known: Mapping[str, Property], body: Body) -> list[str]:
    """Name what is wrong with the mapping of one service."""
    if not known:
        return [f"{service}: its $metadata names no entity of ours; is the service activated?"]
    found = [f"mapping.{name}: {service} has no such property" for name in body.rules if name not in known]
    for name, rule in body.rules.items():
        longest = known[name].longest if name in known else None
        values = (*rule.values.values(), *([] if rule.constant is None else [rule.constant]))
        found += [
            f"mapping.{name}: {value!r} is longer than {longest} characters"
            for value in values
            if longest is not None and len(str(value)) > longest
        ]
    dates = [name for name in body.rules if name.startswith(("RequiredStart", "RequiredEnd"))]
    if dates and "MaintPriority" in body.rules:
        found.append(f"mapping.{dates[0]}: SAP computes it from MaintPriority; send one of both")
    return found
