"""What a token is asked with: the grant, and how the client proves who it is (RFC 6749, 7523, 8705)."""

import base64
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from time import time
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote

from authlib.common.urls import add_params_to_qs
from authlib.oauth2.rfc6749.parameters import prepare_token_request

from gateway.core.errors import Misconfigured

if TYPE_CHECKING:
    from joserfc.jwk import ECKey, OKPKey, RSAKey

ClientAuth = Literal["basic", "form", "private_key_jwt", "tls"]
"""`tls`: the certificate of the connection proves the client (RFC 8705); only its id is sent."""

ASSERTION_LIFE_S = 60
_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_NO_KEY = "client_key is no private key that can sign: give PEM or JWK of RSA, P-256, P-384 or Ed25519, unencrypted"
_ALGORITHMS = {"P-256": "ES256", "P-384": "ES384", "Ed25519": "Ed25519"}


@dataclass(frozen=True, slots=True)
class ClientKey:
    """The private key of `private_key_jwt`, and the algorithm that belongs to it. Its repr shows neither."""

    key: "RSAKey | ECKey | OKPKey" = field(repr=False)
    algorithm: str

    def assertion(self, client_id: str, audience: str, now: float) -> str:
        """Sign who we are, for `audience`, for a minute from `now` (epoch seconds); no two are the same."""
        from joserfc import jws, jwt  # noqa: PLC0415  cryptography takes 10 MiB, and most need no key

        issued = int(now)
        claims: dict[str, str | int] = {
            "iss": client_id,
            "sub": client_id,
            "aud": audience,
            "jti": secrets.token_urlsafe(16),
            "iat": issued,
            "exp": issued + ASSERTION_LIFE_S,
        }
        header = {"alg": self.algorithm, "typ": "JWT"} | ({"kid": self.key.kid} if self.key.kid else {})
        return jwt.encode(header, dict(claims), self.key, registry=jws.JWSRegistry(algorithms=[self.algorithm]))


def read_key(text: str, kid: str = "") -> ClientKey:
    """Read a private key: PEM or JWK; RSA, EC (P-256, P-384) or Ed25519. `kid` names it to the server.

    Raises `Misconfigured` without saying anything of the key.
    """
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey  # noqa: PLC0415  as above
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415
    from joserfc.errors import JoseError  # noqa: PLC0415
    from joserfc.jwk import ECKey, KeyParameters, OKPKey, RSAKey  # noqa: PLC0415

    named: KeyParameters | None = {"kid": kid} if kid else None
    kinds: dict[str, type[RSAKey | ECKey | OKPKey]] = {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}
    try:
        if text.lstrip().startswith("{"):
            said = json.loads(text)
            key = kinds[said["kty"]].import_key(said | (named or {}))
        else:
            loaded = load_pem_private_key(text.encode(), None)
            known: dict[type, type[RSAKey | ECKey | OKPKey]] = {
                RSAPrivateKey: RSAKey,
                EllipticCurvePrivateKey: ECKey,
                Ed25519PrivateKey: OKPKey,
            }
            key = next(ours for kind, ours in known.items() if isinstance(loaded, kind)).import_key(text, named)
        algorithm = "RS256" if isinstance(key, RSAKey) else _ALGORITHMS[str(key.curve_name)]
    except (ValueError, TypeError, KeyError, StopIteration, JoseError) as bad:
        raise Misconfigured(_NO_KEY) from bad
    if not key.is_private:
        raise Misconfigured(_NO_KEY)
    return ClientKey(key, algorithm)


@dataclass(frozen=True, slots=True)
class Grant:
    """What a token is asked with. Its repr does not show the secret.

    `scope`, `audience` and `resource` go with every request, those that renew too. `refreshes` says that a token
    comes by refresh token alone. `assertion_audience` is whom a signed assertion is for: the server's issuer, or
    its token address when it is empty.
    """

    token_url: str
    client_id: str
    client_secret: str = ""
    client_auth: ClientAuth = "basic"
    scope: str = ""
    audience: str = ""
    resource: str = ""
    client_key: ClientKey | None = None
    assertion_audience: str = ""
    refreshes: bool = False

    def __repr__(self) -> str:
        return f"Grant({self.token_url}, {self.client_id})"

    def request(self, refresh_token: str = "", clock: Callable[[], float] = time) -> tuple[dict[str, str], bytes]:
        """Encode headers and body of a token request; `clock` gives epoch seconds for an assertion."""
        headers = {"accept": "application/json", "content-type": "application/x-www-form-urlencoded"}
        body = prepare_token_request(
            "refresh_token" if self.refreshes else "client_credentials",
            refresh_token=refresh_token,
            scope=self.scope,
            audience=self.audience,
            resource=self.resource,
        )
        if self.client_auth == "basic":
            # RFC 6749 2.3.1: both are form-encoded first, else a colon or a euro sign breaks the header.
            pair = f"{quote(self.client_id, safe='')}:{quote(self.client_secret, safe='')}"
            headers["authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
            return headers, str(body).encode()
        proof = [("client_id", self.client_id)]
        if self.client_auth == "form":
            proof.append(("client_secret", self.client_secret))
        elif self.client_auth == "private_key_jwt":
            if self.client_key is None:
                raise Misconfigured("private_key_jwt needs client_key")
            signed = self.client_key.assertion(self.client_id, self.assertion_audience or self.token_url, clock())
            proof += [("client_assertion_type", _ASSERTION), ("client_assertion", signed)]
        return headers, str(add_params_to_qs(body, proof)).encode()
