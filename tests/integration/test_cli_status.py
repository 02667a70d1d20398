"""`andon status` against a running edge."""

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.cli.status import cli
from gateway.core.batch import TagState
from gateway.core.errors import Unreachable
from tests.integration.edge_rig import serving


async def run(url: str) -> Result:
    return await asyncio.to_thread(CliRunner().invoke, cli, ["--url", url, "-o", "jsonl"])


@pytest.mark.pain(13)
async def test_what_ails_is_named_and_the_exit_code_says_so(tmp_path: Path) -> None:
    async with serving(tmp_path) as edge:
        now = datetime.now(UTC)
        edge.sources[:] = [
            TagState("cell-a", "M-07/speed", healthy=True, last_at=now),
            TagState("cell-a", "M-07/thermal", healthy=False, detail="BadNodeIdUnknown"),
        ]
        ill = await run(edge.url)
        rows = {row["part"]: row for row in map(json.loads, ill.stdout.splitlines())}
        assert ill.exit_code == 6
        assert rows["line.cell-a"]["state"] == "warn"
        assert rows["line.cell-a M-07/thermal"]["detail"] == "BadNodeIdUnknown"
        assert rows["store"]["state"] == "pass"
        edge.sources[:] = [TagState("cell-a", "M-07/speed", healthy=True, last_at=datetime.now(UTC))]
        well = await run(edge.url)
        assert well.exit_code == 0, well.output
    gone = await run(edge.url)
    assert isinstance(gone.exception, Unreachable)
    assert "does `andon up` run?" in str(gone.exception)
