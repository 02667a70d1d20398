"""What can be wrong before the first order: credentials, and the mapping against the ERP's own description."""

import typing
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Literal

from connectors.erp.mapping import TEXT, Body, Rule, parts
from connectors.erp.oauth import ClientCredentials, NoToken
from connectors.erp.rest.door import Door, Said
from connectors.erp.rest.plan import Metadata, Probe
from connectors.erp.rest.record import dig
from gateway.core.delivery import Rejected
from gateway.core.errors import Refused, Unreachable
from gateway.core.order import SourceRef, WorkOrder

NOBODY = "AN000000000000000000"
"""A key that no order has: asked for to see whether the ERP answers."""

Schema = Mapping[str, Any]
_KINDS: Mapping[type, str] = {str: "string", datetime: "string", bool: "boolean", int: "integer", float: "number"}
_KEY_LENGTH = 20
_DEEPEST = 20


async def credentials(tokens: ClientCredentials | None) -> list[str]:
    """Name a client that is not accepted. Raises `Unreachable`."""
    if tokens is None:
        return []
    try:
        await tokens.token()
    except NoToken as none:
        if none.refused:
            return [f"{none}; see client_id, client_secret, scope and audience"]
        raise
    return []


async def harmless(door: Door, probe: Probe, method: str, body: Body) -> list[str]:
    """Ask whether orders may be made, or try one out where nothing is made of it. Raises `Unreachable`."""
    told = f"{probe.method} {probe.path}"
    if probe.method in {"POST", "PUT", "PATCH"}:
        said = await door.write(probe, {"key": NOBODY}, body.of(_nobodys(probe.asset)), {})
        if not isinstance(said, Said):
            raise Unreachable(f"{told}: {said}")
        outcome = door.outcome(said, creates=False)
        if said.status < HTTPStatus.MULTIPLE_CHOICES:
            return []
        if isinstance(outcome, Rejected):
            return [f"an order is refused by {told}: {outcome.reason}"]
        raise Unreachable(f"{told}: the ERP answered {said.status}")
    try:
        said = await door.ask(probe, {"key": NOBODY})
    except Refused as no:
        return [f"{told} is refused: {no}"]
    allowed = said.header("allow")
    if probe.method == "OPTIONS" and allowed and method not in allowed.upper().replace(" ", "").split(","):
        return [f"{told} allows {allowed} only: orders may not be made"]
    return []


def _nobodys(asset: str) -> WorkOrder:
    """Make an order that nobody needs, for a dry run."""
    return WorkOrder(
        key=NOBODY,
        version=1,
        work_type="maintenance",
        activity="inspection",
        title="Andon checks the connection",
        description="Nothing is to be done.",
        language="en",
        hierarchy=(),
        asset=asset or None,
        component=None,
        priority=4,
        impact="incipient",
        asset_down=False,
        failure_mode="none",
        iso_mode="OTH",
        detection="check",
        detected_at=datetime(2026, 1, 1, tzinfo=UTC),
        source=SourceRef("report", "check"),
    )


async def described(door: Door, metadata: Metadata | None, rules: Mapping[str, Rule]) -> list[str]:
    """Compare the mapping with the ERP's description of an order, where it has one. Raises `Unreachable`."""
    if metadata is None:
        return []
    try:
        said = await door.ask(metadata, {})
    except Refused as no:
        return [f"there is no description of an order at {metadata.path}: {no}"]
    schema = dig(said.body, metadata.schema)
    if not isinstance(schema, Mapping) or "properties" not in resolved(schema, said.body):
        return [f"{metadata.path} has no schema with properties at {metadata.schema!r}; see metadata.schema"]
    return list(faults(schema, said.body, rules))


def resolved(schema: Schema, document: Schema) -> Schema:
    """Follow references inside the document, and put what `allOf` says together."""
    for _ in range(_DEEPEST):
        named = schema.get("$ref")
        if not isinstance(named, str) or not named.startswith("#/"):
            break
        found = dig(document, named[2:].replace("/", "."))
        schema = found if isinstance(found, Mapping) else {}
    several = schema.get("allOf")
    if not isinstance(several, list):
        return schema
    joined: dict[str, Any] = {"properties": {}, "required": []}
    for part in (*(one for one in several if isinstance(one, Mapping)), {**schema, "allOf": None}):
        one = resolved(part, document)
        joined["properties"] |= one.get("properties") or {}
        joined["required"] += one.get("required") or []
        joined |= {name: value for name, value in one.items() if name not in {"properties", "required"}}
    return joined


