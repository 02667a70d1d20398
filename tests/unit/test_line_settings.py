"""Samples, tag tables, boards and gates of the line side."""

import asyncio
import importlib
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from connectors.line.board import Board
from connectors.line.inbox import Inbox
from connectors.line.modbus import Register
from connectors.line.modbus import Settings as ModbusSettings
from connectors.line.modbus.address import parse, plain
from connectors.line.opcua.settings import Node
from connectors.line.table import read_table
from connectors.line.tags import Tag, judge
from gateway.core.errors import Misconfigured
from gateway.core.units import decode
from tests.line_rigs import settings_of

NOW = datetime(2026, 3, 18, tzinfo=UTC)


@pytest.mark.parametrize("protocol", ["opcua", "modbus", "syslog", "tail", "mqtt", "drop", "http"])
def test_every_sample_is_taken_and_makes_a_source(protocol: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MQTT_PASSWORD", "secret")
    module = importlib.import_module(f"connectors.line.{protocol}")
    for name, table in tomllib.loads(module.SAMPLE)["line"].items():
        assert table.pop("protocol") == protocol
        source = msgspec.convert({"name": name, **table}, module.Settings, dec_hook=decode).open()
        assert source.name == name
        assert source.tags()


def test_a_tag_table_takes_excels_mark_and_semicolons_and_keeps_leading_zeros(tmp_path: Path) -> None:
    table = tmp_path / "tags.csv"
    table.write_text(
        "\ufeffasset;tag;address;unit;low;every\n0123;speed;nsu=urn:x;s=1;rpm;0;500ms\n".replace(
            "urn:x;s=1", '"urn:x;s=1"'
        ).replace('nsu="urn:x;s=1"', '"nsu=urn:x;s=1"'),
        "utf-8",
    )
    [tag] = read_table(table, Node)
    assert (tag.asset, tag.address, tag.low, tag.every) == ("0123", "nsu=urn:x;s=1", 0.0, 0.5)


def test_every_fault_of_a_tag_table_has_its_place(tmp_path: Path) -> None:
    table = tmp_path / "tags.csv"
    table.write_text("asset,tag,address,low\nA,a,holding:1,x\nA,b,register:1,\nA,c,holding:2,1\n", "utf-8")
    with pytest.raises(Misconfigured) as faults:
        read_table(table, Register)
    first, second = faults.value.faults
    assert f"{table}:2: column 4 (low)" in first
    assert f"{table}:3:" in second and "register:1" in second


def test_an_unknown_column_is_a_fault(tmp_path: Path) -> None:
    table = tmp_path / "tags.csv"
    table.write_text("asset,tag,adress\nA,a,holding:1\n", "utf-8")
    with pytest.raises(Misconfigured, match="'adress' is not a field"):
        read_table(table, Register)


def test_a_table_stands_beside_the_list(tmp_path: Path) -> None:
    table = tmp_path / "tags.csv"
    table.write_text("asset,tag,address\nA,a,holding:1\n", "utf-8")
    own = {"asset": "A", "tag": "b", "address": "holding:2"}
    line = settings_of(ModbusSettings, name="m", endpoint="tcp://h", tags=str(table), tag=[own])
    assert [tag.tag for tag in line.every_tag()] == ["b", "a"]
    assert (line.host, line.port) == ("h", 502)
    twice = settings_of(
        ModbusSettings, name="m", endpoint="tcp://[::1]:5020", tags=str(table), tag=[{**own, "tag": "a"}]
    )
    assert (twice.host, twice.port) == ("::1", 5020)
    with pytest.raises(Misconfigured, match="A/a stands twice"):
        twice.every_tag()


def test_a_fault_in_the_settings_is_said() -> None:
    with pytest.raises(msgspec.ValidationError, match="no tags"):
        settings_of(ModbusSettings, name="m", endpoint="tcp://h")
    with pytest.raises(msgspec.ValidationError, match="above"):
        settings_of(
            ModbusSettings,
            name="m",
            endpoint="tcp://h",
            tag=[{"asset": "A", "tag": "a", "address": "coil:1", "low": 2, "high": 1}],
        )


def test_an_address_is_shown_both_ways() -> None:
    assert plain(parse("holding:40103:float32:CDAB")) == "holding offset 102 (Modicon 400103), float32 CDAB"


def test_a_board_names_the_ill_and_the_well() -> None:
    board = Board("m", [Tag(asset="A", tag="a", address="x"), Tag(asset="A", tag="b", address="x")])
    board.heard(0, NOW)
    board.heard(1, NOW, "out of range")
    first, second = board.states()
    assert (first.name, first.healthy, first.last_at) == ("A/a", True, NOW)
    assert (second.healthy, second.detail) == (False, "out of range")


async def test_an_offer_is_done_when_it_is_committed() -> None:
    inbox: Inbox[int] = Inbox()
    first, second = inbox.offer(1), inbox.offer(2)
    assert await inbox.take() == [1, 2]
    assert not first.done()
    inbox.committed()
    assert first.done() and second.done()
    inbox.end()
    async with asyncio.timeout(1):
        assert await inbox.take() == []


@pytest.mark.pain(13, 23)
@pytest.mark.parametrize("scale", [1.0, 0.1])
def test_a_number_that_fits_into_no_64_bit_is_bad_and_never_reaches_the_store(scale: float) -> None:
    tag = Tag(asset="A", tag="a", address="x", scale=scale)
    for beyond in (2**64, -(2**63) - 1, 10**400):
        assert judge(tag, beyond) == (None, "beyond 64 bit")
    assert judge(tag, 2**64 - 1)[1] == judge(tag, -(2**63))[1] == ""
