"""The running gateway, asked over its API: its address from the settings, the token from the environment."""

import os
import sys
from typing import TYPE_CHECKING, NoReturn

import rich_click as click

from gateway.cli.exits import Exit

if TYPE_CHECKING:
    import httpx2

DEADLINE_S = 15.0
_HIGHEST_PORT = 65535

url_option = click.option("--url", envvar="ANDON_URL", help="The gateway (default: from the settings file).")


def client(url: str | None, config: str | None) -> "httpx2.Client":
    """Make a client of the running gateway; a token, if one is needed, stands in ANDON_TOKEN."""
    import httpx2

    from gateway.core.errors import Misconfigured

    token = os.environ.get("ANDON_TOKEN", "").strip()
    if not token.isascii() or not token.isprintable() or " " in token:
        raise Misconfigured("ANDON_TOKEN holds no token: it is one line as `andon tokens create` prints it")
    place = url or address(config)
    base = _base(place)
    if base is None:
        raise click.BadParameter(f"{place!r} is no address; for example http://127.0.0.1:8000", param_hint="--url")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return httpx2.Client(base_url=base, timeout=DEADLINE_S, headers=headers)


def _base(place: str) -> "httpx2.URL | None":
    import httpx2

    try:
        base = httpx2.URL(place)
    except httpx2.InvalidURL:
        return None
    sound = base.scheme in {"http", "https"} and base.host and "%" not in base.host
    return base if sound and 0 < (base.port or 80) <= _HIGHEST_PORT else None


def address(config: str | None) -> str:
    """Give the URL of the gateway that the settings describe."""
    from gateway.runtime.settings import load

    api = load(config).api
    host = "127.0.0.1" if api.host in {"0.0.0.0", "::"} else api.host  # noqa: S104  (a comparison, not a bind)
    return f"http://[{host}]:{api.port}" if ":" in host else f"http://{host}:{api.port}"


def ask(asked: "httpx2.Client", method: str, path: str, **more: object) -> "httpx2.Response":
    """Ask once. Raises `Unreachable` when nobody answers; ends with 4 when the caller may not."""
    import httpx2

    from gateway.core.errors import Unreachable

    try:
        answer = asked.request(method, path, **more)  # type: ignore[arg-type]  # whatever the library takes
    except httpx2.TransportError as cut:
        raise Unreachable(f"no answer from {asked.base_url} ({type(cut).__name__}): does `andon up` run?") from cut
    if answer.status_code in {401, 403}:
        shut_out(answer)
    return answer


def shut_out(answer: "httpx2.Response") -> NoReturn:
    """End with 4, and say how to be let in."""
    click.echo(f"Not authorised: {problem(answer)}", err=True)
    if "ANDON_TOKEN" not in os.environ:
        click.echo("a token goes into the environment variable ANDON_TOKEN; `andon tokens create` makes one", err=True)
    sys.exit(Exit.NOT_LET_IN)


def problem(answer: "httpx2.Response") -> str:
    """Say in words what the gateway did not like."""
    try:
        told = answer.json()
        kind = str(told["type"])
        faults = [f"{fault.get('field')}: {fault.get('message')}" for fault in told.get("errors", ())]
    except (ValueError, KeyError, TypeError, AttributeError):
        kind = ""
    if not kind.startswith("urn:andon:"):  # somebody else's error, in whatever words
        place = answer.request.url.copy_with(path="/", query=None)
        return f"{place} answered {answer.status_code}: is it an Andon gateway?"
    return "; ".join([": ".join(word for word in (told.get("title"), told.get("detail")) if word), *faults])
