"""The part of `andon.toml` about work orders: keys, patience, false alarms, how often the ERP is asked."""

from typing import Annotated, Literal

import msgspec

from gateway.core.secret import SecretRef
from gateway.core.units import Duration

_LONGEST_FALSE = _LONGEST_FOLLOW = 24 * 3600.0
ClosingCode = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]


class OrderSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Work orders. `secret` makes the business keys the same on two gateways; without it each store has its own.

    A machine's trouble that nobody else told of, that was never severe and is over within `false_alarm_within` of its
    first sign was a false alarm: its order is taken back ("0s": never). `false_codes` are the ERP's closing
    codes that say so of an order that was looked into. `follow` is how often the ERP is asked how a young order
    stands (an old one: once an hour), `follow_for` for how long. While the ERP's own metadata say that the mapping
    cannot be, orders wait (`verify = "wait"`) or go out all the same ("warn").
    """

    erp: str | None = None
    language: Literal["zh", "en"] = "en"
    secret: SecretRef | None = None
    give_up_after: Duration = Duration(72 * 3600)
    lanes: Annotated[int, msgspec.Meta(ge=1, le=64)] = 8
    verify: Literal["wait", "warn"] = "wait"
    false_alarm_within: Duration = Duration(15 * 60)
    false_codes: Annotated[tuple[ClosingCode, ...], msgspec.Meta(max_length=100)] = ()
    follow: Duration = Duration(5 * 60)
    follow_for: Duration = Duration(180 * 86400)

    def __post_init__(self) -> None:
        if not 1 <= self.follow <= _LONGEST_FOLLOW:
            raise ValueError("An order is asked about once in 1s to 24h (follow)")
        if self.false_alarm_within > _LONGEST_FALSE:
            raise ValueError("A trouble that lasts for more than a day is none that was false (false_alarm_within)")
