"""`andon import --server`: a namespace index becomes the URI that the server itself has for it."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from connectors.opcua.pki import read_chain
from gateway.cli.import_ import cli
from gateway.core.errors import Unreachable
from tests import opcua_papers
from tests.integration.sim_process import running

FILE = """
[[inputs.opcua]]
  name = "cell"
  endpoint = "{server}"
  nodes = [ {{ name = "speed", namespace = "2", identifier_type = "s", identifier = "M-01.speed" }} ]
"""


@pytest.mark.pain(17)
def test_an_index_is_looked_up_in_a_secured_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ANDON_OPCUA_PASSWORD", "change-me")
    pki = opcua_papers.gateway(tmp_path / "pki")
    options = ["--pki", str(tmp_path / "plc"), "--user", "andon", "--password-env", "ANDON_OPCUA_PASSWORD"]
    with running("opcua", "--asset", "M-01", *options) as machine:
        server = str(machine.ready["endpoint"])
        Path("telegraf.conf").write_text(FILE.format(server=server))
        ask = ["telegraf", "telegraf.conf", "--server", server, "--user", "andon"]
        stranger = CliRunner().invoke(cli, ask)
        assert isinstance(stranger.exception, Unreachable), "an import trusts nobody either"
        pki.put(read_chain(tmp_path / "plc" / "own" / "certs" / "server.der")[0])
        done = CliRunner().invoke(cli, ask)
    assert done.exit_code == 0, done.output
    assert 'address = "nsu=urn:andon:line;s=M-01.speed"' in done.stdout
    assert "looked up" not in done.stderr
