"""Where an ERP is reached: addresses that may be plain, certificates, one client for its requests."""

import functools
import ipaddress
import ssl
from collections.abc import Mapping
from typing import Annotated
from urllib.parse import urlsplit

import httpx2
import msgspec

from gateway.core.errors import Misconfigured
from gateway.core.units import Duration

Url = Annotated[str, msgspec.Meta(pattern=r"^https?://[^\s/]+")]


class Reach(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the settings of every ERP say of the way there: its address, certificates, how long it may take.

    `timeout` bounds a whole request, `connect` the way to the first byte. Plain http is for this machine, unless
    `insecure`. `cert_file` and `key_file` are the client's own certificate (RFC 8705). `proxy` is used, those of the
    environment are not.
    """

    base_url: Url
    insecure: bool = False
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    proxy: Url | None = None
    timeout: Duration = Duration(30)
    connect: Duration = Duration(5)
    connections: Annotated[int, msgspec.Meta(ge=1, le=64)] = 16

    def __post_init__(self) -> None:
        self.keep_secret(self.base_url)

    def keep_secret(self, url: str | None) -> None:
        """Raise ValueError for an address that would send orders and secrets in plain text, unless `insecure`."""
        if url is not None and plain(url) and not self.insecure:
            raise ValueError(f"{url} would send orders and secrets in plain text; use https, or insecure = true")

    def new_client(self, auth: httpx2.Auth | None, headers: Mapping[str, str]) -> httpx2.AsyncClient:
        """Make the client. Raises `Misconfigured` for a certificate or a header that cannot be used."""
        for name, value in headers.items():
            sendable(value, f"headers.{name}")
        return httpx2.AsyncClient(
            auth=auth,
            base_url=self.base_url,
            headers={"accept": "application/json", **headers},
            timeout=httpx2.Timeout(self.timeout, connect=min(self.connect, self.timeout)),
            verify=self._trust(),
            limits=httpx2.Limits(max_connections=self.connections, keepalive_expiry=4.0),
            proxy=self.proxy,
            trust_env=False,
        )

    def _trust(self) -> ssl.SSLContext:
        try:
            if self.ca_file is not None:
                trust = ssl.create_default_context(cafile=self.ca_file)
            else:
                trust = _common() if self.cert_file is None else httpx2.create_ssl_context()
        except OSError as lost:
            why = lost.strerror or "no certificate"
            raise Misconfigured(f"ca_file {self.ca_file} cannot be read: {why}") from lost
        if self.cert_file is not None:
            try:
                trust.load_cert_chain(self.cert_file, self.key_file)
            except OSError as lost:
                why = lost.strerror or "not a certificate with its key"
                raise Misconfigured(f"cert_file {self.cert_file} cannot be used: {why}") from lost
        return trust


def sendable(value: str, what: str) -> str:
    """Give what goes into a header. Raises `Misconfigured` naming `what`, never the value, for more than ASCII."""
    if not value.isascii() or not value.isprintable():
        raise Misconfigured(f"{what} cannot be sent in a header: it has a line's end, or more than ASCII")
    return value


@functools.cache
def _common() -> ssl.SSLContext:
    """Give the certificates that everybody trusts; reading them takes a tenth of a second, so once is enough."""
    return httpx2.create_ssl_context()


def plain(url: str) -> bool:
    """Say whether an address would send secrets in plain text to another machine."""
    parts = urlsplit(url)
    if parts.scheme != "http":
        return False
    host = parts.hostname or ""
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host != "localhost"
