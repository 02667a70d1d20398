"""Bearer tokens: signed by an issuer we trust, for us, now, with a pinned algorithm (RFC 9068)."""

import msgspec
from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from gateway.core.ports import Clock
from gateway.runtime.api_settings import Issuer
from gateway.web.caller import Caller
from gateway.web.keys import Keys
from gateway.web.problems import Denied

LEEWAY_S = 60
_LONGEST = 8192


class _Peek(msgspec.Struct):
    """The issuer's name, read before anything is trusted: it only chooses whose keys are tried."""

    iss: str


class Tokens:
    """Checks access tokens against the issuers of the settings."""

    def __init__(self, issuers: tuple[Issuer, ...], now: Clock) -> None:
        self._issuers = {issuer.issuer: (issuer, Keys(issuer)) for issuer in issuers}
        self._now = now

    async def caller(self, token: str) -> Caller:
        """Give the caller. Raises `Denied` (401) for any token that is not all right, `Unreachable` without keys."""
        try:
            issuer, header = self._opened(token)
            keys = await self._issuers[issuer.issuer][1].of(header.get("kid"))
            return self._checked(token, issuer, keys)
        except (JoseError, ValueError, TypeError, KeyError, RecursionError, msgspec.DecodeError) as bad:
            raise Denied(401, "the token is not valid", error="invalid_token") from bad

    def _opened(self, token: str) -> tuple[Issuer, dict[str, str]]:
        if len(token) > _LONGEST:
            raise ValueError("too long")
        seen = jws.extract_compact(token.encode("ascii"))
        header = msgspec.convert(
            {name: value for name, value in seen.headers().items() if name in {"alg", "typ", "kid"}}, dict[str, str]
        )
        issuer, _ = self._issuers[msgspec.json.decode(seen.payload, type=_Peek).iss]
        if header["alg"] not in issuer.algorithms:
            raise ValueError("algorithm is not pinned")
        kind = header.get("typ", "").lower().removeprefix("application/")
        if kind not in {known.lower() for known in issuer.types}:
            raise ValueError("typ is not an access token")
        return issuer, header

    def _checked(self, token: str, issuer: Issuer, keys: KeySet) -> Caller:
        registry = jws.JWSRegistry(algorithms=list(issuer.algorithms), strict_check_header=False)
        found = jwt.decode(token, keys, registry=registry)
        jwt.JWTClaimsRegistry(
            now=int(self._now().timestamp()),
            leeway=LEEWAY_S,
            iss={"essential": True, "value": issuer.issuer},
            aud={"essential": True, "value": issuer.audience},
            exp={"essential": True},
        ).validate(found.claims)
        subject = found.claims.get("sub") or found.claims.get("client_id") or ""
        return Caller(str(subject), _scopes(found.claims.get(issuer.scope_claim)))


def _scopes(claim: object) -> frozenset[str]:
    if isinstance(claim, str):
        return frozenset(claim.split())
    if isinstance(claim, list):
        return frozenset(scope for scope in claim if isinstance(scope, str))
    return frozenset()
