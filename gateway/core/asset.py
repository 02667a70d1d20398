"""The plant: ISA-95 equipment hierarchy, and the nameplate data of an asset."""

from typing import Annotated, Literal
from zoneinfo import ZoneInfo

import msgspec

from gateway.core.reading import Name
from gateway.core.units import Wall

Positive = Annotated[float, msgspec.Meta(gt=0)]


class Bearing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Geometry of a rolling bearing. Diameters in millimetres, contact angle in degrees."""

    balls: Annotated[int, msgspec.Meta(ge=3, le=200)]
    ball_mm: Positive
    pitch_mm: Positive
    contact_deg: Annotated[float, msgspec.Meta(ge=0, lt=90)] = 0.0


class Shift(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A shift by local wall clock; `end` before `start` means that it runs past midnight."""

    name: Name
    start: Wall
    end: Wall


class Site(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One plant. `timezone` is an IANA name; `office_end` is local wall clock."""

    id: Name = "SITE"
    enterprise: Name = "ENTERPRISE"
    timezone: str = "UTC"
    office_end: Wall = Wall(17, 0)
    shifts: tuple[Shift, ...] = ()

    @property
    def zone(self) -> ZoneInfo:
        """The site's time zone."""
        return ZoneInfo(self.timezone)


class Asset(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A maintainable item (ISO 14224) with its place in the ISA-95 hierarchy.

    `speed_rpm` is the nameplate speed. `bearing` is a designation such as "6205" or a geometry.
    `kind` is what people call it ("press", "泵"); `criticality` A is the highest.
    """

    id: Name
    name: str = ""
    kind: str = ""
    area: str = ""
    line: str = ""
    aliases: tuple[str, ...] = ()
    criticality: Literal["A", "B", "C"] = "B"
    speed_rpm: Positive | None = None
    bearing: Bearing | str | None = None


class Plant(msgspec.Struct, frozen=True):
    """A site and its assets: what the language and the order need to know of the plant."""

    site: Site
    assets: tuple[Asset, ...]

    def asset(self, name: str) -> Asset | None:
        """Find an asset by its id."""
        return next((asset for asset in self.assets if asset.id == name), None)
