"""Tables of the command line: what an ERP or a person wrote is shown as it is, and commands nothing."""

import pytest

from gateway.cli.common import printable, table


@pytest.mark.parametrize(
    "said",
    [
        'nobody is named: see [production] to = "…"',
        "field [/equipment] is unknown",
        "[bold]not[/bold] [link=http://example.org]a style[/link]",
        ":warning: \\[x]",
    ],
)
def test_brackets_stay_as_they_were_written(said: str, capsys: pytest.CaptureFixture[str]) -> None:
    table([said], {"reason": lambda row: row})
    assert said in capsys.readouterr().out


def test_a_status_of_the_erp_gives_the_terminal_no_commands(capsys: pytest.CaptureFixture[str]) -> None:
    table(["INPRG\x1b]0;title\x07 \x1b[2J\x9b31m\r\u202egone"], {"ERP status": lambda row: row})
    out = capsys.readouterr().out
    assert "INPRG" in out
    assert "gone" in out
    assert not set(out) & {"\x1b", "\x07", "\x9b", "\r", "\u202e"}


def test_words_keep_their_lines_and_every_script() -> None:
    assert printable("主轴 — ß\nzweite Zeile\t🙂") == "主轴 — ß\nzweite Zeile\t🙂"
