"""The board says how tags are doing, and says it once; rules that cannot work are refused with the settings."""

from datetime import UTC, datetime

import msgspec
import pytest
import structlog

from connectors.line.board import Board
from connectors.line.opcua.settings import Settings as OpcUaSettings
from connectors.line.tags import Tag
from tests.line_rigs import settings_of

NOW = datetime(2026, 3, 18, tzinfo=UTC)


def test_a_tag_that_fails_again_and_again_does_not_fill_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    # A logger that was used keeps the configuration of that time, which may be another test's.
    monkeypatch.setattr("connectors.line.board.log", structlog.get_logger())
    board = Board("m", [Tag(asset="A", tag="a", address="x")])
    with structlog.testing.capture_logs() as lines:
        for _ in range(5):
            board.heard(0, NOW, "spike")
            board.heard(0, NOW)
        board.heard(0, NOW, "BadNoCommunication")
        board.heard(0, NOW)
    assert [(line["event"], line.get("why")) for line in lines] == [
        ("line.tag.failed", "spike"),
        ("line.tag.mended", None),
        ("line.tag.failed", "BadNoCommunication"),
        ("line.tag.mended", None),
    ]


def test_rules_that_cannot_work_are_refused_with_the_settings() -> None:
    tag = {"asset": "A", "tag": "a", "address": "i=1", "missing": 0.2}
    with pytest.raises(msgspec.ValidationError, match="missing needs every"):
        settings_of(OpcUaSettings, name="x", endpoint="opc.tcp://h:1", insecure=True, tag=[tag])
    with pytest.raises(msgspec.ValidationError, match="heartbeat must be at least"):
        settings_of(OpcUaSettings, name="x", endpoint="opc.tcp://h:1", insecure=True, heartbeat="1ms", tag=[tag])
