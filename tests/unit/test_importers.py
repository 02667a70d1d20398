"""Importers: another gateway's words become ours, pass the check, and nothing is dropped without a word."""

import csv
import json
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from connectors.line import importers
from connectors.line.importers.shared import UNKNOWN, seconds_of
from gateway.cli.cert import cli as cert
from gateway.cli.check import cli as check
from gateway.cli.import_ import cli
from gateway.core.errors import Refused
from gateway.runtime.settings import parse

CASES = Path(__file__).parents[1] / "cases" / "import"
FILES = {
    "telegraf": ["telegraf.conf"],
    "opcpublisher": ["publishednodes.json"],
    "thingsboard": ["tb-modbus.json", "tb-opcua.json"],
    "kepware": ["kepware.csv"],
}
SECRETS = ["swordfish", "hunter2hunter2", "letmein"]


def read(kind: str, *, namespaces: tuple[str, ...] = ()) -> importers.Imported:
    take: Callable[..., importers.Imported] = getattr(importers, kind)
    return importers.joined(take((CASES / name).read_text("utf-8-sig"), namespaces) for name in FILES[kind])


def tags(kind: str, line: str, **more: Any) -> dict[str, dict[str, str]]:
    [found] = [one for one in read(kind, **more).lines if one.name == line]
    return {f"{tag['asset']}/{tag['tag']}": tag for tag in found.tags}


