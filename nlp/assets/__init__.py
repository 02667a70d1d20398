"""Which machine is meant: names in the text against the registry of the plant."""

from nlp.assets.choice import resolve
from nlp.assets.mention import Mention, Resolved
from nlp.assets.names import registry

__all__ = ["Mention", "Resolved", "registry", "resolve"]
