"""Quality reports: words in, and what became of them."""

import base64
import binascii
import hashlib
import json
import uuid
from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, Any
from urllib.parse import quote

import msgspec
from litestar import Request, Response, get, post
from litestar.datastructures import UploadFile
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, QueryParameter

from gateway.core.ports import StoredReport
from gateway.core.reading import Moment, Name
from gateway.core.report import QualityReport, Route
from gateway.flow.receive import Photo, take_report
from gateway.runtime.gateway import Gateway
from gateway.web.auth import caller_of, reaches
from gateway.web.bodies import convert, decode, raw
from gateway.web.masking import shown
from gateway.web.photo import look_at
from gateway.web.problems import Denied, FieldFault, Wrong

Limit = Annotated[int, QueryParameter(ge=1, le=500)]
ReportId = Annotated[str, msgspec.Meta(max_length=128, pattern=r"^[^\s/\\\x00-\x1f\x7f]+$")]
_SHORTEST_KEY = 8
_LONGEST_KEY = 128
_PARTS = 12
_AHEAD = timedelta(hours=1)
"""No clock of a person is this far ahead and right; what is due counts from it."""


class PhotoIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A photo in JSON: `base64` holds the picture, or `sha256` names one that is already stored."""

    base64: str | None = None
    sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")] | None = None

    def __post_init__(self) -> None:
        if (self.base64 is None) == (self.sha256 is None):
            raise ValueError("give base64 or sha256")


class ReportIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A quality report. `id` makes sending it again safe (as does the header Idempotency-Key).

    `asset_hint` is another name of `asset`. `reported_at` lies at most an hour ahead; without it, it is now.
    """

    text: Annotated[str, msgspec.Meta(min_length=1, max_length=10_000, pattern=r"\S")]
    id: ReportId | None = None
    asset: Name | None = None
    asset_hint: Name | None = None
    reported_at: Moment | None = None
    photo: PhotoIn | None = None


