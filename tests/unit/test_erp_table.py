"""The table of docs/connect-erp.md says of each ERP adapter what its code declares."""

import re
from datetime import timedelta
from importlib import import_module
from pathlib import Path

import pytest

from connectors.erp import rest
from gateway.core.delivery import Capabilities
from gateway.runtime.settings import parse

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "connect-erp.md").read_text("utf-8")
FOLDERS = sorted(file.parent.name for file in (ROOT / "connectors" / "erp").glob("*/settings.py"))
SECRET = re.compile(r'env = "(\w+)"')
CERTIFIED = re.compile(r"\| \[[^\]]+\]\(erp/\w+\.md\) \| `(\w+)` \|.*?\| ([^|]+) \|$", re.MULTILINE)


def declared(protocol: str, patch: pytest.MonkeyPatch) -> Capabilities:
    """Open the adapter of a sample, and ask."""
    sample = str(rest.SAMPLE if protocol == "rest" else import_module(f"connectors.erp.{protocol}").SAMPLE)
    for name in SECRET.findall(sample):
        patch.setenv(name, "x" * 32)
    if protocol == "jobcontrol":  # no certificates here: what is promised does not depend on them
        sample = re.sub(
            r"^user = .*$", "", re.sub(r"^pki = .*$", "insecure = true", sample, flags=re.MULTILINE), flags=re.MULTILINE
        )
    [settings] = parse(f'[site]\nid = "SZ1"\n{sample}', "sample").erp.values()
    capabilities: Capabilities = settings.open().capabilities
    return capabilities


def span(length: timedelta) -> str:
    return f"{length.total_seconds():g} s" if length else "at once"


def row(protocol: str, said: Capabilities) -> str:
    """Write an adapter's row as the page has it."""
    cells = [
        f"`{protocol}`",
        f"`{said.idempotency}`" + (", overwrites" if said.overwrites else ""),
        str(said.key_limit),
        span(said.settle),
        f"{said.batch}" if said.batch > 1 else "1",
        {"none": "none", "etag": "ETag", "timestamp": "time of change"}[said.precondition],
        {"poll": "asked", "unsigned": "hint", "signed": "signed"}[said.feedback],
        "yes" if said.amends else "no",
        "yes" if said.cancels else "no",
    ]
    return f"| {' | '.join(cells)} |"


@pytest.mark.parametrize("protocol", FOLDERS)
def test_the_page_says_what_an_adapter_declares(protocol: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert row(protocol, declared(protocol, monkeypatch)) in PAGE.splitlines()


def test_every_adapter_is_on_the_page_and_only_what_runs_for_real_is_called_certified() -> None:
    told = dict(CERTIFIED.findall(PAGE))
    assert sorted(told) == FOLDERS
    certified = [name for name, said in told.items() if "certified" in said and "not certified" not in said]
    assert certified == ["tryton"]
    for name in FOLDERS:
        page = (ROOT / "docs" / "erp" / f"{name}.md").read_text("utf-8")
        assert name in {"tryton", "rest"} or "not certified" in page, name
