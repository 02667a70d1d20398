"""OAuth2 authorization server of the simulated ERP: client credentials, refresh tokens, JWT access tokens, JWKS.

The protocol is Authlib's; here stand the clients, the keys and the switches that a test turns.
"""

import secrets
import time
from dataclasses import dataclass, field
from typing import Any

from authlib.oauth2.rfc6749 import AuthorizationServer, InvalidRequestError, OAuth2Request
from authlib.oauth2.rfc6749.grants import ClientCredentialsGrant, RefreshTokenGrant
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet, RSAKey

from simulators.erp.asgi import Request, Response, json_response

GRANT = "client_credentials"
METHODS = ("client_secret_basic", "client_secret_post", "private_key_jwt")
REFRESH = "refresh_token"
ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
LONGEST_ASSERTION_S = 61
TOKEN_PATH = "/oauth/token"  # noqa: S105  a path, not a secret
JWKS_PATH = "/.well-known/jwks.json"
METADATA_PATH = "/.well-known/oauth-authorization-server"


@dataclass(slots=True)
class Client:
    """A registered client, with the methods that Authlib asks for. `audience` is of one token request."""

    client_id: str
    client_secret: str
    audience: str = ""

    def get_client_id(self) -> str:
        """Give the id."""
        return self.client_id

    def get_allowed_scope(self, scope: str | None) -> str:
        """Every scope may be asked for: the resource decides what it is worth."""
        return scope or ""

    def check_client_secret(self, client_secret: str) -> bool:
        """Compare without telling by time how much was right."""
        return secrets.compare_digest(self.client_secret.encode(), client_secret.encode())

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:  # noqa: ARG002  Authlib's signature
        """Secrets and signed assertions, everywhere."""
        return method in METHODS

    def check_grant_type(self, grant_type: str) -> bool:
        """Client credentials and refresh tokens."""
        return grant_type in {GRANT, REFRESH}


@dataclass(slots=True)
class Policy:
    """Switches: token life in seconds (0 leaves `expires_in` out), algorithm, what a request must bring.

    `fail` answers that many token requests with 503; `html` with a page instead of JSON; `delay` is seconds.
    `client_jwks` are the public keys that assertions of clients are checked with. `refresh` is the refresh token
    that counts, with `rotate` for one use; "" is none.
    """

    expires_in: int = 300
    algorithm: str = "RS256"
    require_audience: bool = False
    fail: int = 0
    html: int = 0
    delay: float = 0.0
    client_jwks: dict[str, object] = field(default_factory=dict)
    refresh: str = ""
    rotate: bool = True


@dataclass(slots=True)
class Live:
    """A token that was given out; `until` is wall clock seconds."""

    client_id: str
    audience: str
    until: float


class _Payload(BasicOAuth2Payload):  # type: ignore[misc]  # Authlib has no types
    """The form of a token request."""


class _Request(OAuth2Request):  # type: ignore[misc]  # Authlib has no types
    """Authlib's view of one of our requests."""

    def __init__(self, request: Request, uri: str) -> None:
        super().__init__(method=request.method, uri=uri, headers={"Authorization": request.header("authorization")})
        self._form = request.form()
        self.payload = _Payload(self._form)

    @property
    def form(self) -> dict[str, str]:
        """Give the decoded form."""
        return self._form

    @property
    def args(self) -> dict[str, str]:
        """No parameter of the address counts: secrets must not stand in one."""
        return {}


class _Grant(ClientCredentialsGrant):  # type: ignore[misc]  # Authlib has no types
    """Client credentials with an audience (`audience`, or RFC 8707 `resource`)."""

    TOKEN_ENDPOINT_AUTH_METHODS = METHODS

    def validate_token_request(self) -> None:
        """Check the client, then that the token is asked for a place."""
        super().validate_token_request()
        _place(self)


def _place(grant: Any) -> None:
    asked = grant.request.payload.data.get("audience") or grant.request.payload.data.get("resource") or ""
    if not asked and grant.server.policy.require_audience:
        raise InvalidRequestError("audience is required")
    grant.request.client.audience = asked or "erp"


