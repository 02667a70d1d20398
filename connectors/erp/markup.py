"""The words of a rich text, as the editors of Odoo and Frappe write it."""

import re
from html import unescape

# A tag ends before the next one begins: a text of nothing but "<" is gone through once.
_BREAK = re.compile(r"<\s*(?:br|/p|/div|/li)\b[^<>]*>", re.IGNORECASE)
_TAG = re.compile(r"<[^<>]*>")
_SPACE = re.compile(r"\s+")


def words(html: str) -> str:
    """Give the words of a rich text, in one line."""
    return _SPACE.sub(" ", unescape(_TAG.sub("", _BREAK.sub(" ", html)))).strip()
