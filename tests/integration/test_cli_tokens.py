"""`andon tokens`: made here, taken by the same road as any issuer's, taken back at once."""

import json
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from click.testing import CliRunner, Result

from gateway.cli.tokens import cli
from gateway.core.errors import Misconfigured, Refused
from gateway.runtime.local_tokens import Desk
from tests.integration.edge_rig import serving

CONFIG = """
[site]
id = "{site}"
[api]
token_folder = {folder}
[[asset]]
id = "M-07"
line = "L2"
[[asset]]
id = "M-01"
line = "L1"
"""


def andon(config: Path, *words: str) -> Result:
    return CliRunner().invoke(cli, [*words, "-c", str(config)])


def settings(folder: Path, tokens: str = "tokens", site: str = "SZ1") -> Path:
    file = folder / f"{tokens}.toml"
    file.write_text(CONFIG.format(site=site, folder=json.dumps(str(folder / tokens))))
    return file


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return settings(tmp_path)


def made(config: Path, *words: str) -> tuple[str, dict[str, str]]:
    done = andon(config, "create", *words, "-o", "json")
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    return said["id"], {"Authorization": f"Bearer {said['token']}"}


async def status(client: httpx2.AsyncClient, headers: dict[str, str], query: str = "") -> int:
    return (await client.get(f"/api/v1/orders{query}", headers=headers)).status_code


async def test_a_token_made_here_opens_what_it_names_until_it_is_taken_back(config: Path, tmp_path: Path) -> None:
    _, everywhere = made(config, "planner", "--scope", "read")
    name, one_line = made(config, "camera", "--scope", "read", "--line", "L2", "--life", "8h")
    _, writer = made(config, "device", "--scope", "reports:write")
    folder = str(tmp_path / "tokens")
    async with serving(tmp_path, anonymous=(), token_folder=folder) as edge:
        assert await status(edge.client, everywhere) == 200
        assert await status(edge.client, one_line, "?asset=M-07") == 200
        assert await status(edge.client, one_line, "?asset=M-01") == 403
        assert await status(edge.client, one_line) == 403
        assert await status(edge.client, writer) == 403
        done = andon(config, "revoke", "camera")
        assert done.exit_code == 0 and name in done.output
        assert await status(edge.client, one_line, "?asset=M-07") == 401
        assert await status(edge.client, everywhere) == 200
        (tmp_path / "tokens" / "revoked.json").unlink()
        assert await status(edge.client, everywhere) == 503, "nobody knows what was taken back"


async def test_a_gateway_without_the_folder_takes_no_token_of_ours(config: Path, tmp_path: Path) -> None:
    _, headers = made(config, "planner", "--scope", "read")
    async with serving(tmp_path, anonymous=()) as edge:
        assert await status(edge.client, headers) == 401


async def test_a_folder_begun_after_the_start_counts_soon(config: Path, tmp_path: Path) -> None:
    async with serving(tmp_path, anonymous=(), token_folder=str(tmp_path / "tokens")) as edge:
        _, headers = made(config, "planner", "--scope", "read")
        assert await status(edge.client, headers) == 200


async def test_the_key_of_another_folder_does_not_count(config: Path, tmp_path: Path) -> None:
    made(config, "planner", "--scope", "read")
    _, headers = made(settings(tmp_path, "elsewhere"), "planner", "--scope", "read")
    async with serving(tmp_path, anonymous=(), token_folder=str(tmp_path / "tokens")) as edge:
        assert await status(edge.client, headers) == 401


async def test_a_token_of_another_site_is_refused(tmp_path: Path) -> None:
    _, headers = made(settings(tmp_path, site="SZ2"), "planner", "--scope", "read")
    async with serving(tmp_path, anonymous=(), token_folder=str(tmp_path / "tokens")) as edge:
        assert await status(edge.client, headers) == 403


def test_the_files_are_the_owners_alone_and_hold_no_token(config: Path, tmp_path: Path) -> None:
    _, headers = made(config, "planner", "--scope", "read")
    folder = tmp_path / "tokens"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for file in folder.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
        assert headers["Authorization"].rpartition(".")[2] not in file.read_text()


