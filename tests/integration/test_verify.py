"""`andon verify` on real evidence: what is as it was is proven, and whatever was altered is named."""

import asyncio
import shutil
import sqlite3
import zipfile
from collections.abc import Callable
from dataclasses import replace as replace_of
from pathlib import Path

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner, Result
from msgspec.structs import replace

from gateway.cli.main import andon
from gateway.core import capsule as capsules
from gateway.core.artifact import Part, read_manifest, write_manifest
from gateway.core.capsule import Capsule
from gateway.core.errors import Misconfigured, Refused
from gateway.core.order import WorkOrder
from gateway.core.ports import Store, Tx
from gateway.flow import seal
from gateway.flow.retain import trim_to
from gateway.flow.verify import Check
from gateway.runtime.making import book_of, desk_of
from gateway.runtime.proof import dossier_of, prove
from gateway.runtime.settings import parse
from gateway.store.documents import pack
from gateway.store.settings import Settings
from tests.sealed_orders import BUNDLE, DESK, REPORT, fill, told

Edit = Callable[[sqlite3.Connection], object]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    folder = tmp_path_factory.mktemp("made")
    return folder, asyncio.run(fill(folder))


@pytest.fixture
def place(made: tuple[Path, dict[str, str]], tmp_path: Path) -> Path:
    """A copy of the store that a test may spoil."""
    return Path(shutil.copytree(made[0], tmp_path / "store"))


def spoilt(place: Path, edit: Edit) -> None:
    database = sqlite3.connect(next(place.glob("*.db")))
    with database:
        edit(database)
    database.close()


def looked_at(place: Path, key: str, version: int | None = None, bundle: Path = BUNDLE) -> dict[str, Check]:
    async def run() -> list[Check]:
        store = Settings(path=str(place)).open()
        try:
            found = await dossier_of(store, key, version)
        finally:
            await store.close()
        assert found is not None
        return prove(found, bundle, bundle)

    return {check.what: check for check in asyncio.run(run())}


def read(place: Path, look: Callable[[Tx], WorkOrder | None]) -> WorkOrder:
    async def run() -> WorkOrder | None:
        store: Store = Settings(path=str(place)).open()
        try:
            return await store.read(look)
        finally:
            await store.close()

    found = asyncio.run(run())
    assert found is not None
    return found


def bad(checks: dict[str, Check]) -> dict[str, str]:
    return {what: check.verdict for what, check in checks.items() if not check.fine}


def test_a_machine_s_order_is_proven_from_its_capsule_alone(made: tuple[Path, dict[str, str]], place: Path) -> None:
    checks = looked_at(place, made[1]["machine"], 1)
    assert bad(checks) == {}
    proven = {what for what, check in checks.items() if check.verdict == "proven"}
    assert proven >= {"capsule", "waveform vibration", "spectrum envelope", "spectrum amplitude", "frame thermal"}
    assert proven >= {
        "log",
        "baseline",
        "features",
        "order",
        "audit trail",
        "window",
        "rules",
        "model",
        "decision",
        "spectra",
    }


def test_the_order_s_text_carries_the_short_form_and_the_link(made: tuple[Path, dict[str, str]], place: Path) -> None:
    key = made[1]["machine"]
    order = read(place, lambda tx: tx.order_version(key, 1))
    assert order.capsule is not None
    [line] = [line for line in order.description.splitlines() if line.startswith(f"Evidence {key}-v1")]
    assert f"sha256:{order.capsule[:16]}" in line
    assert "vibration 1 waveform" in line and "BPFO 105." in line and "2 log lines" in line
    assert "3 tag values (2 not good)" in line and "3 gaps" in line
    assert f"https://andon.example/ui/orders/{key}" in order.description.splitlines()


