"""Guard: where an event may be sent. What a name resolves to is looked at, and only that address is connected to.

A receiver's address stands in the settings, but what its name means is up to whoever runs the name server, and the
gateway stands inside the plant. Addresses of the plant itself, of this machine and of a cloud's metadata service are
therefore not sent to unless they are listed.
"""

import ipaddress
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from urllib.parse import urlsplit

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Gives the addresses of a host and port; raises OSError."""
Address = IPv4Address | IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _nets(*listed: str) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(one) for one in listed)


# RFC 6890 and what came after it. Of IPv6 only 2000::/3 is given out, so everything outside is refused by itself.
_SPECIAL = _nets(
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
    "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
    "224.0.0.0/3", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20",
)  # fmt: skip
_GIVEN_OUT = ipaddress.IPv6Network("2000::/3")
_PRIVATE = _nets("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
_METADATA = frozenset(
    ipaddress.ip_address(one)
    for one in ("169.254.169.254", "169.254.170.2", "100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254")
)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_NUMERIC = re.compile(r"[0-9]+|0x[0-9a-f]*")
_PLAIN = re.compile(r"[\x21-\x7e]+")
_LONGEST_HOST = 253
_LONGEST_URL = 2000
_PORTS = {"http": 80, "https": 443}


class Forbidden(Exception):
    """The address may not be sent to. What it says names no path and no query."""


@dataclass(frozen=True, slots=True)
class Target:
    """A URL that was taken apart and found sound. `host` is lower case and has no trailing dot; IPv6 no brackets."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """The Host header: the port only where it is not the usual one."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    def at(self, address: str) -> str:
        """Give the same URL with an address in the place of the host."""
        host = f"[{address}]" if ":" in address else address
        return f"{self.scheme}://{host}:{self.port}{self.path}"


@dataclass(frozen=True, slots=True)
class Allowed:
    """What is listed beside the public internet: networks, and hosts whose addresses may be private."""

    networks: tuple[Network, ...] = ()
    hosts: frozenset[str] = frozenset()


def allowed_of(listed: Sequence[str]) -> Allowed:
    """Read an allow-list: addresses, networks such as 10.20.0.0/16, host names. Raises ValueError."""
    networks: list[Network] = []
    hosts: list[str] = []
    for one in listed:
        try:
            networks.append(ipaddress.ip_network(one))
        except ValueError as bad:
            if "/" in one or _is_numeric(one) or ":" in one:
                raise ValueError(f"{one!r} is no address and no network: {bad}") from bad
            hosts.append(_host_of(one))
    return Allowed(tuple(networks), frozenset(hosts))


def target_of(url: str) -> Target:
    """Take a URL apart. Raises ValueError for all that two readers could read in two ways."""
    if len(url) > _LONGEST_URL or not _PLAIN.fullmatch(url) or "\\" in url:
        raise ValueError("A URL has no spaces and no characters other than ASCII (write a host in its xn-- form)")
    parts = urlsplit(url)
    if parts.scheme not in _PORTS:
        raise ValueError("A receiver's URL begins with https:// (or http:// for a listed host)")
    if "%" in parts.netloc:
        raise ValueError("A host is written without % signs")
    if "@" in parts.netloc:
        raise ValueError("A receiver's URL names no user: what is sent to it is signed")
    if "#" in url:
        raise ValueError("A receiver's URL has no fragment")
    given = parts.hostname or ""
    if parts.netloc.startswith("["):
        host = str(IPv6Address(given))
    elif ":" in given:
        raise ValueError("An IPv6 address stands in brackets")
    else:
        host = _host_of(given)
    port = parts.port if parts.port is not None else _PORTS[parts.scheme]
    if port == 0:
        raise ValueError("There is no port 0")
    query = f"?{parts.query}" if parts.query else ""
    return Target(parts.scheme, host, port, f"{parts.path or '/'}{query}")


