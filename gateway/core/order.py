"""The work order (ISA-95, ISO 14224, EN 13306) and its business key."""

import base64
import hmac
from datetime import datetime
from typing import Literal

import msgspec

from gateway.core.diagnosis import Diagnosis, Evidence

_CROCKFORD = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", "0123456789ABCDEFGHJKMNPQRSTVWXYZ")

Activity = Literal["corrective-immediate", "corrective-deferred", "condition-based", "predictive", "inspection"]


class Level(msgspec.Struct, frozen=True, gc=False):
    """One level of the ISA-95 equipment hierarchy."""

    level: Literal["enterprise", "site", "area", "line", "work_unit"]
    id: str


class ProductRef(msgspec.Struct, frozen=True, gc=False):
    """The goods that the trouble is about."""

    material: str | None = None
    batch: str | None = None
    order: str | None = None
    quantity: int | None = None


class SourceRef(msgspec.Struct, frozen=True, gc=False):
    """Where the order comes from: an episode of a machine, or a report of a person."""

    kind: Literal["machine", "report"]
    id: str


class WorkOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the ERP is asked to do about one trouble.

    `failure_mode` is the most specific name that the source gave (a machine condition such as
    `bearing_outer_race`, or a code of a report); `iso_mode` is the ISO 14224 failure mode. Priority
    1 is an emergency, 4 is low. Times are aware UTC. No person's name stands in any field. `capsule` is the
    sha256 (hex) of the capsule that this version stands on (see `gateway.core.capsule`); None for an order that was
    made before there were any.
    """

    key: str
    version: int
    schema: Literal["andon.workorder/1"] = "andon.workorder/1"
    work_type: Literal["maintenance", "quality"]
    activity: Activity
    title: str
    description: str
    language: Literal["zh", "en"]
    hierarchy: tuple[Level, ...]
    asset: str | None
    component: str | None
    priority: Literal[1, 2, 3, 4]
    impact: Literal["critical", "degraded", "incipient"]
    asset_down: bool
    failure_mode: str
    iso_mode: str
    mechanism: str | None = None
    cause: str | None = None
    effect: str | None = None
    detection: str
    action: str | None = None
    detected_at: datetime
    required_start: datetime | None = None
    due: datetime | None = None
    product: ProductRef | None = None
    diagnosis: Diagnosis | None = None
    evidence: tuple[Evidence, ...] = ()
    capsule: str | None = None
    reporter: str = ""
    source: SourceRef
    status: str = "Waiting"
    config: str = ""

    @property
    def lane(self) -> str:
        """Orders of one lane are never in flight together; without an asset the order is its own lane."""
        return self.asset or self.key


def business_key(secret: bytes, *facts: str) -> str:
    """Give one key per tuple of facts: `AN` and 90 bits of HMAC-SHA-256 in Crockford base32.

    20 characters, because SAP's reference field holds 20. JSON keeps the facts apart.
    """
    digest = hmac.digest(secret, msgspec.json.encode(facts), "sha256")
    return "AN" + base64.b32encode(digest).decode().translate(_CROCKFORD)[:18]
