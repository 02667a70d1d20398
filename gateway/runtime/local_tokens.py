"""Access tokens for a plant without an identity provider: made here, checked as those of any issuer are."""

import fcntl
import os
import secrets
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

import msgspec

from gateway.core.errors import Misconfigured, Missing, Unreachable
from gateway.core.reading import Moment
from gateway.runtime.api_settings import Issuer

if TYPE_CHECKING:
    from joserfc.jwk import ECKey

T = TypeVar("T")

ISSUER = "urn:andon:local"
AUDIENCE = "andon"
ALGORITHM: Literal["ES256"] = "ES256"
_KEY, _PUBLIC, _ISSUED, _REVOKED = "key.json", "public.json", "issued.json", "revoked.json"
_LOCK = ".lock"


class Issued(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a token that was made; the token itself is kept nowhere. `lines` ("*",) is every line."""

    id: str
    subject: str
    scopes: tuple[str, ...]
    lines: tuple[str, ...]
    site: str
    roles: tuple[str, ...] = ()
    made_at: Moment
    ends_at: Moment
    revoked: bool = False


def issuer_of(folder: str) -> Issuer:
    """Give the issuer whose tokens are made in this folder."""
    return Issuer(
        issuer=ISSUER,
        audience=AUDIENCE,
        jwks_file=str(Path(folder) / _PUBLIC),
        algorithms=(ALGORITHM,),
        roles_claim="roles",
        lines_claim="lines",
        site_claim="site",
    )


class Desk:
    """Makes, lists and revokes local tokens. The folder is the owner's alone (0700), each file too (0600)."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)

    def create(
        self,
        subject: str,
        scopes: Sequence[str],
        lines: Sequence[str],
        site: str,
        made_at: datetime,
        ends_at: datetime,
        roles: Sequence[str] = (),
    ) -> tuple[str, Issued]:
        """Make a token; gives it, and what is remembered. Raises `Misconfigured` when the folder cannot be used."""
        from joserfc import jwt  # noqa: PLC0415  cryptography takes 10 MiB, and few make tokens

        issued = Issued(
            id=secrets.token_hex(8),
            subject=subject,
            scopes=tuple(scopes),
            lines=tuple(lines),
            site=site,
            roles=tuple(roles),
            made_at=made_at,
            ends_at=ends_at,
        )
        claims: dict[str, object] = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": subject,
            "client_id": subject,
            "scope": " ".join(scopes),
            "roles": list(roles),
            "lines": list(lines),
            "site": site,
            "jti": issued.id,
            "iat": int(made_at.timestamp()),
            "exp": int(ends_at.timestamp()),
        }
        with self._alone():
            key = self._key()
            self._write(_ISSUED, msgspec.json.encode([*self._issued(), issued]))
        header = {"alg": ALGORITHM, "typ": "at+jwt", "kid": str(key.kid)}
        return jwt.encode(header, claims, key), issued

    def listed(self) -> list[Issued]:
        """Every token that was made, the oldest first."""
        gone = self._revoked()
        return [msgspec.structs.replace(one, revoked=one.id in gone) for one in self._issued()]

    def revoke(self, name: str) -> list[Issued]:
        """Take back a token by its id, or all of a subject. Raises `Missing` when there is none."""
        found = [one for one in self.listed() if name in {one.id, one.subject}]
        if not found:
            raise Missing(f"no token {name!r} was made here; `andon tokens list` shows those that were")
        with self._alone():
            self._write(_REVOKED, msgspec.json.encode(sorted(self._revoked() | {one.id for one in found})))
        return found

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other commands out: a token that another one's list overwrote could not be revoked by name."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            number = os.open(self._folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as lost:
            raise Misconfigured(f"token_folder {self._folder} cannot be written: {lost.strerror}") from lost
        try:
            fcntl.flock(number, fcntl.LOCK_EX)
            yield
        finally:
            os.close(number)

    def _issued(self) -> list[Issued]:
        return self._read(_ISSUED, list[Issued], [])

    def _revoked(self) -> set[str]:
        return self._read(_REVOKED, set[str], set())

    def _key(self) -> "ECKey":
        from joserfc.jwk import ECKey, KeySet  # noqa: PLC0415

        held = self._read(_KEY, dict[str, str], {})
        if held:
            return ECKey.import_key(held)  # type: ignore[arg-type]  # our own file, checked by the import
        key = ECKey.generate_key("P-256", {"kid": secrets.token_hex(8), "use": "sig", "alg": ALGORITHM})
        self._write(_REVOKED, b"[]")
        self._write(_KEY, msgspec.json.encode(key.as_dict(private=True)))
        self._write(_PUBLIC, msgspec.json.encode(KeySet([key]).as_dict(private=False)))
        return key

    def _read(self, name: str, kind: type[T], otherwise: T) -> T:
        try:
            return msgspec.json.decode((self._folder / name).read_bytes(), type=kind)
        except FileNotFoundError:
            return otherwise
        except OSError as lost:
            raise Misconfigured(f"token_folder {self._folder} cannot be read: {lost.strerror}") from lost
        except msgspec.DecodeError as bad:
            raise Misconfigured(f"{self._folder / name} is damaged: bring back a copy, or begin a new folder") from bad

    def _write(self, name: str, content: bytes) -> None:
        """Replace a file whole, readable by its owner alone."""
        try:
            number, made = tempfile.mkstemp(dir=self._folder)  # 0600
            with os.fdopen(number, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(number)
            Path(made).replace(self._folder / name)
        except OSError as lost:
            raise Misconfigured(f"token_folder {self._folder} cannot be written: {lost.strerror}") from lost


class Revoked:
    """The ids that were taken back, read again when the file changed. Used by the running gateway."""

    def __init__(self, folder: str) -> None:
        self._file = Path(folder) / _REVOKED
        self._seen: tuple[int, int, int] | None = None
        self._ids: frozenset[str] = frozenset()

    def has(self, name: str) -> bool:
        """Say whether a token was taken back. Raises `Unreachable` when nobody can tell: then none counts."""
        try:
            stat = self._file.stat()
            now = (stat.st_mtime_ns, stat.st_ino, stat.st_size)
            if now != self._seen:
                self._ids = frozenset(msgspec.json.decode(self._file.read_bytes(), type=list[str]))
                self._seen = now
        except (OSError, msgspec.DecodeError) as lost:
            raise Unreachable(f"the list of revoked tokens cannot be read: {self._file}") from lost
        return name in self._ids
