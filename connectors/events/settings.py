"""Settings of the receivers of events: `[events]` and `[[events.to]]`."""

import base64
import binascii
import functools
import ssl
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from connectors.events.guard import Allowed, Forbidden, allowed_of, barred, pinned, target_of
from gateway.core.errors import Misconfigured, Refused
from gateway.core.reading import Name
from gateway.core.secret import SecretRef
from gateway.core.units import Duration

if TYPE_CHECKING:
    from connectors.events.guard import Resolve
    from connectors.events.webhook import Webhook

SAMPLE = """
[events]
allow = ["mes.plant.example", "10.20.0.0/16"]

[[events.to]]
name = "mes"
url = "https://mes.plant.example/hooks/andon"
secrets = [{ env = "ANDON_EVENTS_MES" }]
types = ["order.*", "episode.closed"]
"""

_PREFIX = "whsec_"
_SHORTEST_KEY, _LONGEST_KEY = 24, 64
_SHORTEST_S, _LONGEST_S = 1.0, 60.0
_MOST = 16


class Subscriber(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One receiver. Only events whose name fits one of `types` are sent to it.

    `secrets` sign: each live one gives a signature of its own, so that one can be replaced while the other still
    counts. They are `whsec_` and 24 to 64 bytes in base64. `format` "structured" puts the whole event into the body,
    which is what is signed; "binary" puts all but the data into headers. `ca_file` is trusted in the place of the
    public certificate authorities.
    """

    name: Name
    url: str
    secrets: Annotated[tuple[SecretRef, ...], msgspec.Meta(min_length=1, max_length=5)]
    types: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)] = ("*",)
    format: Literal["structured", "binary"] = "structured"
    timeout: Duration = Duration(15.0)
    ca_file: str | None = None

    def __post_init__(self) -> None:
        target_of(self.url)
        if not _SHORTEST_S <= self.timeout <= _LONGEST_S:
            raise ValueError("A receiver has 1s to 60s to answer (timeout)")

    def barred(self, allowed: Allowed) -> str:
        """Say why it can never be sent to, as far as its URL alone tells; empty when nothing is wrong with it."""
        return barred(target_of(self.url), allowed)

    async def addresses(self, allowed: Allowed) -> list[str]:
        """Resolve its host, now; give the addresses that events would go to. Raises `Refused` without one."""
        from connectors.events.names import Names  # noqa: PLC0415  (see `open`)

        target = target_of(self.url)
        try:
            return await pinned(target, allowed, Names().of)
        except Forbidden as no:
            raise Refused(str(no)) from no
        except OSError as lost:
            raise Refused(f"{target.host} cannot be resolved: {lost.strerror or lost}") from lost

    def open(self, allowed: Allowed, resolve: "Resolve | None" = None) -> "Webhook":
        """Make the sink. Raises `Misconfigured` for a secret or a certificate that cannot be used."""
        # Most gateways send no events, and httpx2 takes a tenth of a second.
        from standardwebhooks.webhooks import Webhook as Signer  # noqa: PLC0415

        from connectors.events.webhook import Webhook  # noqa: PLC0415

        signers = [Signer(_key(secret, number)) for number, secret in enumerate(self.secrets)]
        trust = _trust(self.ca_file)
        return Webhook(
            self.name,
            target_of(self.url),
            allowed,
            signers,
            form=self.format,
            deadline_s=self.timeout,
            trust=trust,
            resolve=resolve,
        )


class EventSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Events out. `source` is the CloudEvents source, `urn:andon:` and the site's id without it.

    `allow` lists what may be sent to beside the public internet: addresses and networks, and host names whose
    addresses may be private ones. Only what is listed is sent to over http://.
    """

    source: Annotated[str, msgspec.Meta(max_length=200, pattern=r"^[\x21-\x7e]*$")] = ""
    allow: tuple[str, ...] = ()
    to: tuple[Subscriber, ...] = ()

    def __post_init__(self) -> None:
        allowed_of(self.allow)
        if len(self.to) > _MOST:
            raise ValueError(f"There are {_MOST} receivers at most")
        names = [one.name for one in self.to]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two receivers are called {twice[0]!r}")

    @property
    def allowed(self) -> Allowed:
        """The allow-list, read."""
        return allowed_of(self.allow)


def _trust(file: str | None) -> ssl.SSLContext:
    """Say whose certificates are trusted. Raises `Misconfigured`."""
    try:
        return _public() if file is None else ssl.create_default_context(cafile=file)
    except OSError as lost:
        raise Misconfigured(f"ca_file {file}: {lost.strerror or 'holds no certificate'}") from lost


@functools.cache
def _public() -> ssl.SSLContext:
    import httpx2  # noqa: PLC0415  (see `Subscriber.open`)

    return httpx2.create_ssl_context()  # reads for a tenth of a second


def _key(secret: SecretRef, number: int) -> bytes:
    """Read a signing key. Raises `Misconfigured` naming its place, never the value."""
    text = secret.reveal()
    try:
        key = base64.b64decode(text.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not _SHORTEST_KEY <= len(key) <= _LONGEST_KEY:
        raise Misconfigured(f"secrets[{number}] is not whsec_ and 24 to 64 bytes in base64: `openssl rand -base64 32`")
    return key
