"""Node addresses: `nsu=<namespace uri>;s=<id>`, resolved to the server's index after every connect."""

import re
import uuid
from collections.abc import Sequence
from urllib.parse import unquote

import msgspec

_FORM = re.compile(r"(?:nsu=(?P<uri>[^;]+);)?(?P<kind>[sigb])=(?P<identifier>.+)", re.DOTALL)
_MOST_NUMBER = 4_294_967_295


class Address(msgspec.Struct, frozen=True):
    """A node by namespace URI. `uri` is "" for the standard's own namespace (index 0)."""

    uri: str
    kind: str
    identifier: str

    def node_id(self, namespaces: Sequence[str]) -> str | None:
        """Give the node id as `ns=<index>;<kind>=<identifier>`, None when the server lacks the namespace."""
        if not self.uri:
            return f"{self.kind}={self.identifier}"
        if self.uri not in namespaces:
            return None
        return f"ns={namespaces.index(self.uri)};{self.kind}={self.identifier}"


def parse(text: str) -> Address:
    """Read an address. Raises ValueError with the form that is wanted."""
    if text.startswith("ns="):
        rest = text.partition(";")[2]
        raise ValueError(f"{text!r}: an index moves when the server restarts; write nsu=<namespace uri>;{rest}")
    found = _FORM.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is not a node address; for example nsu=urn:plant:line;s=M-07.speed or i=2258")
    uri = unquote(found["uri"] or "")
    kind, identifier = found["kind"], found["identifier"]
    if kind == "i" and not (identifier.isascii() and identifier.isdigit() and int(identifier) <= _MOST_NUMBER):
        raise ValueError(f"{text!r}: a numeric identifier is 0 to {_MOST_NUMBER}")
    if kind == "g":
        try:
            uuid.UUID(identifier)
        except ValueError as fault:
            raise ValueError(f"{text!r}: {identifier!r} is not a GUID") from fault
    return Address(uri, kind, identifier)
