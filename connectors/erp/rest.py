"""Any ERP with a plain REST interface: one POST per order, a look-up by our key, OAuth2."""

import ipaddress
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Annotated, Any, Literal
from urllib.parse import quote, urlsplit

import httpx2
import msgspec

from connectors.erp.grant import ClientAuth, Grant, read_key
from connectors.erp.http import Answer, ErpClient, Lost, classify, lost_outcome, refusal
from connectors.erp.keeper import RefreshKeeper
from connectors.erp.mapping import DEFAULT, Body, Rule
from connectors.erp.oauth import ClientCredentials, NoToken
from gateway.core.delivery import Capabilities, Delivered, ErpRef, Idempotency, Outcome, Rejected, Uncertain
from gateway.core.errors import Misconfigured, Refused, Unreachable
from gateway.core.order import WorkOrder
from gateway.core.ports import Clock, ErpAdapter
from gateway.core.reading import Name
from gateway.core.secret import SecretRef
from gateway.core.units import Duration

SAMPLE = """
[erp.main]
protocol = "rest"
base_url = "https://erp.example"
token_url = "https://erp.example/oauth/token"
client_id = "andon"
client_secret = { env = "ERP_SECRET" }
audience = "erp"
idempotency = "header"         # the ERP honours Idempotency-Key; "lookup" when it does not
replay_window = "12h"          # how long it remembers one, at least
settle = "60s"                 # its longest time to carry out a request that was given up

[erp.main.mapping]
reference = "key"
title = { from = "title", max = 80 }
description = { from = "text", max = 4000 }
equipment = "asset"
priority = "priority"            # or from = "priority" with values = { 1 = "urgent", ... }
source = { constant = "ANDON" }
"""

_NOBODY = "AN000000000000000000"
"""A key that no order has: asked for to see whether the ERP answers."""

_LONGEST_TIMEOUT, _LONGEST_SETTLE = 300.0, 3000.0
_GRACE = timedelta(seconds=2)

