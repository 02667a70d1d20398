"""The container's files: nobody's user, nothing installed at run time, no shell between, a root that is read only."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STAGES = re.split(r"^FROM ", (ROOT / "Dockerfile").read_text("utf-8"), flags=re.MULTILINE)
COMPOSE = (ROOT / "compose.yaml").read_text("utf-8")


@pytest.mark.pain(25)
def test_the_image_runs_as_a_user_without_rights_and_without_a_shell() -> None:
    final = STAGES[-1]
    users = re.findall(r"^USER (\S+)", final, re.MULTILINE)
    assert users == ["10001:10001"]
    assert "/usr/sbin/nologin" in final
    assert 'ENTRYPOINT ["andon"]' in final, "the program itself, no script that could rewrite anything"


@pytest.mark.pain(25)
def test_the_image_installs_nothing_when_it_runs_and_has_nothing_to_install_with() -> None:
    build, final = STAGES[-2], STAGES[-1]
    assert "--no-index" in build
    assert "pip uninstall --yes --quiet pip" in build
    assert "pip" not in final
    for away in ("resolv.conf", "ensurepip", "apt-get", "curl ", "wget "):
        assert away not in final


@pytest.mark.pain(25)
def test_the_service_gives_every_right_away() -> None:
    gateway = COMPOSE.split("  database:\n")[0]
    for wanted in ("read_only: true", "cap_drop: [ALL]", "no-new-privileges:true"):
        assert wanted in gateway
    for away in ("privileged:", "network_mode", "cap_add", "dns:", "/var/run/docker.sock"):
        assert away not in gateway
