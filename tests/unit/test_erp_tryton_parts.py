"""Tryton without a Tryton: settings, values of each type, and an order as a record."""

import tomllib
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from connectors.erp.mapping import Rule
from connectors.erp.tryton import SAMPLE, Settings
from connectors.erp.tryton.carrier import KNOWN
from connectors.erp.tryton.record import NoValue, Record, Shape
from connectors.erp.tryton.values import encode, moment, same
from gateway.core.errors import Misconfigured
from gateway.core.units import Duration, decode
from tests.erp_process import make_order

SHANGHAI = ZoneInfo("Asia/Shanghai")
KINDS = {"title": "char", "description": "text", "company": "many2one", "origin": "reference"}


def row(**change: object) -> dict[str, object]:
    found = {**tomllib.loads(SAMPLE)["erp"]["main"], "name": "main", **change}
    assert found.pop("protocol") == "tryton"
    return found


def test_the_sample_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRYTON_KEY", "x")
    found = msgspec.convert(row(), Settings, dec_hook=decode)
    assert found.settle == Duration(60)
    assert found.open().name == "main"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"base_url": "http://tryton.example"}, "plain text"),
        ({"timeout": "10min"}, "at most 5min"),
        ({"settle": "1h"}, "at most 40min"),
        ({"model": "maintenance.request"}, "say in carrier"),
        ({"zone": "Mars/Olympus"}, "not known"),
        ({"origin": "the line"}, "origin"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_wrong_settings_are_named(change: dict[str, object], said: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=said):
        msgspec.convert(row(**change), Settings, dec_hook=decode)


@pytest.mark.parametrize(
    ("mapping", "said"),
    [
        ({"title": "title"}, "filled in already"),
        ({"a.b": "title"}, "fields inside fields"),
        ({"description": "titel"}, "no field 'titel'"),
    ],
)
def test_a_mapping_that_cannot_be_is_a_fault_at_start(
    monkeypatch: pytest.MonkeyPatch, mapping: dict[str, object], said: str
) -> None:
    monkeypatch.setenv("TRYTON_KEY", "x")
    with pytest.raises(Misconfigured, match=said):
        msgspec.convert(row(mapping=mapping), Settings, dec_hook=decode).open()


def test_the_key_is_in_no_text_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRYTON_KEY", "not-to-be-seen")
    found = msgspec.convert(row(), Settings, dec_hook=decode)
    assert "not-to-be-seen" not in repr(found) + repr(found.open())


@pytest.mark.parametrize(
    ("value", "kind", "told"),
    [
        (
            "2026-11-21T20:00:00Z",
            "date",
            {"__class__": "date", "year": 2026, "month": 11, "day": 22},
        ),
        (
            "2026-11-21T20:00:00.5+02:00",
            "timestamp",
            {
                "__class__": "datetime",
                "year": 2026,
                "month": 11,
                "day": 21,
                "hour": 18,
                "minute": 0,
                "second": 0,
                "microsecond": 500000,
            },
        ),
        (2, "numeric", {"__class__": "Decimal", "decimal": "2"}),
        ("7", "many2one", 7),
        (1, "float", 1.0),
        (True, "boolean", True),
        (3, "char", "3"),
        (" VIB \n", "text", "VIB"),
    ],
)
def test_a_value_becomes_what_its_field_takes(value: object, kind: str, told: object) -> None:
    assert encode(value, kind, SHANGHAI) == told


@pytest.mark.parametrize(
    ("value", "kind"), [("soon", "date"), ("much", "numeric"), ("M-07", "many2one"), ({}, "many2many")]
)
def test_a_value_that_a_field_cannot_take_is_an_error(value: object, kind: str) -> None:
    with pytest.raises((ValueError, TypeError)):
        encode(value, kind, SHANGHAI)


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ("a\r\nb ", "a\nb", True),
        ("", None, True),
        ({"__class__": "Decimal", "decimal": "2.0"}, {"__class__": "Decimal", "decimal": "2"}, True),
        ("a", "b", False),
        (1, None, False),
    ],
)
def test_what_is_the_same_to_tryton(one: object, other: object, *, equal: bool) -> None:
    assert same(one, other) is equal


def test_a_time_of_tryton_is_in_utc() -> None:
    said = {"__class__": "datetime", "year": 2026, "month": 11, "day": 21, "hour": 8}
    assert moment(said) == "2026-11-21T08:00:00+00:00"
    assert moment(None) == moment("2026") == moment({**said, "month": 13}) == ""


def record(**change: Any) -> Record:
    given: dict[str, Any] = {
        "model": "quality.alert",
        "company": 1,
        "carrier": KNOWN["quality.alert"],
        "mapping": {"description": Rule(source="text", longest=4000)},
        "origins": {},
        "origin": "quality.inspection,1",
        "zone": SHANGHAI,
    }
    return Record(Shape(**{**given, **change}))


def test_an_alert_begins_with_the_key_and_never_loses_it() -> None:
    order = make_order("long", title="轴" * 500, detected_at=datetime(2026, 11, 21, tzinfo=UTC))
    made = record().of(order, KINDS)
    assert made["title"].startswith(f"{order.key} 轴") and len(made["title"]) == 250
    assert made["company"] == 1 and made["origin"] == "quality.inspection,1"
    assert order.key in made["description"]


def test_what_cannot_be_written_is_named() -> None:
    order = make_order("named")
    with pytest.raises(NoValue, match="no field description"):
        record().of(order, {name: kind for name, kind in KINDS.items() if name != "description"})
    with pytest.raises(NoValue, match="field description"):
        record().of(order, {**KINDS, "description": "date"})
    with pytest.raises(NoValue, match="no origin for M-07"):
        record(origin=None).of(order, KINDS)
    with pytest.raises(NoValue, match="an order without an asset"):
        record(origin=None).of(make_order("nobody", asset=None), KINDS)
