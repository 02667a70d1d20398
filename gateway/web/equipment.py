"""The equipment: alarms and conditions, declared write targets, writing."""

from collections.abc import Sequence
from typing import Any

import msgspec
from litestar import Request, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath

from gateway.core.batch import Condition
from gateway.core.reading import Moment, Value
from gateway.flow.write import write_target
from gateway.runtime.gateway import Gateway
from gateway.web.auth import caller_of
from gateway.web.bodies import read


class ConditionNow(msgspec.Struct, frozen=True):
    """A condition and the line that told it."""

    line: str
    condition: Condition


class Conditions(msgspec.Struct, frozen=True):
    """What the equipment wants looked at."""

    items: Sequence[ConditionNow]


class TargetName(msgspec.Struct, frozen=True):
    """A write target that the settings declare."""

    line: str
    target: str


class TargetNames(msgspec.Struct, frozen=True):
    """All that can be written."""

    items: Sequence[TargetName]


class WriteBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The values to write, in the order that the target declares. Nothing is coerced: 1 is no text, "1" no number."""

    values: tuple[Value, ...]


class Written(msgspec.Struct, frozen=True):
    """It was written; `answer` is what a method gave back."""

    line: str
    target: str
    answer: Sequence[Value]
    at: Moment


@get("/line/conditions", opt={"scope": "read", "reach": "everywhere"})
async def conditions(gateway: NamedDependency[Gateway]) -> Conditions:
    """List the alarms and conditions that the equipment wants looked at."""
    return Conditions([ConditionNow(line, one) for line, one in gateway.equipment.conditions()])


@get("/line/targets", opt={"scope": "read", "reach": "everywhere"})
async def targets(gateway: NamedDependency[Gateway]) -> TargetNames:
    """List the write targets that the settings declare; nothing else can be written."""
    return TargetNames([TargetName(line, target) for line, target in gateway.equipment.targets()])


@post(
    "/line/{line:str}/write/{target:str}",
    status_code=200,
    opt={"scope": "line:write", "reach": "everywhere", "once": "never", "body": WriteBody},
)
async def write(
    request: Request[Any, Any, Any], gateway: NamedDependency[Gateway], line: FromPath[str], target: FromPath[str]
) -> Written:
    """Write to a declared target, with an audit line before and after. Always needs a token; is never sent twice."""
    body = await read(request, WriteBody, limit=gateway.api.max_body)
    actor = caller_of(request).subject
    answer = await write_target(gateway.store, gateway.equipment.write, line, target, body.values, actor, gateway.now)
    return Written(line, target, answer, gateway.now())
