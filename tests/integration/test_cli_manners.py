"""Wrong input at every command about orders and what goes with them: a message, what to do next, never a trace."""

import json
import os
import shlex
import sqlite3
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.cli.exits import Exit
from gateway.cli.main import andon, ended
from gateway.core.errors import Misconfigured, Refused
from tests.cli_plant import Plant
from tests.set_aside import PARKED, THERE, fill_all, put_aside


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Plant:
    plant = Plant(tmp_path_factory.mktemp("plant"))
    config = Path(plant.config)
    config.write_text(f'{config.read_text()}\n[api]\ntoken_folder = "{plant.folder}/tokens"\n')
    plant.write(fill_all)
    plant.write(put_aside)
    return plant


@pytest.fixture
def plant(tmp_path: Path) -> Plant:
    return Plant(tmp_path)


def end(done: Result) -> tuple[int, str]:
    """Give exit code and words as a shell sees them."""
    if isinstance(done.exception, Exception) and not isinstance(done.exception, SystemExit):
        said, code = ended(done.exception)
        return int(code), done.output + said
    return done.exit_code, done.output


def shell(plant: Plant, *words: str, stdout: str = os.devnull, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command as a shell does, its output into a file."""
    command = [sys.executable, "-m", "gateway.cli.main", *words, "-c", plant.config]
    with Path(stdout).open("wb") as out:
        return subprocess.run(
            command, stdout=out, stderr=subprocess.PIPE, text=True, env={**os.environ, **env}, timeout=60, check=False
        )


CASES: tuple[tuple[str, int, str], ...] = (
    ("orders show 机床", 3, "andon orders list"),
    ("orders show ''", 3, "andon orders list"),
    ("orders export 机床 --to x.zip", 3, "andon orders list"),
    ("orders redeliver 机床", 5, "andon orders list"),
    ("orders cancel 机床 --reason 误报", 3, "andon orders list"),
    (f"orders cancel {THERE.key} --reason ''", 2, "say why"),
    ("orders list --limit -1", 2, "1<=x<=10000"),
    ("orders list --limit 99999999999999999999", 2, "1<=x<=10000"),
    ("orders list --state KEPT", 2, "'PARKED'"),
    ("orders list --asset 齿轮箱", 0, "note: the settings have no asset '齿轮箱'"),
    ("orders list --erp sap", 0, "note: the settings have no ERP 'sap'; there is: main, press"),
    ("episodes list --asset 齿轮箱", 0, "note: the settings have no asset '齿轮箱'"),
    ("db backup /nowhere/x.db", 1, "Refused: /nowhere"),
    ("dlq show nothing", 1, "andon dlq list"),
    ("dlq show 订单:1", 1, "andon dlq list"),
    (f"dlq show order:{THERE.key}", 3, "andon dlq list"),
    ("dlq retry", 2, "--all"),
    ("dlq retry 无", 5, "andon dlq list"),
    (f"dlq drop order:{PARKED.key} --reason 误报", 5, "andon orders cancel"),
    ("dlq drop event:mes/evt_1 --reason ' '", 2, "say why"),
    ("dlq list --limit 0", 2, "1<=x<=10000"),
    ("dlq list --kind 机床", 2, "'production'"),
    ("dlq export --to x.txt", 1, ".jsonl or .csv"),
    ("dlq export --to /nowhere/x.csv", 1, "cannot be written: No such file or directory"),
    ("verify", 2, "name an order, or a --file"),
    ("verify 机床", 3, "andon orders list"),
    ("verify --file nowhere.zip", 2, "does not exist"),
    ("events test 机床", 3, "there is: none"),
    ("events enable 机床", 3, "andon events list"),
    ("events forget 机床", 3, "andon events list"),
    ("production show 订单", 3, "andon production list"),
    ("production hand 订单", 5, "andon production list"),
    ("production list --state done", 2, "'KEPT'"),
    ("tokens create '' --scope read", 2, "1 to 128 characters"),
    ("tokens create mes", 2, "--scope or --role"),
    ("tokens create mes --scope read --line L9", 2, "lines: none"),
    ("tokens create mes --role 班长", 2, "there is: none"),
    ("tokens create mes --scope read --life 永远", 2, "--life"),
    ("tokens revoke 王伟", 3, "andon tokens list"),
    ("config show 0000", 3, "andon config history"),
    ("check nowhere.toml", 2, "andon config sample"),
    ("check /", 2, "Is a directory"),
)


@pytest.mark.parametrize(("line", "code", "said"), CASES, ids=[line for line, *_ in CASES])
def test_wrong_input_is_named_with_what_to_do_next(filled: Plant, line: str, code: int, said: str) -> None:
    done = filled.say(*shlex.split(line))
    assert end(done)[0] == code, end(done)
    assert said in " ".join(end(done)[1].replace("│", " ").split()), end(done)


NEEDS_SETTINGS = (
    "orders list", "orders show X", "dlq list", "dlq show order:X", "verify X", "events list", "events test X",
    "production list", "tokens list", "tokens create x --scope read", "check", "check --live", "status", "audit list",
    "episodes list", "review list", "config history", "report submit x", "plan", "apply", "doctor",
)  # fmt: skip


@pytest.mark.parametrize("line", NEEDS_SETTINGS)
def test_without_a_settings_file_every_command_says_how_to_write_one(tmp_path: Path, line: str) -> None:
    done = CliRunner().invoke(andon, [*line.split(), "-c", str(tmp_path / "andon.toml")])
    code, said = end(done)
    assert (code, "Errno" in said) == (Exit.MISCONFIGURED, False)
    assert "andon config sample > andon.toml" in said


@pytest.mark.parametrize(
    "line", ["orders list", "orders cancel X --reason y", "dlq list", "production list", "verify X", "audit verify"]
)
def test_a_store_that_cannot_be_opened_is_said_not_to_answer(plant: Plant, line: str) -> None:
    plant.settings.file.mkdir(parents=True)  # a folder where the database should be
    code, said = end(plant.say(*line.split()))
    assert (code, "the database does not answer" in said) == (Exit.AWAY, True), said


def test_a_store_that_cannot_be_made_is_named(plant: Plant) -> None:
    config = Path(plant.config)
    config.write_text(config.read_text().replace(f"{plant.folder}/data", "/proc/nowhere"))
    code, said = end(plant.say("db", "upgrade"))
    assert (code, "/proc/nowhere cannot be used" in said) == (Exit.MISCONFIGURED, True), said


def test_a_store_of_a_newer_andon_is_left_alone_and_said_to_be_one(plant: Plant) -> None:
    plant.write(lambda tx: tx.note("x", "x", PARKED.detected_at))
    with sqlite3.connect(plant.settings.file) as db:
        db.execute("UPDATE alembic_version SET version_num = '9999'")
    db.close()
    code, said = end(plant.say("orders", "list"))
    assert code == Exit.MISCONFIGURED and "a newer Andon has used it" in said


def test_a_zip_that_is_none_says_what_writes_one(tmp_path: Path) -> None:
    (tmp_path / "text.zip").write_text("机床")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as other:
        other.writestr("photo.txt", b"x")
    for name in ("text.zip", "other.zip"):
        code, said = end(CliRunner().invoke(andon, ["verify", "--file", str(tmp_path / name)]))
        assert code == Exit.REFUSED and "`andon orders export` writes one" in said


def test_states_are_taken_as_people_write_them(filled: Plant) -> None:
    assert [row["order"]["key"] for row in filled.rows("orders", "list", "--state", "parked")] == [PARKED.key]
    made = filled.say("tokens", "create", "mes", "--scope", "read", "-o", "jsonl")
    assert made.exit_code == 0 and made.stdout.startswith('{"id"')


def test_what_waits_for_a_person_is_json_lines_when_piped_like_every_list(filled: Plant) -> None:
    assert [row["id"] for row in filled.rows("review", "list")] == json_ids(filled.say("review", "list").stdout)


def json_ids(told: str) -> list[str]:
    return [json.loads(line)["id"] for line in told.splitlines()]


def test_a_terminal_that_knows_no_chinese_breaks_nothing(filled: Plant, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert filled.say("tokens", "create", "王伟", "--scope", "read").exit_code == 0
    done = shell(filled, "tokens", "list", "-o", "table", stdout=str(out), PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert "\\u738b\\u4f1f" in out.read_text("ascii")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux's")
@pytest.mark.parametrize("words", [("audit", "list"), ("dlq", "list", "-o", "table")])
def test_a_full_disk_under_the_output_is_said(filled: Plant, words: tuple[str, ...]) -> None:
    done = shell(filled, *words, stdout="/dev/full")
    assert (done.returncode, "Traceback" in done.stderr) == (Exit.AWAY, False), done.stderr
    assert "make room" in done.stderr


def test_a_bug_is_said_to_be_one_and_tells_nothing_of_what_it_held() -> None:
    try:
        {}["Li Wei"]
    except KeyError as bug:
        said, code = ended(bug)
    assert code == Exit.BUG and "KeyError in test_cli_manners.py" in said and "Li Wei" not in said
    group = ExceptionGroup("jobs", [ExceptionGroup("more", [Refused("no")]), Misconfigured("x")])
    assert ended(group) == ("Refused: no", Exit.REFUSED)


NEEDS_STORE = (
    "orders list --state PARKED", "orders show X", "dlq list", "dlq show order:X", "episodes list", "review list",
    "production list", "production show X", "events list", "audit list", "audit verify", "verify X", "config history",
)  # fmt: skip


@pytest.mark.parametrize("line", NEEDS_STORE)
def test_where_there_is_no_store_nothing_is_told_of_it_and_none_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    plant = Plant(tmp_path)
    settings = Path(plant.config)
    for path, relative in ((str(tmp_path / "data"), False), ("elsewhere", True)):
        settings.write_text(settings.read_text().replace(str(tmp_path / "data"), path))
        monkeypatch.chdir(tmp_path)
        code, said = end(plant.say(*line.split()))
        assert code == Exit.NOT_THERE, said
        assert f"there is no store at {tmp_path / path / 'andon.db'}" in said, said
        assert ("counts from the folder" in said) == relative, said
    assert [one.name for one in tmp_path.iterdir()] == ["andon.toml"]


def test_a_store_is_made_by_who_is_to_make_one(tmp_path: Path) -> None:
    plant = Plant(tmp_path)
    assert plant.say("db", "upgrade").exit_code == 0
    assert plant.rows("orders", "list") == []
