"""The settings that every REST interface needs: where it is, who we are to it, how long it may take."""

import base64
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Literal

import msgspec

from connectors.erp.grant import ClientAuth, Grant, read_key
from connectors.erp.http import ErpClient
from connectors.erp.oauth import ClientCredentials
from connectors.erp.place import Reach, Url, sendable
from connectors.erp.rest.door import Door, Reading, plainly
from connectors.erp.rest.plan import CALLS
from connectors.erp.rest.template import HeaderName
from gateway.core.ports import Clock
from gateway.core.reading import Name
from gateway.core.secret import SecretRef
from gateway.core.units import Duration

_LONGEST_TIMEOUT, _LONGEST_TOGETHER = 300.0, 3500.0


class Access(Reach, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One ERP with a REST interface, and who we are to it.

    `auth` "oauth2" needs `token_url`, `client_id` and what `client_auth` asks for: "basic" and "form"
    `client_secret`, "private_key_jwt" `client_key` (PEM or JWK; its assertions are for `assertion_audience`, the
    token address when it is empty), "tls" `cert_file`. With `refresh_token` tokens come by it alone, and it may turn
    at every use. "api_key" sends `api_key` in `api_key_header`, after `api_key_scheme` and a space where there
    is one; "basic" sends `user` and `password`; "none" nothing (a certificate may be enough).

    `settle` is the ERP's longest time to carry out a request that was given up.
    """

    name: Name
    auth: Literal["oauth2", "api_key", "basic", "none"] = "oauth2"
    token_url: Url | None = None
    client_id: str = ""
    client_secret: SecretRef | None = None
    client_auth: ClientAuth = "basic"
    client_key: SecretRef | None = None
    client_key_id: str = ""
    assertion_audience: str = ""
    refresh_token: SecretRef | None = None
    scope: str = ""
    audience: str = ""
    resource: str = ""
    api_key: SecretRef | None = None
    api_key_header: HeaderName = "authorization"
    api_key_scheme: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9 =_-]{0,40}$")] = ""
    user: str = ""
    password: SecretRef | None = None
    headers: dict[HeaderName, str] = msgspec.field(default_factory=dict)
    settle: Duration = Duration(60)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.keep_secret(self.token_url)
        for name in self._needed():
            if not getattr(self, name):
                kind = "client_auth" if name in {"client_secret", "client_key", "cert_file"} else "auth"
                raise ValueError(f'{kind} = "{getattr(self, kind)}" needs {name}')
        if not 0 < self.timeout <= _LONGEST_TIMEOUT:
            raise ValueError("timeout is more than nothing and at most 5min")
        # Together they must stay below the longest lease and wait of the outbox, an hour.
        if 2 * CALLS * self.timeout + self.settle > _LONGEST_TOGETHER:
            longest = (_LONGEST_TOGETHER - 2 * CALLS * self.timeout) / 60
            raise ValueError(f"settle is at most {longest:.0f}min with this timeout")

    def _needed(self) -> tuple[str, ...]:
        if self.auth == "oauth2":
            proof = {"private_key_jwt": "client_key", "tls": "cert_file"}.get(self.client_auth, "client_secret")
            return ("token_url", "client_id", proof)
        return {"api_key": ("api_key",), "basic": ("user", "password")}.get(self.auth, ())

    def door(
        self,
        extra: Mapping[str, str],
        now: Clock = lambda: datetime.now(UTC),
        *,
        replays: bool = False,
        read: Reading = plainly,
    ) -> tuple[Door, ClientCredentials | None]:
        """Make the way in, with these headers on every request. Raises `Misconfigured` without a secret."""
        tokens = self._tokens() if self.auth == "oauth2" else None
        client = self.new_client(tokens, {**extra, **self.headers, **self._credentials()})
        secret = {"oauth2": "the token was refused twice", "none": "it wants to know who asks; see auth"}
        secret |= {"api_key": "the key is not accepted", "basic": "user and password are not accepted"}
        erp = ErpClient(client, self.timeout)
        return Door(self.name, erp, now, replays=replays, secret=secret[self.auth], read=read), tokens

    def _credentials(self) -> dict[str, str]:
        if self.auth == "api_key" and self.api_key is not None:
            said = f"{self.api_key_scheme} {self.api_key.reveal()}".strip()
            return {self.api_key_header: sendable(said, "api_key")}
        if self.auth == "basic" and self.password is not None:
            pair = f"{self.user}:{self.password.reveal()}".encode()
            return {"authorization": "Basic " + base64.b64encode(pair).decode()}
        return {}

    def _tokens(self) -> ClientCredentials:
        # A client of its own: a queue for connections must never keep a token waiting.
        return ClientCredentials(
            lambda: self.new_client(None, {}),
            self._grant(),
            refresh_token=self.refresh_token.reveal() if self.refresh_token is not None else "",
        )

    def _grant(self) -> Grant:
        return Grant(
            str(self.token_url),
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