def test_the_capsule_holds_every_value_with_its_quality_age_and_gaps(
    made: tuple[Path, dict[str, str]], place: Path
) -> None:
    key = made[1]["machine"]
    order = read(place, lambda tx: tx.order_version(key, 1))

    async def document() -> bytes:
        store = Settings(path=str(place)).open()
        try:
            found = await store.read(lambda tx: tx.blob(order.capsule or ""))
        finally:
            await store.close()
        assert found is not None
        return found[0]

    known = capsules.read(asyncio.run(document()))
    assert known.seen is not None
    tags = {tag.tag: tag for tag in known.seen.tags}
    assert (tags["ambient"].quality, tags["ambient"].why, tags["ambient"].last) == ("bad", "BadSensorFailure", None)
    assert (tags["temperature"].quality, tags["temperature"].last) == ("uncertain", 45.0)
    assert (tags["speed"].quality, tags["speed"].age_s, tags["speed"].unit) == ("good", 0.1, "")
    assert {gap.cause for gap in known.seen.gaps} == {"bad: BadSensorFailure", "uncertain: range", "no samples"}
    assert {mark.name for mark in known.seen.marks} >= {"1X", "BPFO", "BPFI", "FTF"}
    assert known.model == read_manifest(BUNDLE).digest and known.terms.config == "cfg"
    assert sum(piece.size for piece in known.evidence if piece.kind == "spectrum") <= 64 * 1024


def test_a_version_that_grew_is_proven_with_the_one_before_it(made: tuple[Path, dict[str, str]], place: Path) -> None:
    key = made[1]["machine"]
    first, second = (read(place, lambda tx, version=version: tx.order_version(key, version)) for version in (1, 2))
    assert second.asset_down and not first.asset_down and first.capsule != second.capsule
    assert bad(looked_at(place, key)) == {}


def test_a_person_s_order_that_a_machine_confirmed_is_proven_with_the_window(
    made: tuple[Path, dict[str, str]], place: Path
) -> None:
    key = made[1]["joined"]
    order = read(place, lambda tx: tx.order_version(key, 2))
    assert order.source.kind == "report" and order.diagnosis is not None
    checks = looked_at(place, key, 2)
    assert bad(checks) == {} and checks["decision"].verdict == "proven"
    assert bad(looked_at(place, key, 1)) == {}


def test_a_report_that_another_network_read_names_the_bundle_that_it_needs(tmp_path: Path) -> None:
    async def run() -> str:
        store = Settings(path=str(tmp_path)).open()
        try:
            key = await told(store, REPORT, replace_of(DESK, reader="000000000000"))
        finally:
            await store.close()
        return key or ""

    checks = looked_at(tmp_path, asyncio.run(run()))
    assert bad(checks) == {"reading": "differs"}
    assert "000000000000" in checks["reading"].detail and "--models" in checks["reading"].detail


def test_a_person_s_order_is_proven_by_reading_the_words_again(made: tuple[Path, dict[str, str]], place: Path) -> None:
    key = made[1]["person"]
    checks = looked_at(place, key)
    assert bad(checks) == {}
    assert {"report", "photo", "plant", "order"} <= set(checks) and checks["reading"].verdict == "proven"
    assert b"Li Wei" not in b"".join(whole(place))


def whole(place: Path) -> list[bytes]:
    database = sqlite3.connect(next(place.glob("*.db")))
    try:
        return [row[0] for row in database.execute("SELECT content FROM blobs")]
    finally:
        database.close()


@pytest.mark.parametrize(
    ("who", "kind", "named"),
    [
        ("machine", "waveform", "waveform vibration"),
        ("machine", "spectrum", "spectrum envelope"),
        ("machine", "frame", "frame thermal"),
        ("machine", "log", "log"),
        ("machine", "baseline", "baseline"),
        ("machine", "features", "features"),
        ("person", "report", "report"),
        ("person", "photo", "photo"),
        ("person", "plant", "plant"),
    ],
)
def test_one_altered_byte_is_named_and_so_is_a_lost_piece(
    made: tuple[Path, dict[str, str]], place: Path, who: str, kind: str, named: str
) -> None:
    key = made[1][who]
    order = read(place, lambda tx: tx.order_version(key, 1))
    document = dict(rows(place))[order.capsule or ""]
    sha256 = next(piece.sha256 for piece in capsules.read(document).pieces() if piece.kind == kind)
    spoilt(place, lambda db: db.execute("UPDATE blobs SET content = ? WHERE sha256 = ?", altered(place, sha256)))
    checks = looked_at(place, key, 1)
    assert bad(checks) == {named: "differs"}
    assert sha256 in checks[named].detail
    spoilt(place, lambda db: db.execute("DELETE FROM blobs WHERE sha256 = ?", (sha256,)))
    assert bad(looked_at(place, key, 1)) == {named: "missing"}


