"""The operator's pages and their live parts."""

import hashlib
from datetime import datetime
from importlib import resources
from typing import Any, Literal, get_args
from urllib.parse import urlsplit

import jinja2
import msgspec
from litestar import Request, Response, get, post
from litestar.datastructures import Cookie
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery
from litestar.response import Redirect, Stream

from gateway.core.order import WorkOrder
from gateway.core.ports import StoredOrder, StoredReport, Tx
from gateway.core.report import SlotName
from gateway.flow.redeliver import may_go_again
from gateway.flow.withdraw import may_be_taken_back
from gateway.runtime.gateway import Gateway
from gateway.web.pages.stream import Streams
from gateway.web.pages.views import equipment, overview, pieces, shares_of, steps_of
from gateway.web.pages.words import Words, catalogue, language_of
from gateway.web.problems import Wrong

_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
SLOTS: tuple[str, ...] = get_args(SlotName)
_YEAR_S = 31_536_000
_VERSIONS = 10
"""Versions of an order that its page lists, the newest first."""
_OF_ASSET = {"gauges", "failing", "side", "log"}
_WHOLE = {"tiles", "episodes", "orders", "review", "nav"}
_PAGES = resources.files("gateway.web.pages")


class Pages:
    """Templates, words and static files, read once."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self._chinese = catalogue()
        self.static = {
            file.name: file.read_bytes()
            for file in (_PAGES / "static").iterdir()
            if "." + file.name.rpartition(".")[2] in _TYPES
        }
        self.build = hashlib.sha256(b"".join(self.static[name] for name in sorted(self.static))).hexdigest()[:10]
        self._templates = jinja2.Environment(
            loader=jinja2.FunctionLoader(_source), autoescape=True, undefined=jinja2.StrictUndefined
        )
        zone = gateway.plant.site.zone
        self._templates.filters["clock"] = lambda at: at.astimezone(zone).strftime("%H:%M:%S")
        self._templates.filters["moment"] = lambda at: at.astimezone(zone).strftime("%Y-%m-%d %H:%M")
        self._templates.filters["span"] = lambda start, end: _span(start.astimezone(zone), end.astimezone(zone))
        self._templates.filters["iso"] = datetime.isoformat
        self._templates.filters["number"] = _number

    def html(
        self, request: Request[Any, Any, Any], template: str, *, path: str = "", **values: object
    ) -> Response[bytes]:
        """Render a page in the reader's language and theme."""
        words = Words(language_of(request.cookies.get("lang"), request.headers.get("accept-language")), self._chinese)
        theme = request.cookies.get("theme", "auto")
        text = self._templates.get_template(template).render(
            t=words,
            code=words.code,
            lang=words.language,
            theme=theme if theme in {"light", "dark"} else "auto",
            path=path or request.url.path,
            build=self.build,
            site=self.gateway.plant.site.id,
            gateway=self.gateway,
            ruling="review:write" in self.gateway.api.anonymous,  # a browser sends no token
            changing="orders:write" in self.gateway.api.anonymous,
            slots={name: words(name.replace("_", " ") if words.language == "en" else name) for name in SLOTS},
            **values,
        )
        return Response(text.encode(), media_type="text/html", headers={"Cache-Control": "no-store"})

    def docs(self, request: Request[Any, Any, Any], schema: dict[str, Any]) -> bytes:
        """Render the API's description."""
        return self.html(request, "docs.html", schema=schema, seen=None).content


def _source(name: str) -> str:
    return (_PAGES / "templates" / name).read_text("utf-8")


def _span(start: datetime, end: datetime) -> str:
    """Write a span to the second; the day of its end only where it is another one."""
    day = "" if start.date() == end.date() else f"{end:%Y-%m-%d} "
    return f"{start:%Y-%m-%d %H:%M:%S} – {day}{end:%H:%M:%S}"


