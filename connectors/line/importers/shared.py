"""What the importers share: addresses, security, secrets and durations of other gateways in our terms."""

import re
from collections.abc import Sequence
from urllib.parse import quote

from connectors.line.importers.found import Field
from connectors.line.importers.taking import Taking
from connectors.opcua.secured import POLICIES

UNKNOWN = "urn:look-up:ns"
"""Begins the namespace URI of an index that nobody could look up."""
_NODE = re.compile(r"(?:ns=(?P<index>\d+);|nsu=(?P<uri>[^;]+);)?(?P<kind>[sigb])=(?P<identifier>.+)", re.DOTALL)
_GO = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_SPAN = re.compile(r"(?:(\d+)\.)?(\d+):(\d+):(\d+(?:\.\d+)?)")
_VARIABLE = re.compile(r"\$\{(\w+)[^}]*\}|\$(\w+)|@\{(?:\w+:)?(\w+)\}")
_WORD = re.compile(r"[^A-Za-z0-9]+")
_MODICON = {"discrete": (10_001, 165_536), "input": (30_001, 365_536), "holding": (40_001, 465_536)}
_ORDERS = {
    "": "ABCD",
    "AB": "ABCD",
    "BA": "DCBA",
    "ABCD": "ABCD",
    "DCBA": "DCBA",
    "BADC": "BADC",
    "CDAB": "CDAB",
    "ABCDEFGH": "ABCD",
    "HGFEDCBA": "DCBA",
    "BADCFEHG": "BADC",
    "GHEFCDAB": "CDAB",
}


def node_address(text: str, namespaces: Sequence[str], taking: Taking) -> str | None:
    """Give `nsu=…;s=…` for a node id; an index is looked up in `namespaces` (the server's own order).

    An index that is not there becomes a URI that no server has, with a note: the tag is then told as
    unknown by name, and the others work. None when it is no node id.
    """
    found = _NODE.fullmatch(text.strip())
    if found is None:
        return None
    name = f"{found['kind']}={found['identifier']}"
    if found["uri"]:
        return f"nsu={quote(found['uri'], safe=_URI_SAFE)};{name}"
    index = int(found["index"] or 0)
    if index == 0:
        return name
    if index < len(namespaces):
        return f"nsu={quote(namespaces[index], safe=_URI_SAFE)};{name}"
    taking.note(
        f"{text}: the URI of namespace {index} must be looked up (an index moves): say --server opc.tcp://…, "
        f"or put the URI in place of {UNKNOWN}{index}"
    )
    return f"nsu={UNKNOWN}{index};{name}"


def identifier_of(text: str) -> str:
    """Give the part of a node id that people recognise."""
    found = _NODE.fullmatch(text.strip())
    return found["identifier"] if found else text


_URI_SAFE = ":/?#[]@!$&'()*+,=-._~ "


def security(policy: str, mode: str, taking: Taking) -> dict[str, Field]:
    """Give our security fields for somebody's policy and mode; what is weaker than ours is noted."""
    bare = policy.rpartition("#")[2].replace("_", "").lower()
    known = {name.replace("_", "").lower(): name for name in POLICIES}
    plain = bare == "none" or mode.lower() == "none"
    if plain:
        taking.note("is read in plain text: kept so (insecure = true). Better: andon cert new, then policy and pki")
        return {"insecure": True}
    fields: dict[str, Field] = {"pki": "pki"}
    if bare in known:
        fields["policy"] = known[bare]
    elif bare in {"basic128rsa15", "basic256"}:
        fields["policy"] = POLICIES[0]
        taking.note(f"{policy} can be broken and is not taken: {POLICIES[0]} instead; switch it on in the server")
    elif bare not in {"", "auto", "best"}:
        taking.note(f"policy {policy} is not known here: {POLICIES[0]} is asked for")
    if mode.lower() == "sign":
        fields["mode"] = "Sign"
    taking.note("certificates are made anew: andon cert new pki, then andon cert trust --fetch ENDPOINT")
    return fields