def faults(schema: Schema, document: Schema, rules: Mapping[str, Rule]) -> Iterator[str]:
    """Name every target that is not there or cannot hold what is sent, and what must be filled and is not."""
    schema = resolved(schema, document)
    for target, rule in rules.items():
        found = _property(schema, document, parts(target))
        if found is None:
            yield f"mapping.{target}: the ERP has no such field"
        else:
            yield from (f"mapping.{target}: {fault}" for fault in _misfits(found, rule))
    mapped = {parts(target)[0] for target in rules}
    for name in schema.get("required") or ():
        if name not in mapped:
            yield f"mapping.{name}: is missing, and the ERP takes no order without it"


def _property(schema: Schema, document: Schema, names: list[str]) -> Schema | None:
    """Give the schema of a field; {} where everything is taken, None where there is no such field."""
    for name in names:
        schema = resolved(schema, document)
        properties = schema.get("properties")
        others = schema.get("additionalProperties")
        if not isinstance(properties, Mapping) or name not in properties:
            free = others is True or isinstance(others, Mapping) or properties is None
            return {} if free and (schema.get("type") in (None, "object")) else None
        schema = properties[name] if isinstance(properties[name], Mapping) else {}
    return resolved(schema, document)


def _misfits(found: Schema, rule: Rule) -> Iterator[str]:
    values, whole = choices(rule)
    if found.get("readOnly") is True:
        yield "can only be read"
    kinds = found.get("type")
    taken = {kinds} if isinstance(kinds, str) else set(kinds or ())
    sent = {kind_of(value) for value in values} if whole else {_kind(rule)}
    for kind in sorted(one for one in sent if one):
        if taken and kind not in taken and not (kind == "integer" and "number" in taken):
            yield f"is {' or '.join(sorted(taken - {'null'}))} there, and {kind} is sent"
    allowed = found.get("enum")
    if isinstance(allowed, list):
        named = ", ".join(str(one) for one in allowed[:10])
        wrong = [str(value) for value in values if value not in allowed]
        if wrong:
            yield f"{', '.join(wrong)}: the ERP takes {named} only; see values"
        elif not values:
            yield f"the ERP takes {named} only; give values"
        return
    longest = found.get("maxLength")
    if not isinstance(longest, int):
        return
    too_long = [str(value) for value in values if len(str(value)) > longest]
    if too_long:
        yield f"{too_long[0]!r} is longer than {longest} characters"
    most = _longest(rule)
    if not whole and "string" in sent and (most is None or most > longest):
        yield f"holds {longest} characters: say max = {longest}" + (f" instead of {most}" if most else "")


def choices(rule: Rule) -> tuple[list[Any], bool]:
    """Give the values that a rule is known to send, and whether these are all."""
    if rule.constant is not None:
        return [rule.constant], True
    hint = _hint(str(rule.source))
    codes = [one for option in typing.get_args(hint) or (hint,) for one in _codes(option, hint)]
    if codes:
        sent = [rule.values.get(str(code).lower() if isinstance(code, bool) else str(code), code) for code in codes]
        return ([str(one) for one in sent] if rule.longest is not None else sent), True
    return list(rule.values.values()), False


def kind_of(value: Any) -> str:
    """Name a value as JSON Schema does."""
    return next((name for kind, name in _KINDS.items() if type(value) is kind), "")


def _codes(option: Any, hint: Any) -> tuple[Any, ...]:
    if typing.get_origin(hint) is Literal:
        return (option,)
    if typing.get_origin(option) is Literal:
        return typing.get_args(option)
    return (True, False) if option is bool else ()


def _hint(source: str) -> Any:
    return str if source == TEXT or "." in source else typing.get_type_hints(WorkOrder).get(source)


def _kind(rule: Rule) -> str:
    if rule.longest is not None:
        return "string"
    hint = _hint(str(rule.source))
    options = [one for one in typing.get_args(hint) or (hint,) if one is not type(None)]
    # A source inside another may be anything.
    return _KINDS.get(options[0], "") if len(options) == 1 and "." not in str(rule.source) else ""


def _longest(rule: Rule) -> int | None:
    return _KEY_LENGTH if rule.source == "key" and rule.longest is None else rule.longest