def test_the_list_shows_what_was_made_and_what_was_taken_back(config: Path) -> None:
    first, _ = made(config, "planner", "--scope", "read")
    second, _ = made(config, "camera", "--scope", "line:push", "--line", "L2")
    andon(config, "revoke", first)
    rows = [json.loads(line) for line in andon(config, "list").output.splitlines()]
    assert [(row["id"], row["revoked"], row["lines"]) for row in rows] == [
        (first, True, ["*"]),
        (second, False, ["L2"]),
    ]


@pytest.mark.parametrize(
    "words",
    [
        *(("x", "--scope", "everything"), ("x", "--scope", "read", "--line", "L9"), ("x",), ("", "--scope", "read")),
        *(("x", "--scope", "read", "--life", life) for life in ("0s", "2000d", "soon")),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_made(config: Path, tmp_path: Path, words: tuple[str, ...]) -> None:
    assert andon(config, "create", *words).exit_code == 2
    assert not (tmp_path / "tokens").exists()


def test_without_a_folder_the_settings_line_is_named(tmp_path: Path) -> None:
    file = tmp_path / "andon.toml"
    file.write_text('[site]\nid = "SZ1"\n')
    done = andon(file, "list")
    assert isinstance(done.exception, Misconfigured) and "token_folder" in str(done.exception)


def test_an_unknown_name_and_a_damaged_file_are_said(tmp_path: Path) -> None:
    with pytest.raises(Refused):
        Desk(str(tmp_path)).revoke("nobody")
    (tmp_path / "issued.json").write_bytes(b"\xff")
    with pytest.raises(Misconfigured, match="damaged"):
        Desk(str(tmp_path)).listed()


def test_two_who_make_tokens_at_once_lose_none_of_the_list(tmp_path: Path) -> None:
    def one(number: int) -> str:
        made_at = datetime(2026, 1, 1, tzinfo=UTC)
        desk = Desk(str(tmp_path / "tokens"))
        return desk.create(f"s{number}", ("read",), ("*",), "SZ1", made_at, made_at + timedelta(days=1))[1].id

    with ThreadPoolExecutor(8) as crew:
        names = set(crew.map(one, range(16)))
    assert {row.id for row in Desk(str(tmp_path / "tokens")).listed()} == names
    assert len({*names}) == 16


async def test_a_token_made_for_a_role_opens_what_the_settings_say_of_the_role(config: Path, tmp_path: Path) -> None:
    with config.open("a") as file:
        file.write('\n[api.roles]\nviewer = ["read"]\ncamera = ["line:push"]\n')
    _, viewer = made(config, "screen", "--role", "viewer")
    _, camera = made(config, "press-camera", "--role", "camera", "--line", "L2")
    roles: dict[str, tuple[Any, ...]] = {"viewer": ("read",), "camera": ("line:push",)}
    async with serving(tmp_path, anonymous=(), token_folder=str(tmp_path / "tokens"), roles=roles) as edge:
        assert [await status(edge.client, one) for one in (viewer, camera)] == [200, 403]
    async with serving(tmp_path, anonymous=(), token_folder=str(tmp_path / "tokens")) as edge:
        assert await status(edge.client, viewer) == 403  # the role is not in the settings any more
    assert "viewer" in andon(config, "list", "-o", "json").stdout


def test_a_token_for_nothing_or_for_an_unknown_role_is_not_made(config: Path) -> None:
    with config.open("a") as file:
        file.write('\n[api.roles]\nviewer = ["read"]\n')
    nothing = andon(config, "create", "screen")
    assert nothing.exit_code == 2 and "--scope or --role" in nothing.output
    unknown = andon(config, "create", "screen", "--role", "veiwer")
    assert unknown.exit_code == 2 and "viewer" in unknown.output


def test_the_help_says_what_is_printed_into_a_pipe(config: Path) -> None:
    told = " ".join(andon(config, "create", "--help").output.replace("│", " ").split())
    assert "the bare token, on a terminal and piped" in told and "JSON lines when piped" not in told
    piped = andon(config, "create", "mes", "--scope", "read").stdout
    assert len(piped.split()) == 1 and piped.count(".") == 2
    assert json.loads(andon(config, "create", "mes", "--scope", "read", "-o", "json").stdout).keys() == {"id", "token"}