def rows(place: Path) -> list[tuple[str, bytes]]:
    database = sqlite3.connect(next(place.glob("*.db")))
    try:
        return database.execute("SELECT sha256, content FROM blobs").fetchall()
    finally:
        database.close()


def altered(place: Path, sha256: str) -> tuple[bytes, str]:
    content = bytearray(dict(rows(place))[sha256])
    content[len(content) // 2] ^= 1
    return bytes(content), sha256


def test_an_altered_or_lost_capsule_is_named(made: tuple[Path, dict[str, str]], place: Path) -> None:
    key = made[1]["machine"]
    name = read(place, lambda tx: tx.order_version(key, 1)).capsule or ""
    document = dict(rows(place))[name]
    other = document.replace(b'"confidence":0.9', b'"confidence":0.8')
    assert other != document
    spoilt(place, lambda db: db.execute("UPDATE blobs SET content = ? WHERE sha256 = ?", (other, name)))
    checks = looked_at(place, key, 1)
    assert checks["capsule"].verdict == "differs" and capsules.named(other) in checks["capsule"].detail
    spoilt(place, lambda db: db.execute("DELETE FROM blobs WHERE sha256 = ?", (name,)))
    assert bad(looked_at(place, key, 1)) == {"capsule": "missing"}


def other_verdict(known: Capsule) -> tuple[Capsule, bytes]:
    """Forge the probabilities."""
    assert known.seen is not None
    seen = replace(known.seen.diagnosis, probabilities={**known.seen.diagnosis.probabilities, "imbalance": 0.9})
    return replace(known, seen=replace(known.seen, diagnosis=seen)), b""


def other_features(known: Capsule) -> tuple[Capsule, bytes]:
    """Forge what was judged: it is not what the waveform says."""
    assert known.seen is not None and known.seen.features is not None
    row = np.full(known.seen.features.size // 8, 0.5, "<f8").tobytes()
    piece = replace(known.seen.features, sha256=capsules.named(row))
    return replace(known, seen=replace(known.seen, features=piece)), row


@pytest.mark.parametrize(("forge", "named"), [(other_verdict, {"decision"}), (other_features, {"window", "decision"})])
def test_what_was_forged_under_right_names_is_found_by_judging_again(
    made: tuple[Path, dict[str, str]],
    place: Path,
    forge: Callable[[Capsule], tuple[Capsule, bytes]],
    named: set[str],
) -> None:
    """Whoever keeps new bytes under their right names, and has the order name them, is caught by the models."""
    key = made[1]["machine"]
    order = read(place, lambda tx: tx.order_version(key, 1))
    known, more = forge(capsules.read(dict(rows(place))[order.capsule or ""]))
    document = capsules.canonical(known)
    name = capsules.named(document)
    body = pack(seal.again(known, name))

    def edit(db: sqlite3.Connection) -> None:
        for content in filter(None, (document, more)):
            db.execute("INSERT INTO blobs VALUES (?, 'x', ?, ?)", (capsules.named(content), len(content), content))
        db.execute("UPDATE order_versions SET body = ? WHERE key = ? AND version = 1", (body, key))

    spoilt(place, edit)
    assert bad(looked_at(place, key, 1)) == {"audit trail": "missing", **dict.fromkeys(named, "differs")}


def test_an_altered_order_is_named_by_its_fields(made: tuple[Path, dict[str, str]], place: Path) -> None:
    key = made[1]["person"]
    order = read(place, lambda tx: tx.order_version(key, 1))
    body = pack(replace(order, priority=1, title="something else"))
    spoilt(place, lambda db: db.execute("UPDATE orders SET body = ? WHERE key = ?", (body, key)))
    checks = looked_at(place, key)
    assert bad(checks) == {"order": "differs"}
    assert "title" in checks["order"].detail and "priority" in checks["order"].detail


def test_an_altered_audit_trail_is_named(made: tuple[Path, dict[str, str]], place: Path) -> None:
    spoilt(place, lambda db: db.execute("UPDATE audit SET detail = detail || '!' WHERE number = 1"))
    checks = looked_at(place, made[1]["machine"], 1)
    assert bad(checks) == {"audit trail": "differs"} and "line 1" in checks["audit trail"].detail


def test_other_models_are_named_and_nothing_is_judged_by_them(
    made: tuple[Path, dict[str, str]], place: Path, tmp_path: Path
) -> None:
    manifest = read_manifest(BUNDLE)
    other = replace(manifest, parts={**manifest.parts, "x": Part(sha256="0" * 64, size=1, made_by="nobody")})
    (tmp_path / "other").mkdir()
    write_manifest(tmp_path / "other", other)
    checks = looked_at(place, made[1]["machine"], 1, tmp_path / "other")
    assert bad(checks) == {"model": "differs"}
    assert manifest.digest in checks["model"].detail and other.digest in checks["model"].detail
    assert checks["decision"].verdict == "not checked"


def test_evidence_stays_when_the_journal_is_emptied(made: tuple[Path, dict[str, str]], place: Path) -> None:
    async def empty() -> None:
        store = Settings(path=str(place)).open()
        try:
            await trim_to(store, 0, diagnosed=False)
        finally:
            await store.close()

    before = len(rows(place))
    asyncio.run(empty())
    assert len(rows(place)) == before
    assert bad(looked_at(place, made[1]["machine"], 1)) == {}


async def test_the_store_never_puts_other_bytes_under_a_name(tmp_path: Path) -> None:
    store = Settings(path=str(tmp_path)).open()
    try:
        name = await store.write(lambda tx: tx.keep(b"one", "text/plain"))
        again = await store.write(lambda tx: tx.keep(b"one", "image/png"))
        assert name == again == capsules.named(b"one")
        assert await store.read(lambda tx: tx.blob(name)) == (b"one", "text/plain")
    finally:
        await store.close()


def call(*words: str) -> Result:
    return CliRunner().invoke(andon, list(words))


@pytest.fixture
def config(place: Path, tmp_path: Path) -> str:
    file = tmp_path / "andon.toml"
    file.write_text(f'[store]\npath = "{place}"\n')
    return str(file)


def test_the_command_tells_proven_altered_and_unknown_apart(
    made: tuple[Path, dict[str, str]], place: Path, config: str
) -> None:
    key = made[1]["machine"]
    done = call("verify", key, "-c", config, "-o", "json")
    assert done.exit_code == 0, done.output
    assert {row["verdict"] for row in msgspec.json.decode(done.stdout)} == {"proven"}
    told = [row["what"] for row in msgspec.json.decode(done.stdout)]
    assert {"v1 decision", "v2 reading"} <= set(told) and done.stderr.endswith("proven\n")
    assert call("verify", "AN0", "-c", config).exit_code == 3
    assert call("verify", key, "--version", "9", "-c", config).exit_code == 3
    assert call("verify").exit_code == 2
    sha256 = next(name for name, content in rows(place) if content.startswith("轴承".encode()))
    spoilt(place, lambda db: db.execute("DELETE FROM blobs WHERE sha256 = ?", (sha256,)))
    done = call("verify", key, "--version", "1", "-c", config, "-o", "table")
    assert done.exit_code == 5 and "not proven: log" in done.stderr


@pytest.mark.parametrize("who", ["machine", "person"])
def test_an_exported_file_is_proven_without_the_store(
    made: tuple[Path, dict[str, str]], place: Path, config: str, tmp_path: Path, who: str
) -> None:
    file = tmp_path / "order.zip"
    assert call("orders", "export", "AN0", "--to", str(file), "-c", config).exit_code == 3
    done = call("orders", "export", made[1][who], "--to", str(file), "-c", config)
    assert done.exit_code == 0, done.output
    shutil.rmtree(place)
    with zipfile.ZipFile(file) as parcel:
        names = parcel.namelist()
        assert {"README.txt", "order.json", "capsule.json", "audit.jsonl"} <= set(names)
        assert b"Li Wei" not in b"".join(parcel.read(name) for name in names)
    done = call("verify", "--file", str(file), "-o", "json")
    assert done.exit_code == 0, done.output
    told = {row["what"]: row["verdict"] for row in msgspec.json.decode(done.stdout)}
    assert told["order"] == "proven" and told["audit trail"] == "not checked"
    assert "proven; not checked: audit trail" in done.stderr


def test_a_file_that_was_packed_anew_with_other_bytes_is_named(
    made: tuple[Path, dict[str, str]], config: str, tmp_path: Path
) -> None:
    file, forged = tmp_path / "order.zip", tmp_path / "forged.zip"
    assert call("orders", "export", made[1]["machine"], "--to", str(file), "-c", config).exit_code == 0
    assert call("orders", "export", made[1]["machine"], "--to", str(file), "-c", config).exit_code == 1
    with zipfile.ZipFile(file) as parcel, zipfile.ZipFile(forged, "w") as other:
        for name in parcel.namelist():
            content = parcel.read(name)
            other.writestr(name, content + b"!" if name.startswith("evidence/") else content)
    done = call("verify", "--file", str(forged))
    assert done.exit_code == 5 and "not proven: " in done.stderr
    (tmp_path / "none.zip").write_bytes(file.read_bytes()[:100])
    assert call("verify", "--file", str(tmp_path / "none.zip")).exit_code == 1


@pytest.mark.parametrize("how", ["other words", "no UTF-8", "flipped bits"])
def test_a_file_of_an_export_that_cannot_be_read_is_named(
    made: tuple[Path, dict[str, str]], config: str, tmp_path: Path, how: str
) -> None:
    file, forged = tmp_path / "order.zip", tmp_path / "forged.zip"
    assert call("orders", "export", made[1]["machine"], "--to", str(file), "-c", config).exit_code == 0
    with zipfile.ZipFile(file) as parcel, zipfile.ZipFile(forged, "w") as other:
        for name in parcel.namelist():
            content = parcel.read(name)
            if name == "audit.jsonl" and how != "flipped bits":
                content = content.replace(b'"', b"'" if how == "other words" else b"\xff")
            other.writestr(name, content)
        trail = parcel.read("audit.jsonl")
    if how == "flipped bits":
        forged.write_bytes(forged.read_bytes().replace(trail, bytes(byte ^ 1 for byte in trail)))
    done = call("verify", "--file", str(forged))
    assert done.exit_code == 5 and "not proven: audit.jsonl, audit trail" in done.stderr, done.output
    cut = tmp_path / "cut.zip"
    cut.write_bytes(file.read_bytes()[:-100])
    done = call("verify", "--file", str(cut))
    assert done.exit_code == 1 and "cut.zip cannot be read" in str(done.exception)


def test_what_was_put_beside_an_order_is_named_and_the_order_not_proven(
    made: tuple[Path, dict[str, str]], config: str, tmp_path: Path
) -> None:
    file = tmp_path / "order.zip"
    assert call("orders", "export", made[1]["machine"], "--to", str(file), "-c", config).exit_code == 0
    for number, name in enumerate(
        ("photo.jpg", f"evidence/{'a' * 64}.txt", "evidence/more/x.bin", "before.json/", "注.txt")
    ):
        other = Path(shutil.copy(file, tmp_path / f"{number}.zip"))
        with zipfile.ZipFile(other, "a") as parcel:
            parcel.writestr(name, b"" if name.endswith("/") else b"a proof that nobody took")
        done = call("verify", "--file", str(other), "-o", "json")
        [strange] = [row for row in msgspec.json.decode(done.stdout) if row["verdict"] != "proven"][:1]
        assert (done.exit_code, strange["what"]) == (5, name), done.output
        assert "nothing vouches for it" in strange["detail"] and name in done.stderr
    with zipfile.ZipFile(file, "a") as parcel:
        parcel.comment = b"trust me"
    done = call("verify", "--file", str(file))
    assert done.exit_code == 5 and "the comment of the zip file" in done.stderr
    file.write_bytes(b"#!/bin/sh\n" + file.read_bytes())
    assert "what stands before the first file" in call("verify", "--file", str(file)).stderr


def test_a_text_for_people_that_says_something_else_is_named(
    made: tuple[Path, dict[str, str]], config: str, tmp_path: Path
) -> None:
    file, other = tmp_path / "order.zip", tmp_path / "other name.zip"
    assert call("orders", "export", made[1]["machine"], "--to", str(file), "-c", config).exit_code == 0
    assert "README" not in call("verify", "--file", str(file.rename(other))).stderr
    with zipfile.ZipFile(other) as parcel, zipfile.ZipFile(file, "w") as forged:
        for name in parcel.namelist():
            content = parcel.read(name)
            forged.writestr(
                name, content.replace(b"computes every hash", b"need not be run") if "README" in name else content
            )
    done = call("verify", "--file", str(file))
    assert done.exit_code == 0 and "not checked: README.txt" in done.stderr


@pytest.mark.filterwarnings("ignore:Duplicate name")  # it is what the test is about
@pytest.mark.parametrize(
    ("real", "shadow"), [("order.json", "order.json"), (f"evidence/{'a' * 64}.txt", f"evidence/{'a' * 64}.bin")]
)
def test_a_file_that_holds_one_thing_twice_is_refused(tmp_path: Path, real: str, shadow: str) -> None:
    file = tmp_path / "order.zip"
    with zipfile.ZipFile(file, "w") as parcel:
        parcel.writestr(shadow, b"what another program may show")
        parcel.writestr(real, b"what would be checked")
    done = call("verify", "--file", str(file))
    assert done.exit_code == 1
    assert "twice" in str(done.exception)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
@pytest.mark.parametrize("spoil", [False, True])
def test_a_file_that_is_packed_as_no_parcel_is_refused(tmp_path: Path, method: int, *, spoil: bool) -> None:
    file = tmp_path / "order.zip"
    with zipfile.ZipFile(file, "w", method) as parcel:
        parcel.writestr("order.json", b"x" * 5000)
    if spoil:
        content = bytearray(file.read_bytes())
        content[48:60] = bytes(byte ^ 0xFF for byte in content[48:60])
        file.write_bytes(content)
    done = call("verify", "--file", str(file))
    assert done.exit_code == 1
    assert isinstance(done.exception, Refused)
    assert "packed in another way" in str(done.exception)


@pytest.mark.parametrize(
    ("written", "kept"),
    [("", ""), ("https://andon.example/", "https://andon.example"), ("http://h:8000/a/b", "http://h:8000/a/b")],
)
def test_the_link_begins_with_the_public_url(written: str, kept: str) -> None:
    settings = parse(f'[api]\npublic_url = "{written}"\n')
    assert book_of(settings, b"secret").public_url == desk_of(settings, b"secret").public_url == kept


@pytest.mark.parametrize("written", ["andon.example", "javascript:x", "https://", "https://a b", "https://a/?q=1"])
def test_a_public_url_that_is_none_is_refused(written: str) -> None:
    with pytest.raises(Misconfigured, match="public_url"):
        parse(f'[api]\npublic_url = "{written}"\n')