def notes(kind: str) -> str:
    return "\n".join(f"{note.where}: {note.told}" for note in read(kind).notes)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*words: object) -> Result:
    return CliRunner().invoke(cli, [str(word) for word in words])


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("kind", FILES)
def test_what_is_taken_over_passes_the_check_as_soon_as_secrets_and_certificates_are_there(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    files = [str(CASES / name) for name in FILES[kind]]
    done = run(kind, *files, "--save", "out")
    assert done.exit_code == 0, done.output
    for name in read(kind).secrets:
        assert f"needs: the environment variable {name}" in done.output
        monkeypatch.setenv(name, "something")
    if "andon cert new pki" in done.output:
        assert CliRunner().invoke(cert, ["new", "pki"]).exit_code == 0
    checked = CliRunner().invoke(check, ["out/andon.toml"])
    assert checked.exit_code == 0, (checked.output, checked.exception)
    assert isinstance(run(kind, *files, "--save", "out").exception, Refused), "nothing is written over"


@pytest.mark.parametrize("kind", FILES)
def test_the_text_on_standard_output_holds_the_same_tags_as_the_tables(here: Path, kind: str) -> None:
    files = [str(CASES / name) for name in FILES[kind]]
    done = run(kind, *files)
    assert done.exit_code == 0
    text = parse(done.stdout)
    run(kind, *files, "--save", "out")
    for name, line in text.line.items():
        with (here / "out" / f"{name}.csv").open(newline="") as table:
            assert len(list(csv.DictReader(table))) == len(line.tag)
    assert parse((here / "out" / "andon.toml").read_text()).assets == text.assets


@pytest.mark.parametrize("kind", FILES)
def test_no_password_is_copied(here: Path, kind: str) -> None:
    done = run(kind, *(str(CASES / name) for name in FILES[kind]), "--save", "out")
    everything = done.output + "".join(path.read_text() for path in (here / "out").iterdir())
    for word in SECRETS:
        assert word not in everything


def test_registers_of_telegraf_keep_type_order_scale_and_unit() -> None:
    press, bus = tags("telegraf", "press-7"), tags("telegraf", "bus")
    assert press["Press 7/power_factor"]["address"] == "holding:8:int16"
    assert press["Press 7/power_factor"]["scale"] == "0.01"
    assert press["Press 7/energy"]["address"] == "holding:5:int32"
    assert press["Press 7/flow"]["address"] == "holding:100:float32:CDAB"
    assert press["Press 7/legacy"]["address"] == "holding:20:uint32", "FLOAT32 meant a fixed point number there"
    assert press["Press 7/serial"]["address"] == "holding:50:string6"
    assert press["Press 7/level"]["address"] == "input:@30001:int16:BADC", "an offset, no Modicon number"
    assert press["Press 7/guard_open"]["address"] == "discrete:0"
    assert bus["bus/current"] | {"unit": ""} == {
        "asset": "bus",
        "tag": "current",
        "address": "holding:1:int32:DCBA",
        "device": "1",
        "scale": "0.001",
        "unit": "",
    }
    assert bus["bus/run"]["device"] == "2"
    for left_out in ("odd", "split", "spare"):
        assert not any(left_out in name for name in (*press, *bus))
        assert f"[{left_out}]" in notes("telegraf"), "and it is said"


def test_nodes_of_telegraf_keep_their_names_groups_and_deadbands() -> None:
    line = tags("telegraf", "line4", namespaces=("http://opcfoundation.org/UA/", "urn:own", "urn:oven", "urn:drive"))
    assert line["line4/speed"]["address"] == "nsu=urn:drive;s=Drive.Speed"
    assert line["oven/temperature"]["address"] == "nsu=urn:oven;i=77"
    assert line["oven/clock"]["address"] == "i=2258"
    plain = tags("telegraf", "plain-cell")["plain cell/pressure"]
    assert (plain["every"], plain["deadband"]) == ("50ms", "0.5")


@pytest.mark.pain(17)
def test_a_namespace_index_is_never_kept() -> None:
    for kind in FILES:
        for line in read(kind).lines:
            assert not any(tag["address"].startswith("ns=") for tag in line.tags)
    address = tags("telegraf", "line4")["line4/speed"]["address"]
    assert address == f"nsu={UNKNOWN}3;s=Drive.Speed"
    assert "namespace 3 must be looked up" in notes("telegraf")


def test_weak_and_plain_connections_are_told() -> None:
    [plain] = [line for line in read("telegraf").lines if line.name == "plain-cell"]
    assert (plain.fields["insecure"], plain.fields["insecure_password"]) == (True, True)
    assert "in plain text" in notes("telegraf") and "password in clear" in notes("telegraf")
    [weak] = [line for line in read("thingsboard").lines if line.name == "opc-ua-server"]
    assert weak.fields["policy"] == "Basic256Sha256"
    assert "Basic128Rsa15 can be broken" in notes("thingsboard")


def test_entries_of_the_publisher_for_one_server_become_one_session() -> None:
    found = read("opcpublisher")
    assert [line.name for line in found.lines] == ["press-07", "10-2-0-22-4840", "10-2-0-23-4840"]
    press = tags("opcpublisher", "press-07")
    assert set(press) == {"press-07/current", "press-07/stroke", "press-07/x;y", "press-08/current"}
    assert press["press-07/stroke"]["every"] == "250ms"
    assert found.lines[0].fields["publish"] == "500ms"
    assert found.secrets == ["PRESS_07_PASSWORD"]
    assert found.lines[1].fields["insecure"] is True, "without a word of security it was plain text"
    assert "http" not in str(found.lines[1:]).replace("http://plant", "")


def test_registers_of_thingsboard_keep_function_order_and_divider() -> None:
    sensor, drive = tags("thingsboard", "temp-sensor"), tags("thingsboard", "drive")
    assert sensor["Temp Sensor/temperature"]["address"] == "input:1:int16:BADC"
    assert sensor["Temp Sensor/temperature"]["scale"] == "0.1"
    assert sensor["Temp Sensor/flow"]["address"] == "holding:@40002:float32:DCBA"
    assert sensor["Temp Sensor/alarm"]["address"] == "coil:7"
    assert drive["Drive/torque"]["address"] == "holding:0:float32:CDAB"
    for told in ("tiny", "odd", "attributeUpdates", "rpc", "is a path of names"):
        assert told in notes("thingsboard")


def test_a_scaled_tag_of_kepware_becomes_scale_and_limits() -> None:
    pump = tags("kepware", "kepware")
    assert pump["Pump/Pressure"] | {} == {
        "asset": "Pump",
        "tag": "Pressure",
        "unit": "bar",
        "every": "100ms",
        "scale": "0.01",
        "low": "0",
        "high": "10",
        "address": "holding:0:uint16",
    }
    assert pump["Pump/Flow"]["address"] == "holding:102:float32:CDAB"
    assert pump["Pump/Run"]["address"] == "coil:16"
    assert pump["Pump/Fault"]["address"] == "input:9:bit3"
    assert tags("kepware", "kepware-server")["Tank/Level"]["address"].endswith("s=CHANNEL.DEVICE.Tank.Level")


def tables(value: object, above: tuple[str, ...] = ()) -> Iterator[tuple[dict[str, Any], tuple[str, ...]]]:
    """Every table inside, with the keys that lead to it."""
    if isinstance(value, dict):
        yield value, above
        for key, member in value.items():
            yield from tables(member, (*above, key))
    elif isinstance(value, list):
        for member in value:
            yield from tables(member, above)


WHOLE = {"EventFilter", "rpc", "rpc_methods", "attributeUpdates", "slave", "security"}
"""Parts that are named as a whole."""


@pytest.mark.parametrize(
    ("kind", "name"),
    [("opcpublisher", "publishednodes.json"), ("thingsboard", "tb-modbus.json"), ("thingsboard", "tb-opcua.json")],
)
def test_a_key_that_nobody_knows_is_named_wherever_it_stands(kind: str, name: str) -> None:
    whole = json.loads((CASES / name).read_text())
    take: Callable[[str], importers.Imported] = getattr(importers, kind)
    for table, above in list(tables(whole)):
        table["unheard"] = 1
        told = [f"{note.where} {note.told}" for note in take(json.dumps(whole)).notes]
        del table["unheard"]
        wanted = next((key for key in above if key in WHOLE), "unheard")
        assert any(wanted in line for line in told), (above, table)


def test_a_key_of_telegraf_that_nobody_knows_is_named() -> None:
    text = (CASES / "telegraf.conf").read_text()
    for place in ("[[inputs.opcua]]", "[[inputs.opcua_listener.nodes]]", "  [[inputs.modbus.request]]", "[agent]"):
        told = importers.telegraf(text.replace(place, f"{place}\nunheard = 1", 1)).notes
        assert any("unheard" in note.where for note in told), place
    assert any("unheard" in note.where for note in importers.telegraf(f'[unheard]\na = "b"\n{text}').notes)


def test_a_value_that_is_not_the_usual_one_is_noted_and_the_usual_one_is_not() -> None:
    def told(**more: object) -> str:
        node = {"Id": "i=2258", **more}
        found = importers.opcpublisher(json.dumps([{"EndpointUrl": "opc.tcp://a:1", "OpcNodes": [node]}]))
        return "".join(note.where + note.told for note in found.notes)

    assert "SkipFirst" in told(SkipFirst=True) and "SkipFirst" not in told(SkipFirst=False)
    assert "DataChangeTrigger" in told(DataChangeTrigger="StatusValueTimestamp")
    assert "AttributeId" in told(AttributeId="DisplayName")


def test_a_negated_tag_of_kepware_has_a_negative_scale() -> None:
    table = "Tag Name,Address,Data Type,Scaling,Raw Low,Raw High,Scaled Low,Scaled High,Negate Value\n"
    [line] = importers.kepware(f"{table}a,400001,Word,Linear,0,100,10,20,1\nb,400002,Word,,,,,,1\n").lines
    assert [(tag.get("scale"), tag.get("offset")) for tag in line.tags] == [("-0.1", "-10"), ("-1", None)]


@pytest.mark.parametrize(
    ("kind", "text", "told"),
    [
        ("telegraf", "[[inputs.modbus", "not TOML"),
        ("opcpublisher", "{", "not JSON"),
        ("opcpublisher", "{}", "a list of endpoints"),
        ("thingsboard", '{"broker": {}}', "not a connector"),
        ("thingsboard", "[1]", "not a connector"),
        ("kepware", "", "empty"),
        ("kepware", "a,b\n1,2\n", "not a tag export"),
    ],
)
def test_what_is_no_such_file_is_refused(kind: str, text: str, told: str) -> None:
    take: Callable[[str], importers.Imported] = getattr(importers, kind)
    with pytest.raises(Refused, match=told):
        take(text)


def test_a_file_without_anything_of_use_is_refused_and_says_what_was_there(here: Path) -> None:
    (here / "a.conf").write_text("[[inputs.cpu]]\npercpu = true\n")
    done = run("telegraf", "a.conf")
    assert isinstance(done.exception, Refused)
    assert "cpu" in done.output


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=12), children, max_size=4),
    max_leaves=20,
)