class ReportForm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The same as a form; the part `photo` is the picture itself."""

    text: Annotated[str, msgspec.Meta(min_length=1, max_length=10_000, pattern=r"\S")]
    id: ReportId | None = None
    asset: Name | None = None
    asset_hint: Name | None = None
    reported_at: Moment | None = None


class ReportTaken(msgspec.Struct, frozen=True):
    """The report is on disk under this id; ask `href` what became of it."""

    id: str
    received_at: Moment
    href: str


class Reports(msgspec.Struct, frozen=True):
    """Reports, newest first."""

    items: Sequence[StoredReport]


@post(
    "/reports",
    status_code=202,
    opt={"scope": "reports:write", "reach": "own", "once": "again", "body": ReportIn, "form": ReportForm},
)
async def submit(request: Request[Any, Any, Any], gateway: NamedDependency[Gateway]) -> Response[ReportTaken]:
    """Take a report in; 202 means that it is on disk. The same id again gives the same answer."""
    given, picture = await _read(request, gateway)
    check(gateway, given, known=True)
    if not reaches(gateway, caller_of(request), given.asset or given.asset_hint):
        raise Denied(403, "name an asset of the token's lines", error="insufficient_scope")
    photo = await look_at(picture) if picture is not None else None
    return await taken(request, gateway, given, photo, "api")


def check(gateway: Gateway, given: ReportIn, *, known: bool) -> None:
    """Look for what the fields' types cannot say. Raises `Wrong` 400 that names every faulty field.

    `known`: the asset must be one of the settings.
    """
    faults = []
    if given.reported_at is not None and given.reported_at > gateway.now() + _AHEAD:
        faults.append(FieldFault("reported_at", "lies more than an hour in the future"))
    if None not in {given.asset, given.asset_hint} and given.asset != given.asset_hint:
        faults.append(FieldFault("asset_hint", "says another asset than the field asset"))
    for name in ("asset", "asset_hint") if known else ():
        asset = getattr(given, name)
        if asset is not None and gateway.plant.asset(asset) is None:
            faults.append(FieldFault(name, "no such asset"))
    if faults:
        raise Wrong(400, "the request is not as it should be", tuple(faults))


async def taken(
    request: Request[Any, Any, Any], gateway: Gateway, given: ReportIn, photo: Photo | None, channel: str
) -> Response[ReportTaken]:
    """Store a report and answer; shared by the doors that a report can come through."""
    report = QualityReport(
        id=given.id or _name_of(request),
        text=given.text,
        reported_at=given.reported_at or gateway.now(),
        asset_hint=given.asset or given.asset_hint,
        photo=given.photo.sha256 if given.photo is not None else None,
        channel=channel,
    )
    kept = await take_report(gateway.store, report, photo, gateway.now)
    if not kept.repeated:
        gateway.telemetry.reports.labels(channel).inc()
        gateway.wake_words()
    href = f"/api/v1/reports/{quote(kept.id, safe='')}"
    headers = {"Location": href} | ({"Idempotent-Replayed": "true"} if kept.repeated else {})
    return Response(ReportTaken(kept.id, kept.received_at, href), status_code=202, headers=headers)


@get("/reports", opt={"scope": "read", "reach": "everywhere"})
async def reports(
    gateway: NamedDependency[Gateway], route: FromQuery[Route | None] = None, limit: Limit = 100
) -> Reports:
    """List reports with what was read out of them and the order that they led to."""
    held = await gateway.store.read(lambda tx: tx.reports(route=route, limit=limit))
    return Reports([shown(row) for row in held])


@get("/reports/{name:str}", opt={"scope": "read", "reach": "everywhere"}, raises=[])
async def report(gateway: NamedDependency[Gateway], name: FromPath[str]) -> StoredReport:
    """Show one report."""
    found = await gateway.store.read(lambda tx: tx.report(name))
    if found is None:
        raise Wrong(404, "no such report")
    return shown(found)


async def _read(request: Request[Any, Any, Any], gateway: Gateway) -> tuple[ReportIn, bytes | None]:
    kind = request.content_type[0]
    most_photo = gateway.api.max_photo
    if kind == "application/json":
        given = decode(await raw(request, gateway.api.max_body + most_photo * 4 // 3), ReportIn)
        return given, picture_of(given.photo, most_photo)
    if kind == "multipart/form-data":
        form = await _form(request, gateway.api.max_body + most_photo)
        photo = form.pop("photo", None)
        picture = await photo.read() if isinstance(photo, UploadFile) else None
        if picture is not None and len(picture) > most_photo:
            raise Wrong(413, f"a photo of at most {most_photo} bytes")
        said = convert({name: value for name, value in form.items() if value != ""}, ReportForm)
        return ReportIn(**msgspec.structs.asdict(said)), picture or None
    raise Wrong(415, "send application/json or multipart/form-data")


async def _form(request: Request[Any, Any, Any], most: int) -> dict[str, Any]:
    said = request.headers.get("content-length", "")
    if not said.isdigit():
        raise Wrong(411, "a form needs a Content-Length")
    if int(said) > most:
        raise Wrong(413, f"at most {most} bytes")
    form = await request.form()
    names = list(form.keys())
    if len(set(names)) != len(names) or len(names) > _PARTS:
        raise Wrong(400, "each field once")
    return dict(form.items())


def picture_of(photo: PhotoIn | None, most: int) -> bytes | None:
    """Give the bytes of a photo that came in JSON. Raises `Wrong` 400 or 413."""
    if photo is None or photo.base64 is None:
        return None
    try:
        content = base64.b64decode(photo.base64, validate=True)
    except (binascii.Error, ValueError) as bad:
        raise Wrong(400, "the photo cannot be taken", (FieldFault("photo.base64", "not base64"),)) from bad
    if len(content) > most:
        raise Wrong(413, f"a photo of at most {most} bytes")
    return content


def _name_of(request: Request[Any, Any, Any]) -> str:
    """Name a report after its Idempotency-Key and sender, so that sending again finds it; else a new name."""
    key = request.headers.get("idempotency-key")
    if key is None:
        return f"R-{uuid.uuid4().hex[:20]}"
    bare = key.strip().removeprefix('"').removesuffix('"')
    if not _SHORTEST_KEY <= len(bare) <= _LONGEST_KEY:
        raise Wrong(400, f"Idempotency-Key: {_SHORTEST_KEY} to {_LONGEST_KEY} characters")
    caller = caller_of(request)
    facts = json.dumps([caller.issuer, caller.subject, bare])
    return f"R-{hashlib.sha256(facts.encode()).hexdigest()[:20]}"
