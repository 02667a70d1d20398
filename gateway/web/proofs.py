"""Who sent a webhook: signatures, secrets in addresses and addresses, each held against every secret that is live."""

import base64
import hmac
import ipaddress
from collections.abc import Iterable, Mapping, Sequence

from standardwebhooks import Webhook, WebhookVerificationError

from gateway.web.problems import Denied

_HEADERS = ("webhook-id", "webhook-timestamp", "webhook-signature")
_LONGEST_ID = 128


class Verifier:
    """Standard Webhooks: signed, dated and named."""

    def __init__(self, secrets: tuple[str, ...]) -> None:
        self._hooks = [Webhook(secret) for secret in secrets]

    def event_of(self, headers: Mapping[str, str], content: bytes) -> str:
        """Give the id of a proven event. Raises `Denied` 401 for everything that is not."""
        said = {name: headers.get(name, "") for name in _HEADERS}
        name = said["webhook-id"]
        if not name or len(name) > _LONGEST_ID or "." in name or not name.isascii() or not name.isprintable():
            raise _unproven()
        if not said["webhook-timestamp"].isdigit():  # the library would take "1e9" and " 1 " too
            raise _unproven()
        if not any(_proves(hook, said, content) for hook in self._hooks):
            raise _unproven()
        return name


class FrappeSigned:
    """Frappe: the body is signed, but neither dated nor named: the same message may come at any time again."""

    def __init__(self, secrets: tuple[str, ...]) -> None:
        self._secrets = [secret.encode() for secret in secrets]

    def check(self, said: str, content: bytes) -> None:
        """Compare the signature. Raises `Denied` 401."""
        wanted = (base64.b64encode(hmac.digest(secret, content, "sha256")) for secret in self._secrets)
        if not _is_one_of(said, wanted):
            raise _unproven()


class OdooSent:
    """Odoo: nothing is signed. A secret in the address that it calls, and the address that it calls from."""

    def __init__(self, secrets: tuple[str, ...], addresses: Sequence[str]) -> None:
        self._secrets = [secret.encode() for secret in secrets]
        self._networks = [ipaddress.ip_network(address) for address in addresses]

    def check(self, caller: str, said: str) -> None:
        """Let in who is on the list and knows a secret. Raises `Denied` 403, 401."""
        if self._networks and not any(_within(caller, network) for network in self._networks):
            raise Denied(403, "webhooks are not taken from this address")
        if not _is_one_of(said, self._secrets):
            raise Denied(401, "the secret in the address is not ours", error="invalid_token")


def _is_one_of(said: str, wanted: Iterable[bytes]) -> bool:
    # Every one is compared, and each in the same time: neither says how near a guess was.
    given = said.encode("utf-8", "replace")
    return any([hmac.compare_digest(given, one) for one in wanted])  # noqa: C419  (a generator would stop at the first)


def _within(caller: str, network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
    try:
        address = ipaddress.ip_address(caller)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address) in network


def _proves(hook: Webhook, headers: dict[str, str], content: bytes) -> bool:
    try:
        hook.verify(content, headers, json_parse=False)
    except (WebhookVerificationError, ValueError):  # it lets bare ValueErrors out for malformed signatures
        return False
    return True


def _unproven() -> Denied:
    return Denied(401, "the signature is missing, malformed, too old or not ours", error="invalid_signature")
