"""The API's description: OpenAPI 3.1 and a page of it, offline."""

from typing import Any, cast

import msgspec
from litestar import Litestar, Request, Router
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin, OpenAPIRenderPlugin
from litestar.openapi.spec import (
    Components,
    OpenAPIMediaType,
    OpenAPIResponse,
    Operation,
    RequestBody,
    Schema,
    SecurityRequirement,
    SecurityScheme,
)

from gateway.web.problems import MEDIA_TYPE, Problem

_REF = "#/components/schemas/{name}"
_ERRORS = {
    400: "The request is not as it should be; every faulty field is named.",
    401: "No token, or one that is not valid.",
    403: "The token lacks the scope.",
    404: "There is nothing of that name.",
    409: "The same id was used for something else.",
    413: "Too large.",
    415: "Not a media type that is taken.",
    422: "Understood, and refused.",
    503: "Ask again after Retry-After.",
    504: "Nobody knows whether it was done: look before you ask again.",
    507: "No room; nothing was stored. Ask again after Retry-After.",
}
_WRITES = {413, 415, 409, 422, 507}


class Page(OpenAPIRenderPlugin):
    """The description as a page: the template of the operator's pages, no script."""

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        """Render the page."""
        return cast(bytes, request.app.state.pages.docs(request, openapi_schema))


def config(version: str) -> OpenAPIConfig:
    """Describe the API as a whole."""
    return OpenAPIConfig(
        title="Andon",
        version=version,
        description="The gateway between a production line and the ERP. Errors are RFC 9457 problem details.",
        use_handler_docstrings=True,
        openapi_router=Router("/schema", route_handlers=[], include_in_schema=False, opt={"scope": "public"}),
        render_plugins=[Page(path="/", favicon=""), JsonRenderPlugin(path="/openapi.json")],
        components=Components(
            security_schemes={"bearer": SecurityScheme(type="http", scheme="bearer", bearer_format="JWT")}
        ),
    )


def complete(app: Litestar) -> None:
    """Add what Litestar cannot see: bodies that the handlers read themselves, problems, scopes."""
    operations, anonymous = list(_operations(app)), set(app.state.pages.gateway.api.anonymous)
    kinds = {kind for _, opt in operations for kind in (opt.get("body"), opt.get("form")) if kind is not None}
    _, found = msgspec.json.schema_components(
        [Problem, *sorted(kinds, key=lambda kind: kind.__name__)], ref_template=_REF
    )
    held = app.openapi_schema.components
    if held is not None:
        held.schemas = {**(held.schemas or {}), **cast(dict[str, Schema], found)}
    for operation, opt in operations:
        _bodies(operation, opt)
        _problems(operation, opt, anonymous)


def _operations(app: Litestar) -> Any:
    for path, item in (app.openapi_schema.paths or {}).items():
        for method in ("get", "post"):
            operation = getattr(item, method)
            if operation is not None:
                yield operation, _opt_of(app, path, method.upper())


def _opt_of(app: Litestar, path: str, method: str) -> dict[str, Any]:
    for route in app.routes:
        if "/".join(part.partition(":")[0] + "}" if ":" in part else part for part in route.path_format.split("/")) in {
            path,
            path.rstrip("/"),
        }:
            for handler in getattr(route, "route_handlers", ()):
                if method in handler.http_methods:
                    return cast(dict[str, Any], handler.opt)
    return {}


def _bodies(operation: Operation, opt: dict[str, Any]) -> None:
    if "body" not in opt:
        return
    content = {"application/json": _ref(opt["body"].__name__)}
    if "form" in opt:
        content["multipart/form-data"] = _ref(opt["form"].__name__)
    operation.request_body = RequestBody(content=content, required=True)


def _problems(operation: Operation, opt: dict[str, Any], anonymous: set[str]) -> None:
    scope = opt.get("scope", "")
    wanted = {400, 503}
    if "body" in opt:
        wanted |= _WRITES
    if scope not in {"public", "signed"}:
        wanted |= {401, 403}
        free: list[SecurityRequirement] = [{}] if scope in anonymous else []
        operation.security = [*free, {"bearer": [scope]}]
    if scope == "signed":
        wanted |= {401, 404}
    if scope == "line:write":
        wanted.add(504)
    if any(getattr(parameter, "param_in", "") == "path" for parameter in operation.parameters or ()):
        wanted.add(404)
    wanted |= set(opt.get("also", ()))
    operation.responses = dict(operation.responses or {})
    for code in sorted(wanted):
        operation.responses[str(code)] = OpenAPIResponse(
            description=_ERRORS[code], content={MEDIA_TYPE: _ref("Problem")}
        )


def _ref(name: str) -> OpenAPIMediaType:
    return OpenAPIMediaType(schema=cast(Schema, {"$ref": _REF.format(name=name)}))