@given(_JSON, st.sampled_from(["opcpublisher", "thingsboard"]), st.data())
def test_a_file_that_is_damaged_anywhere_is_noted_or_refused_and_never_breaks(
    damage: object, kind: str, data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(FILES[kind]))
    whole = json.loads((CASES / name).read_text())
    listed = [table for table, _ in tables(whole) if table]
    table = listed[data.draw(st.integers(0, len(listed) - 1))]
    table[data.draw(st.sampled_from(sorted(table)))] = damage
    take: Callable[[str], importers.Imported] = getattr(importers, kind)
    try:
        found = take(json.dumps(whole))
    except Refused:
        return
    tomllib.loads(importers.toml_of(found))


@given(st.text())
def test_any_text_becomes_a_name_that_toml_reads_back(text: str) -> None:
    clean = text.encode("utf-8", "ignore").decode()
    written = importers.written.text(clean)
    assert tomllib.loads(f"a = {written}")["a"] == clean


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1m30s", 90),
        ("250ms", 0.25),
        ("1h", 3600),
        ("00:00:00.2500000", 0.25),
        ("1.02:00:00", 93_600),
        ("soon", None),
        ("", None),
    ],
)
def test_durations_of_others_are_read(text: str, seconds: float | None) -> None:
    assert seconds_of(text) == seconds