def refusal(address: str, host: str, allowed: Allowed) -> str:
    """Say why an address that a host resolved to may not be connected to; empty when it may."""
    try:
        found = _meant(ipaddress.ip_address(address))
    except ValueError:
        return "that is no address of the internet"
    listed = [network for network in allowed.networks if network.version == found.version and found in network]
    if found in _METADATA:
        exact = any(network.num_addresses == 1 for network in listed)
        return "" if exact else "that is a cloud's metadata service"
    if listed or _public(found):
        return ""
    if host in allowed.hosts and any(found in network for network in _PRIVATE if network.version == found.version):
        return ""
    return "that is no public address, and it is not listed under [events] allow"


def barred(target: Target, allowed: Allowed) -> str:
    """Say why a target can never be sent to; empty as far as it is up to what its name will resolve to."""
    here = target.host == "localhost" or target.host.endswith(".localhost")  # RFC 6761: whatever a server says
    address = "127.0.0.1" if here else target.host if _is_address(target.host) else ""
    why = refusal(address, target.host, allowed) if address else ""
    if why:
        return _not_sent(target, why)
    known = [address] if address else []
    hopeless = not known and target.host not in allowed.hosts and not allowed.networks
    if target.scheme == "http" and (hopeless or (known and not _is_listed(target, known, allowed))):
        return _not_in_plain_text(target)
    return ""


async def pinned(target: Target, allowed: Allowed, resolve: Resolve) -> list[str]:
    """Give the addresses that may be connected to, in the order of the resolver; they are used as they are.

    Raises `Forbidden` when there is none, `OSError` when the host cannot be resolved.
    """
    addresses = [target.host] if _is_address(target.host) else list(await resolve(target.host, target.port))
    told = [(address, refusal(address, target.host, allowed)) for address in addresses]
    fit = [str(_meant(ipaddress.ip_address(address))) for address, why in told if not why]
    if not fit:
        why = next((why for _, why in told), "it has no address")
        raise Forbidden(_not_sent(target, why))
    if target.scheme == "http" and not _is_listed(target, fit, allowed):
        raise Forbidden(_not_in_plain_text(target))
    return list(dict.fromkeys(fit))


def _not_sent(target: Target, why: str) -> str:
    return f"{target.host} is not sent to: {why}"


def _not_in_plain_text(target: Target) -> str:
    return f"{target.host} is not sent to in plain text: use https, or list it under [events] allow"


def _is_listed(target: Target, addresses: Sequence[str], allowed: Allowed) -> bool:
    if target.host in allowed.hosts:
        return True
    found = [ipaddress.ip_address(address) for address in addresses]
    return all(any(one.version == net.version and one in net for net in allowed.networks) for one in found)


def _meant(address: Address) -> Address:
    """Give the IPv4 address that an IPv6 one stands for, or the address itself."""
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            raise ValueError("an address with a zone")
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:  # what the translator will connect to
            return IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def _public(address: Address) -> bool:
    if any(address.version == network.version and address in network for network in _SPECIAL):
        return False
    return isinstance(address, IPv4Address) or address in _GIVEN_OUT


def _host_of(given: str) -> str:
    """Give a host as it is compared: lower case, no trailing dot. An IPv4 address only in its one plain form."""
    host = given.lower().removesuffix(".")
    if not host or len(host) > _LONGEST_HOST or not all(_LABEL.fullmatch(label) for label in host.split(".")):
        raise ValueError(f"{given!r} is no host name (one in another script is written in its xn-- form)")
    return str(IPv4Address(host)) if _is_numeric(host) else host


def _is_numeric(host: str) -> bool:
    """Say whether some reader could take it for an IPv4 address: 2130706433, 0x7f.1, 0177.0.0.1."""
    return _NUMERIC.fullmatch(host.lower().removesuffix(".").rpartition(".")[2]) is not None


def _is_address(host: str) -> bool:
    return ":" in host or _is_numeric(host)
