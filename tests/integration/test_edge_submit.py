"""`andon report submit` against a running edge."""

import asyncio
import io
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from gateway.cli.main import andon
from gateway.cli.report_submit import submit
from gateway.core.errors import Full, Misconfigured, Refused, Unreachable
from tests.integration.edge_rig import FullStore, bearer, serving


async def run(url: str, *words: str, stdin: str | None = None) -> Result:
    return await asyncio.to_thread(CliRunner().invoke, submit, [*words, "--url", url, "-o", "jsonl"], stdin)


async def test_words_and_a_photo_reach_the_store_even_when_the_disk_was_full_at_first(tmp_path: Path) -> None:
    picture = io.BytesIO()
    Image.new("RGB", (8, 8)).save(picture, "PNG")
    (tmp_path / "p.png").write_bytes(picture.getvalue())
    full = Full("the disk is full")
    full.after = None
    async with serving(tmp_path, stores=lambda store: FullStore(store, [full])) as edge:
        photo = str(tmp_path / "p.png")
        done = await run(edge.url, "主轴异响", "--asset", "M-07", "--photo", photo, "--id", "c1")
        again = await run(edge.url, "-", "--asset", "M-07", "--photo", photo, "--id", "c1", stdin="主轴异响\n")
        assert done.exit_code == again.exit_code == 0, done.output
        assert json.loads(done.stdout) == json.loads(again.stdout)
        held = await edge.gateway.store.read(lambda tx: tx.report("c1"))
        assert held is not None and held.report.asset_hint == "M-07" and held.report.photo is not None


async def test_a_refusal_says_which_field_and_a_missing_gateway_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(tmp_path, anonymous=()) as edge:
        assert (await run(edge.url, "noisy")).exit_code == 4
        monkeypatch.setenv("ANDON_TOKEN", bearer("reports:write")["Authorization"].split()[1])
        wrong = await run(edge.url, "noisy", "--asset", "M-99")
        assert isinstance(wrong.exception, Refused) and "asset: no such asset" in str(wrong.exception)
        assert (await run(edge.url, "noisy")).exit_code == 0
    monkeypatch.setattr("gateway.cli.report_submit._LONGEST_WAIT_S", 0.01)
    gone = await run(edge.url, "noisy")
    assert isinstance(gone.exception, Unreachable)
    assert "does `andon up` run there?" in str(gone.exception) and "--id C-" in str(gone.exception)
    named = await run(edge.url, "noisy", "--id", "c7")
    assert "say it again with --id c7" in str(named.exception)


@pytest.mark.parametrize(
    "url", ["127.0.0.1:8000", "ftp://plant", "http://[", "http://", "机床", "http://a b/", "http://a:99999"]
)
async def test_an_address_that_is_none_is_named(url: str) -> None:
    done = await run(url, "noisy")
    assert (done.exit_code, "--url" in done.output) == (2, True), done.output


async def test_somebody_else_s_server_is_no_gateway() -> None:
    async def other(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = b'{"title": "Not Found"}'
        head = b"HTTP/1.1 404 Not Found\r\ncontent-type: application/json\r\nconnection: close\r\n"
        head += b"content-length: %d\r\n\r\n"
        writer.write(head % len(body) + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(other, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        done = await run(url, "noisy")
        assert isinstance(done.exception, Refused) and "is it an Andon gateway?" in str(done.exception)


async def test_who_is_not_let_in_learns_how_to_be(tmp_path: Path) -> None:
    async with serving(tmp_path, anonymous=()) as edge:
        done = await run(edge.url, "noisy")
        assert done.exit_code == 4 and "andon tokens create" in done.stderr
        listed = await asyncio.to_thread(CliRunner().invoke, andon, ["line", "targets", "--url", edge.url])
        assert listed.exit_code == 4 and "andon tokens create" in listed.stderr


async def test_a_token_that_is_none_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANDON_TOKEN", "口令 of Friday")
    done = await run("http://127.0.0.1:9", "noisy")
    assert isinstance(done.exception, Misconfigured) and "ANDON_TOKEN" in str(done.exception)


async def test_who_waits_for_a_report_is_told_when_it_was_not_read_in_time(tmp_path: Path) -> None:
    async with serving(tmp_path) as edge:
        done = await run(edge.url, "noisy", "--wait", "0.3")
        assert done.exit_code == 0 and json.loads(done.stdout)["route"] is None
        assert "stored, and not read yet" in done.stderr


async def test_who_may_only_hand_in_is_told_at_once_that_the_wait_is_in_vain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(tmp_path, anonymous=("reports:write",)) as edge:
        for token in ("", bearer("reports:write")["Authorization"].split()[1]):
            monkeypatch.setenv("ANDON_TOKEN", token)
            async with asyncio.timeout(30):  # and not the five minutes that it was told to wait
                done = await run(edge.url, "noisy", "--wait", "300")
            assert done.exit_code == 0 and json.loads(done.stdout)["route"] is None
            assert "stored; you may not look" in done.stderr and "scope read" in done.stderr, done.stderr
            assert "not read yet" not in done.stderr


def test_words_must_come_from_one_place() -> None:
    assert CliRunner().invoke(submit, []).exit_code == 2
    assert andon.commands["report"] is not None
