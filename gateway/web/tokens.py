"""Bearer tokens: of an issuer we trust, for us, now; signed with a pinned algorithm (RFC 9068) or asked about."""

from collections.abc import Mapping
from typing import Any

import msgspec
from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from gateway.core.ports import Clock
from gateway.runtime.api_settings import ApiSettings, Issuer
from gateway.runtime.local_tokens import ISSUER as LOCAL
from gateway.runtime.local_tokens import Revoked, issuer_of
from gateway.web.caller import Caller
from gateway.web.introspect import Introspection
from gateway.web.keys import Keys
from gateway.web.problems import Denied

LEEWAY_S = 60
_LONGEST = 8192
_PARTS_OF_A_JWT = 3


class _Peek(msgspec.Struct):
    """The issuer's name, read before anything is trusted: it only chooses whose keys are tried."""

    iss: str


class Tokens:
    """Checks access tokens against the issuers of the settings, and against the local one where there is a folder."""

    def __init__(self, api: ApiSettings, now: Clock) -> None:
        local = () if api.token_folder is None else (issuer_of(api.token_folder),)
        self._issuers: dict[str, Issuer] = {issuer.issuer: issuer for issuer in (*local, *api.issuer)}
        self._keys = {name: Keys(one) for name, one in self._issuers.items() if one.introspect_url is None}
        self._asking = {
            name: Introspection(one, now) for name, one in self._issuers.items() if one.introspect_url is not None
        }
        # Keys and answers are kept apart for each issuer: one must not vouch for another's tokens.
        self._revoked = None if api.token_folder is None else Revoked(api.token_folder)
        self._roles = {role: frozenset(scopes) for role, scopes in api.roles.items()}
        self._now = now

    async def caller(self, token: str) -> Caller:
        """Give the caller. Raises `Denied` (401) for any token that is not all right, `Unreachable` without keys."""
        try:
            issuer = self._issuer_of(token)
            return await (self._said(token, issuer) if issuer is not None else self._said_by_any(token))
        except (JoseError, ValueError, TypeError, KeyError, RecursionError, msgspec.DecodeError) as bad:
            raise Denied(401, "the token is not valid", error="invalid_token") from bad

    def _issuer_of(self, token: str) -> Issuer | None:
        """Give the issuer that a token names; None for an opaque one."""
        if len(token) > _LONGEST or not token.isascii():
            raise ValueError("too long, or no token")
        if token.count(".") != _PARTS_OF_A_JWT - 1:
            return None
        named: _Peek = msgspec.json.decode(jws.extract_compact(token.encode()).payload, type=_Peek)
        return self._issuers[named.iss]

    async def _said(self, token: str, issuer: Issuer) -> Caller:
        asking = self._asking.get(issuer.issuer)
        if asking is not None:
            return self._caller(issuer, self._active(issuer, await asking.claims(token)))
        header = _header(token, issuer)
        keys = await self._keys[issuer.issuer].of(header.get("kid"))
        claims = self._signed(token, issuer, keys)
        if issuer.issuer == LOCAL and self._revoked is not None and self._revoked.has(str(claims["jti"])):
            raise ValueError("revoked")
        return self._caller(issuer, claims)

    async def _said_by_any(self, token: str) -> Caller:
        """Ask about an opaque token where tokens can be asked about, one issuer after the other."""
        for name, asking in self._asking.items():
            claims = await asking.claims(token)
            if claims.get("active") is True:
                return self._caller(self._issuers[name], self._active(self._issuers[name], claims))
        raise ValueError("nobody knows it")

    def _signed(self, token: str, issuer: Issuer, keys: KeySet) -> Mapping[str, Any]:
        registry = jws.JWSRegistry(algorithms=list(issuer.algorithms), strict_check_header=False)
        found = jwt.decode(token, keys, registry=registry)
        jwt.JWTClaimsRegistry(
            now=int(self._now().timestamp()),
            leeway=LEEWAY_S,
            iss={"essential": True, "value": issuer.issuer},
            aud={"essential": True, "value": issuer.audience},
            exp={"essential": True},
        ).validate(found.claims)
        return found.claims

    def _active(self, issuer: Issuer, claims: Mapping[str, Any]) -> Mapping[str, Any]:
        """Check an introspection answer: alive, from there, for us. Raises what `caller` turns into a 401."""
        if claims.get("active") is not True:
            raise ValueError("not active")
        jwt.JWTClaimsRegistry(
            now=int(self._now().timestamp()),
            leeway=0,  # the issuer's own clock has said that it lives
            iss={"value": issuer.issuer},
            aud={"essential": True, "value": issuer.audience},
        ).validate(dict(claims))
        return claims

    def _caller(self, issuer: Issuer, claims: Mapping[str, Any]) -> Caller:
        subject = claims.get("sub") or claims.get("client_id") or ""
        lines = _words(_claim(claims, issuer.lines_claim)) if issuer.lines_claim else frozenset("*")
        site = ""
        if issuer.site_claim:
            found = _claim(claims, issuer.site_claim)
            if not isinstance(found, str) or not found:
                raise ValueError("no site")
            site = found
        scopes = _words(_claim(claims, issuer.scope_claim))
        roles = _words(_claim(claims, issuer.roles_claim)) if issuer.roles_claim else frozenset()
        return Caller(
            str(subject),
            scopes.union(*(self._roles.get(role, frozenset()) for role in roles)),
            None if "*" in lines else lines,
            "" if site == "*" else site,
            issuer.issuer,
        )


def _claim(claims: Mapping[str, Any], name: str) -> object:
    """Give a claim by its name, or by the dotted way to it; None when there is none."""
    if name in claims:
        return claims[name]
    found: object = claims
    for part in name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _header(token: str, issuer: Issuer) -> dict[str, str]:
    seen = jws.extract_compact(token.encode())
    header = msgspec.convert(
        {name: value for name, value in seen.headers().items() if name in {"alg", "typ", "kid"}}, dict[str, str]
    )
    if header["alg"] not in issuer.algorithms:
        raise ValueError("algorithm is not pinned")
    kind = header.get("typ", "").lower().removeprefix("application/")
    if kind not in {known.lower() for known in issuer.types}:
        raise ValueError("typ is not an access token")
    return header


def _words(claim: object) -> frozenset[str]:
    if isinstance(claim, str):
        return frozenset(claim.split())
    if isinstance(claim, list):
        return frozenset(word for word in claim if isinstance(word, str))
    return frozenset()