def _number(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "–" if value is None else str(value)
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"  # noqa: PLR2004  (three figures are enough)


@get("/", opt={"scope": "public"}, include_in_schema=False)
async def home() -> Redirect:
    """Lead to the line."""
    return Redirect("/ui/line")


@get(["/ui", "/ui/line"], opt={"scope": "read", "reach": "everywhere"}, include_in_schema=False)
async def line(request: Request[Any, Any, Any], pages: NamedDependency[Pages]) -> Response[bytes]:
    """Show the line: every asset, the troubles and the latest orders."""
    return pages.html(request, "line.html", seen=await overview(pages.gateway), it=None)


@get("/ui/equipment/{name:str}", opt={"scope": "read", "reach": "everywhere"}, include_in_schema=False)
async def asset(request: Request[Any, Any, Any], pages: NamedDependency[Pages], name: FromPath[str]) -> Response[bytes]:
    """Show one asset."""
    seen = await overview(pages.gateway)
    found = await equipment(pages.gateway, name, seen)
    if found is None:
        raise Wrong(404, "no such asset")
    return pages.html(request, "equipment.html", seen=seen, it=found)


@get("/ui/orders", opt={"scope": "read", "reach": "everywhere"}, include_in_schema=False)
async def orders(request: Request[Any, Any, Any], pages: NamedDependency[Pages]) -> Response[bytes]:
    """Show the orders with their delivery."""
    return pages.html(request, "orders.html", seen=await overview(pages.gateway, limit=300))


@get("/ui/orders/{key:str}", opt={"scope": "read", "reach": "everywhere"}, include_in_schema=False)
async def order(request: Request[Any, Any, Any], pages: NamedDependency[Pages], key: FromPath[str]) -> Response[bytes]:
    """Show one order, what it came from and where it went."""

    def look(tx: Tx) -> tuple[StoredOrder | None, StoredReport | None, Any, list[WorkOrder]]:
        held = tx.order(key)
        if held is None:
            return None, None, None, []
        told = tx.report(held.order.source.id) if held.order.source.kind == "report" else None
        newest = held.delivery.version
        numbers = range(newest, max(0, newest - _VERSIONS), -1) if newest > 1 else ()
        versions = [one for number in numbers if (one := tx.order_version(key, number)) is not None]
        return held, told, tx.episode(key), versions

    held, told, episode, versions = await pages.gateway.store.read(look)
    if held is None:
        raise Wrong(404, "no such order")
    return pages.html(
        request,
        "order.html",
        seen=await overview(pages.gateway),
        held=held,
        told=told,
        pieces=pieces(told) if told is not None else [],
        steps=steps_of(held, episode),
        versions=versions,
        again=may_go_again(held),
        back=may_be_taken_back(held, pages.gateway.takes_nothing_back),
        shares=shares_of(held.order.diagnosis) if held.order.diagnosis is not None else [],
        body=msgspec.json.format(msgspec.json.encode(held.order), indent=2).decode(),
    )


@get("/ui/review", opt={"scope": "read", "reach": "everywhere"}, include_in_schema=False)
async def review(request: Request[Any, Any, Any], pages: NamedDependency[Pages]) -> Response[bytes]:
    """Show the reports that wait for a person."""
    return pages.html(request, "review.html", seen=await overview(pages.gateway), cut=pieces)


@get("/q/{name:str}", opt={"scope": "read", "reach": "everywhere"}, include_in_schema=False)
async def quick(request: Request[Any, Any, Any], pages: NamedDependency[Pages], name: FromPath[str]) -> Response[bytes]:
    """Show the report box for the asset whose code was scanned."""
    if pages.gateway.plant.asset(name) is None:
        raise Wrong(404, "no such asset")
    return pages.html(request, "quick.html", seen=await overview(pages.gateway), chosen=name)


@get("/ui/part/{name:str}", opt={"scope": "read", "reach": "everywhere"}, include_in_schema=False)
async def part(
    request: Request[Any, Any, Any],
    pages: NamedDependency[Pages],
    name: FromPath[
        Literal["tiles", "alarms", "episodes", "orders", "review", "gauges", "failing", "side", "log", "nav"]
    ],
    of: FromQuery[str | None] = None,
) -> Response[bytes]:
    """Give one live part of a page, as it is now; `of` is the asset, or for the navigation the page's path."""
    seen = await overview(pages.gateway, limit=300 if name == "orders" else 100)
    found = await equipment(pages.gateway, of or "", seen) if name not in _WHOLE else None
    if name in _OF_ASSET and found is None:
        raise Wrong(404, "no such asset")
    return pages.html(request, f"part_{name}.html", path=of or "", seen=seen, it=found, cut=pieces)


@get("/ui/stream", opt={"scope": "read", "reach": "everywhere", "stream": True}, include_in_schema=False)
async def stream(streams: NamedDependency[Streams], asset_name: FromQuery[str | None] = None) -> Stream:
    """Give the live stream: the line once a second, and one asset's drawings when `asset_name` is given."""
    streams.check_room()
    return Stream(
        streams.events(asset_name),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


@post("/ui/settings", opt={"scope": "public"}, include_in_schema=False, status_code=303)
async def settings(request: Request[Any, Any, Any]) -> Redirect:
    """Keep the language or the theme in a cookie and go back to a page of ours."""
    form = await request.form()
    back = str(form.get("back", "/ui/line"))
    parts = urlsplit(back)
    local = not parts.scheme and not parts.netloc and back.startswith("/") and not back.startswith(("//", "/\\"))
    known = {"lang": {"zh", "en"}, "theme": {"light", "dark", "auto"}}
    cookies = [
        Cookie(key=name, value=str(form[name]), max_age=_YEAR_S, httponly=True, samesite="lax", path="/")
        for name, values in known.items()
        if str(form.get(name, "")) in values
    ]
    return Redirect(back if local else "/ui/line", status_code=303, cookies=cookies)


@get("/static/{build:str}/{name:str}", opt={"scope": "public"}, include_in_schema=False)
async def static(pages: NamedDependency[Pages], build: FromPath[str], name: FromPath[str]) -> Response[bytes]:
    """Give a script, a style or a picture; its address changes with its content."""
    if name not in pages.static or build != pages.build:
        raise Wrong(404, "no such file")
    return Response(
        pages.static[name],
        media_type=_TYPES["." + name.rpartition(".")[2]],
        headers={"Cache-Control": f"public, max-age={_YEAR_S}, immutable"},
    )


HANDLERS = [home, line, asset, orders, order, review, quick, part, stream, settings, static]