@dataclass(slots=True)
class _Consent:
    """What a refresh token stands for: somebody said yes once."""

    def check_client(self, client: Client) -> bool:
        """Any client of ours."""
        return bool(client.client_id)

    def get_scope(self) -> str:
        """All, by its name."""
        return "all"


class _Refresh(RefreshTokenGrant):  # type: ignore[misc]  # Authlib has no types
    """Refresh tokens. While `Policy.rotate` is set each counts once, as Frappe and RFC 9700 have it."""

    TOKEN_ENDPOINT_AUTH_METHODS = METHODS
    INCLUDE_NEW_REFRESH_TOKEN = True

    def validate_token_request(self) -> None:
        """Check the client and the token, then that it is asked for a place."""
        super().validate_token_request()
        _place(self)

    def authenticate_refresh_token(self, refresh_token: str) -> _Consent | None:
        """Compare with the one that counts now."""
        policy = self.server.policy
        return _Consent() if policy.refresh and secrets.compare_digest(policy.refresh, refresh_token) else None

    def authenticate_user(self, refresh_token: _Consent) -> _Consent:
        """Whoever consented."""
        return refresh_token

    def revoke_old_credential(self, refresh_token: _Consent) -> None:
        """It went when the next one was made."""


@dataclass(slots=True)
class Keys:
    """Signing keys. After a rotation the old one stays published, until it is dropped."""

    rsa: list[RSAKey] = field(default_factory=list)
    ec: list[ECKey] = field(default_factory=list)
    turn: int = 0

    def rotate(self, *, forget: bool = False) -> None:
        """Make new keys and sign with them from now on."""
        if forget:
            self.rsa.clear()
            self.ec.clear()
        self.turn += 1
        self.rsa.append(RSAKey.generate_key(2048, {"kid": f"rsa-{self.turn}", "use": "sig", "alg": "RS256"}))
        self.ec.append(ECKey.generate_key("P-256", {"kid": f"ec-{self.turn}", "use": "sig", "alg": "ES256"}))

    def public(self) -> dict[str, object]:
        """Give the JWKS document."""
        return dict(KeySet([*self.rsa, *self.ec]).as_dict(private=False))