def user_of(line: str, method: str, name: str, password: str, taking: Taking, *, plain: bool) -> dict[str, Field]:
    """Give our `user` for somebody's; a password is never copied, but named."""
    how = method.lower()
    if how in {"certificate", "x509", "cert.pem"}:
        taking.note('logs in with a certificate: user = { certificate = "…", key = "…" } must be written by hand')
        return {}
    if not name or how == "anonymous":
        return {}
    fields: dict[str, Field] = {
        "user": {"name": literal(name, f"{line}_USER", taking), "password": secret(password, line, taking)}
    }
    if plain:
        fields["insecure_password"] = True
        taking.note("sends its password in clear: kept so (insecure_password = true). Better: a policy")
    return fields


def literal(text: str, variable: str, taking: Taking) -> str:
    """Give a text; one that stands for a variable cannot be held in our settings as such, and is noted."""
    if _VARIABLE.search(text):
        taking.note(f"{text} stands for a variable: write its value in place of {variable}")
        return variable
    return text


def secret(text: str, line: str, taking: Taking) -> dict[str, str]:
    """Give a reference to a secret. One that stood in the file is not copied."""
    found = _VARIABLE.fullmatch(text.strip())
    if found is not None:
        return {"env": found[1] or found[2] or str(found[3]).upper()}
    variable = f"{_WORD.sub('_', line).strip('_').upper() or 'LINE'}_PASSWORD"
    taking.note(f"the password is not copied: give it to the gateway in the environment as {variable}")
    return {"env": variable}


def seconds_of(text: str) -> float | None:
    """Read a duration such as 1m30s, 250ms, or 00:00:05.5; None when it is none."""
    bare = text.strip()
    if (span := _SPAN.fullmatch(bare)) is not None:
        days, hours, minutes, seconds = (float(part or 0) for part in span.groups())
        return days * 86_400 + hours * 3600 + minutes * 60 + seconds
    if not bare or _GO.sub("", bare):
        return None
    return sum(float(amount) * _SECONDS[unit] for amount, unit in _GO.findall(bare))


def duration(seconds: float) -> str:
    """Write a duration as our settings take it."""
    milliseconds = round(seconds * 1000)
    if milliseconds % 1000 == 0:
        return f"{milliseconds // 1000}s"
    return f"{milliseconds}ms"


def publish(seconds: float | None, taking: Taking) -> dict[str, Field]:
    """Give the publishing interval, within ours: 10 ms to a minute."""
    if seconds is None or seconds <= 0:
        return {}
    inside = min(60.0, max(0.01, seconds))
    if inside != seconds:
        taking.note(f"an interval of {seconds:g} s becomes {inside:g} s: the server tells changes, nobody polls")
    return {"publish": duration(inside)}


def order_of(text: str, taking: Taking) -> str:
    """Give our byte order for AB, BA, ABCD, CDAB, BADC, DCBA and their longer forms."""
    order = _ORDERS.get(text.upper())
    if order is None:
        taking.note(f"byte order {text!r} is not known: ABCD is taken")
        return "ABCD"
    return order


def register(table: str, offset: int, kind: str = "", order: str = "ABCD") -> str:
    """Give our address of a register or bit; `@` keeps a zero-based offset from looking like a Modicon number."""
    first, last = _MODICON.get(table, (0, -1))
    at = f"@{offset}" if first <= offset <= last else str(offset)
    if table in {"coil", "discrete"}:
        return f"{table}:{at}"
    if kind in {"int16", "uint16"}:  # one word: its bytes are swapped, or they are not
        order = "BADC" if order in {"DCBA", "BADC"} else "ABCD"
    plain = f"{table}:{at}:{kind}"
    return plain if order == "ABCD" or kind.startswith("bit") else f"{plain}:{order}"