Url = Annotated[str, msgspec.Meta(pattern=r"^https?://[^\s/]+")]
Path = Annotated[str, msgspec.Meta(pattern=r"^/")]


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One ERP. `timeout` bounds a whole request, `connect` the way to the first byte.

    `idempotency` "header" needs an ERP that honours Idempotency-Key for at least `replay_window`;
    "lookup" is right for every other. An order is found by GET on `orders_path` with `lookup_param`; the
    answer is a list, or has one in `list_field`. An empty `mapping` sends `connectors.erp.mapping.DEFAULT`.
    Plain http is for this machine, unless `insecure`. `cert_file` and `key_file` are the client's own
    certificate (RFC 8705); proxies of the environment are not used, `proxy` is.

    `client_auth` "basic" and "form" need `client_secret`, "private_key_jwt" needs `client_key` (PEM or JWK; its
    assertions are for `assertion_audience`, the token address when it is empty), "tls" needs `cert_file`.
    With `refresh_token` tokens come by it alone, and it may turn at every use.
    """

    name: Name
    base_url: Url
    token_url: Url
    client_id: Annotated[str, msgspec.Meta(min_length=1)]
    client_secret: SecretRef | None = None
    client_auth: ClientAuth = "basic"
    client_key: SecretRef | None = None
    client_key_id: str = ""
    assertion_audience: str = ""
    refresh_token: SecretRef | None = None
    scope: str = ""
    audience: str = ""
    resource: str = ""
    insecure: bool = False
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    proxy: Url | None = None
    idempotency: Literal["header", "lookup"] = "lookup"
    replay_window: Duration = Duration(12 * 3600)
    settle: Duration = Duration(60)
    orders_path: Path = "/api/orders"
    lookup_param: str = "reference"
    list_field: str = "items"
    number_field: str = "number"
    reference_field: str = "reference"
    status_field: str = "status"
    headers: dict[str, str] = {}
    timeout: Duration = Duration(30)
    connect: Duration = Duration(5)
    connections: Annotated[int, msgspec.Meta(ge=1, le=64)] = 16
    mapping: dict[str, str | Rule] = {}

    def __post_init__(self) -> None:
        for url in (self.base_url, self.token_url):
            if urlsplit(url).scheme == "http" and not self.insecure and not _is_here(url):
                raise ValueError(f"{url} would send orders and secrets in plain text; use https, or insecure = true")
        needed = {"private_key_jwt": "client_key", "tls": "cert_file"}.get(self.client_auth, "client_secret")
        if getattr(self, needed) is None:
            raise ValueError(f'client_auth = "{self.client_auth}" needs {needed}')
        # Together they must stay below the longest lease and wait of the outbox, an hour.
        if not 0 < self.timeout <= _LONGEST_TIMEOUT:
            raise ValueError("timeout is more than nothing and at most 5min")
        if self.settle > _LONGEST_SETTLE:
            raise ValueError("settle is at most 50min")

    def open(self) -> ErpAdapter:
        """Make the adapter. Raises `Misconfigured` without the secret, or with a mapping that cannot be."""
        body = Body(self.mapping or DEFAULT, self.reference_field, 20)
        verify = _trust(self)
        limits = httpx2.Limits(max_connections=self.connections, keepalive_expiry=4.0)
        within = httpx2.Timeout(self.timeout, connect=min(self.connect, self.timeout))
        # A client of its own: a queue for connections must never keep a token waiting. No proxy from the environment.
        auth = ClientCredentials(
            lambda: httpx2.AsyncClient(timeout=within, verify=verify, proxy=self.proxy, trust_env=False),
            self._grant(),
            refresh_token=self.refresh_token.reveal() if self.refresh_token is not None else "",
        )
        client = httpx2.AsyncClient(
            auth=auth,
            base_url=self.base_url,
            headers={"accept": "application/json", **self.headers},
            timeout=within,
            verify=verify,
            limits=limits,
            proxy=self.proxy,
            trust_env=False,
        )
        return Rest(self, ErpClient(client, self.timeout), auth, body)

    def _grant(self) -> Grant:
        return Grant(
            self.token_url,
            self.client_id,
            self.client_secret.reveal() if self.client_secret is not None else "",
            self.client_auth,
            scope=self.scope,
            audience=self.audience,
            resource=self.resource,
            client_key=read_key(self.client_key.reveal(), self.client_key_id) if self.client_key is not None else None,
            assertion_audience=self.assertion_audience,
            refreshes=self.refresh_token is not None,
        )


class Rest:
    """A `gateway.core.ports.ErpAdapter`. Made by `Settings.open`; used in one event loop."""

    def __init__(
        self,
        settings: Settings,
        client: ErpClient,
        auth: ClientCredentials,
        body: Body,
        now: Clock = lambda: datetime.now(UTC),
    ) -> None:
        self._settings, self._client, self._auth = settings, client, auth
        self._body, self._now = body, now
        self._capabilities = Capabilities(
            idempotency=Idempotency(settings.idempotency),
            deadline=timedelta(seconds=settings.timeout) + _GRACE,
            replay_window=timedelta(seconds=settings.replay_window) if settings.idempotency == "header" else None,
            settle=timedelta(seconds=settings.settle),
            feedback="signed",
        )

    @property
    def name(self) -> str:
        """The name in andon.toml."""
        return self._settings.name

    @property
    def capabilities(self) -> Capabilities:
        """What this ERP promises."""
        return self._capabilities

    def keep_with(self, keeper: RefreshKeeper) -> None:
        """Keep the refresh token there, each time that it turns; called before the first request."""
        self._auth.keep_with(keeper)

    async def verify(self) -> list[str]:
        """Try the token and a look-up that finds nothing; name what is wrong. Raises `Unreachable`."""
        try:
            await self._auth.token()
        except NoToken as none:
            if none.refused:
                return [f"{self.name}: {none}; see client_id, client_secret, scope and audience"]
            raise
        try:
            await self.find(_NOBODY)
        except Refused as no:
            return [f"{self.name}: orders cannot be looked up at {self._settings.orders_path}: {no}"]
        except Unreachable as lost:
            if "401" in str(lost):
                return [f"{self.name}: the token is not accepted; see audience and scope"]
            raise
        return []

    async def deliver(self, orders: Sequence[WorkOrder]) -> list[Outcome]:
        """Send each order once."""
        return [await self._deliver(order) for order in orders]

    async def _deliver(self, order: WorkOrder) -> Outcome:
        body = self._body.of(order)
        # The header is harmless where it is not honoured. Its value is an RFC 9651 string.
        headers = {"content-type": "application/json", "idempotency-key": f'"{order.key}"'}
        try:
            answer = await self._client.ask("POST", self._settings.orders_path, content=body, headers=headers)
        except Lost as lost:
            return lost_outcome(lost)
        if HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
            ref = self._ref(_object(answer), order.key)
            if ref is None:
                return Uncertain(f"the ERP answered {answer.status} without a number")
            return Delivered(ref, created=answer.headers.get("idempotent-replayed", "").lower() != "true")
        return classify(answer, self._now(), replays=self._capabilities.idempotency is Idempotency.HEADER)

    async def find(self, key: str) -> list[ErpRef]:
        """Look an order up by our key, the oldest first. Raises `Unreachable` or `Refused`."""
        path = self._settings.orders_path
        answer = await self._ask(path, {self._settings.lookup_param: key})
        said = _object(answer)
        rows = said.get(self._settings.list_field) if isinstance(said, dict) else said
        if not isinstance(rows, list):
            raise Refused(f"the answer has no list in {self._settings.list_field!r}; see list_field")
        # "Not found" leads to sending again: an answer to another question must not pass for it.
        if any(not isinstance(row, dict) or row.get(self._settings.reference_field) != key for row in rows):
            raise Refused(f"the ERP gave orders of another {self._settings.reference_field!r}; see lookup_param")
        found = [ref for row in rows if (ref := self._ref(row, key)) is not None]
        if len(found) < len(rows):
            raise Refused(f"an order was found without {self._settings.number_field!r}; see number_field")
        return sorted(found, key=lambda ref: (len(ref.number), ref.number))

    async def status(self, ref: ErpRef) -> ErpRef:
        """Read an order back by its number. Raises `Unreachable` or `Refused`."""
        answer = await self._ask(f"{self._settings.orders_path}/{quote(ref.number, safe='')}", None)
        now = self._ref(_object(answer), ref.key)
        if now is None:
            raise Refused(f"the answer has no {self._settings.number_field!r}; see number_field")
        return now

    async def amend(self, ref: ErpRef, before: WorkOrder, after: WorkOrder) -> Outcome:  # noqa: ARG002  the port's
        """Refuse: this adapter changes nothing that is there."""
        return Rejected("orders are not changed in this ERP")

    async def cancel(self, ref: ErpRef, order: WorkOrder, reason: str) -> Outcome:  # noqa: ARG002  the port's
        """Refuse: this adapter takes nothing back."""
        return Rejected("orders are not taken back in this ERP")

    async def close(self) -> None:
        """Close every connection. May be called twice."""
        await self._auth.close()
        await self._client.close()

    async def _ask(self, path: str, params: dict[str, str] | None) -> Answer:
        try:
            answer = await self._client.ask("GET", path, params=params)
        except Lost as lost:
            raise Unreachable(f"{self.name}: {lost.cause}") from lost
        if answer.status != HTTPStatus.OK:
            raise refusal(answer, self._now())
        return answer

    def _ref(self, row: Any, key: str) -> ErpRef | None:
        number = row.get(self._settings.number_field) if isinstance(row, dict) else None
        if isinstance(number, bool) or not isinstance(number, str | int) or not str(number).strip():
            return None
        return ErpRef(key, str(number).strip()[:64], str(row.get(self._settings.status_field) or "")[:64])


def _object(answer: Answer) -> Any:
    """Decode a body; what is no JSON is None."""
    try:
        return answer.json()
    except (ValueError, RecursionError):
        return None


def _is_here(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _trust(settings: Settings) -> ssl.SSLContext:
    try:
        trust = (
            httpx2.create_ssl_context()
            if settings.ca_file is None
            else ssl.create_default_context(cafile=settings.ca_file)
        )
    except OSError as lost:
        raise Misconfigured(f"ca_file {settings.ca_file} cannot be read: {lost.strerror or 'no certificate'}") from lost
    if settings.cert_file is not None:
        try:
            trust.load_cert_chain(settings.cert_file, settings.key_file)
        except OSError as lost:
            why = lost.strerror or "not a certificate with its key"
            raise Misconfigured(f"cert_file {settings.cert_file} cannot be used: {why}") from lost
    return trust