class IdentityProvider(AuthorizationServer):  # type: ignore[misc]  # Authlib has no types
    """The authorization server. `requests` counts token requests, `refused` those; `live` has every valid token."""

    def __init__(self, issuer: str, clients: dict[str, str], policy: Policy) -> None:
        super().__init__()
        self.issuer, self.policy, self.keys = issuer, policy, Keys()
        self.clients = clients
        self.live: dict[str, Live] = {}
        self.requests = self.refused = 0
        self.seen: set[str] = set()
        self.keys.rotate()
        self.register_client_auth_method("private_key_jwt", self._asserted)
        self.register_grant(_Grant)
        self.register_grant(_Refresh)
        self.register_token_generator("default", self._make)

    def query_client(self, client_id: str) -> Client | None:
        """Find a registered client."""
        secret = self.clients.get(client_id)
        return None if secret is None else Client(client_id, secret)

    def save_token(self, token: dict[str, object], request: OAuth2Request) -> None:
        """Remember a token, so that the ERP knows it and a test can revoke it."""
        until = time.time() + (self.policy.expires_in or 3600)
        self.live[str(token["access_token"])] = Live(request.client.client_id, request.client.audience, until)

    def create_oauth2_request(self, request: Request) -> _Request:
        """Wrap one of our requests."""
        return _Request(request, self.issuer + TOKEN_PATH)

    def handle_response(self, status: int, body: object, headers: list[tuple[str, str]]) -> Response:
        """Turn Authlib's answer into ours."""
        answer = json_response(status, body)
        answer.headers.update({name.lower(): value for name, value in headers})
        return answer

    def send_signal(self, name: str, *args: object, **kwargs: object) -> None:
        """Nobody listens."""

    def token(self, request: Request) -> Response:
        """Answer a token request."""
        self.requests += 1
        if self.policy.fail > 0:
            self.policy.fail -= 1
            return Response(503, b"", {"retry-after": "1"})
        if self.policy.html > 0:
            self.policy.html -= 1
            return Response(200, b"<html><title>proxy</title></html>", {"content-type": "text/html"})
        answer: Response = self.create_token_response(request)
        self.refused += answer.status != 200  # noqa: PLR2004  the only success of a token endpoint
        return answer

    def metadata(self) -> dict[str, object]:
        """Give the RFC 8414 document."""
        return {
            "issuer": self.issuer,
            "token_endpoint": self.issuer + TOKEN_PATH,
            "jwks_uri": self.issuer + JWKS_PATH,
            "grant_types_supported": [GRANT, REFRESH],
            "token_endpoint_auth_methods_supported": list(METHODS),
            "response_types_supported": [],
        }

    def knows(self, authorization: str, audience: str) -> bool:
        """Say whether a bearer header has a token of ours for this audience that still lives."""
        kind, _, token = authorization.partition(" ")
        live = self.live.get(token.strip())
        return kind.lower() == "bearer" and live is not None and live.audience == audience and live.until > time.time()

    def _asserted(self, query: Any, request: OAuth2Request) -> Client | None:
        """Check a signed assertion (RFC 7523): our audience, a minute at most, a jti that never came before."""
        token = request.form.get("client_assertion", "")
        if not token or request.form.get("client_assertion_type") != ASSERTION:
            return None
        try:
            keys = KeySet.import_key_set(self.policy.client_jwks)  # type: ignore[arg-type]  # a test's own JSON
            registry = jws.JWSRegistry(algorithms=["RS256", "ES256", "ES384", "Ed25519"])
            claims = jwt.decode(token, keys, registry=registry).claims
            jwt.JWTClaimsRegistry(
                aud={"essential": True, "values": [self.issuer, self.issuer + TOKEN_PATH]},
                iss={"essential": True, "value": str(claims.get("sub"))},
                exp={"essential": True},
                jti={"essential": True},
            ).validate(claims)
        except (JoseError, ValueError, TypeError, KeyError):
            return None
        fresh = claims["jti"] not in self.seen and claims["exp"] <= time.time() + LONGEST_ASSERTION_S
        self.seen.add(claims["jti"])
        found: Client | None = query(claims["sub"])
        return found if fresh else None

    def revoke_all(self) -> None:
        """End every token at once."""
        self.live.clear()

    def issue(self, client: Client, scope: str) -> str:
        """Sign an RFC 9068 access token for the client's audience."""
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "aud": client.audience,
            "sub": client.client_id,
            "client_id": client.client_id,
            "scope": scope,
            "iat": now,
            "exp": now + (self.policy.expires_in or 3600),
            "jti": secrets.token_urlsafe(12),
        }
        key: RSAKey | ECKey = self.keys.ec[-1] if self.policy.algorithm == "ES256" else self.keys.rsa[-1]
        header = {"alg": self.policy.algorithm, "typ": "at+jwt", "kid": str(key.kid)}
        return jwt.encode(header, claims, key)

    def _make(
        self,
        *,
        grant_type: str,  # noqa: ARG002
        client: Client,
        user: object = None,  # noqa: ARG002
        scope: str | None = None,
        expires_in: int | None = None,  # noqa: ARG002
        include_refresh_token: bool = False,
    ) -> dict[str, object]:
        token: dict[str, object] = {"token_type": "Bearer", "access_token": self.issue(client, scope or "")}
        if self.policy.expires_in:
            token["expires_in"] = self.policy.expires_in
        if scope:
            token["scope"] = scope
        if include_refresh_token and self.policy.rotate:
            token["refresh_token"] = self.policy.refresh = secrets.token_urlsafe(24)
        return token
