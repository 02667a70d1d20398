"""Settings of the wrong kind or size are a fault with its place, never a trace."""

import pytest

from gateway.core.errors import Misconfigured
from gateway.runtime.settings import parse


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("line = 3", "Expected tables such as [line.main]"),
        ("erp = []", "Expected tables such as [erp.main]"),
        ("site = 3", "site: Expected a table"),
        ("api = []", "api: Expected a table"),
        ("asset = 3", "asset: Expected"),
        ("[diagnosis]\nwindow = '0s'", "A window is between 100ms and 1h"),
        ("[diagnosis]\nwindow = '2h'", "A window is between 100ms and 1h"),
        ("[diagnosis]\nlate = '9d'", "at most an hour"),
        ("[api]\ndeadline = '0s'", "a second at least"),
        ("[site]\ntimezone = 'Europe'", "unknown time zone"),
        ("[line.x]\nprotocol = 3", "unknown protocol"),
        ("[orders]\nerp = 'nope'", "no [erp.nope]"),
    ],
)
def test_a_wrong_value_is_said_with_its_place(text: str, said: str) -> None:
    with pytest.raises(Misconfigured) as wrong:
        parse(text)
    assert said in str(wrong.value)
