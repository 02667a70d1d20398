"""Words of the pages in Chinese and English: one JSON catalogue, English is the key."""

from importlib import resources
from typing import Literal

import msgspec

from gateway.flow.troubles import named

Language = Literal["zh", "en"]
_FILES = resources.files("gateway.web.pages") / "locale"


def catalogue() -> dict[str, str]:
    """Read the Chinese words, by the English ones."""
    return msgspec.json.decode((_FILES / "zh.json").read_bytes(), type=dict[str, str])


class Words:
    """Says things in one language."""

    def __init__(self, language: Language, chinese: dict[str, str]) -> None:
        self.language: Language = language
        self._chinese = chinese

    def __call__(self, english: str) -> str:
        """Give the words for an English text; the text itself when nobody translated it."""
        return self._chinese.get(english, english) if self.language == "zh" else english

    def code(self, code: str | None) -> str:
        """Give a failure mode, tag or state in words."""
        if not code:
            return self("unknown")
        known = named(code, self.language)
        plain = code.replace("_", " ").lower()
        return known if known != plain else self._chinese.get(code, plain) if self.language == "zh" else plain


def language_of(cookie: str | None, accepted: str | None) -> Language:
    """Choose the language: the cookie, then the browser's wish, then English."""
    if cookie in {"zh", "en"}:
        return "zh" if cookie == "zh" else "en"
    for wish in (accepted or "").split(","):
        tag = wish.partition(";")[0].strip().lower()
        if tag.startswith("zh"):
            return "zh"
        if tag.startswith("en"):
            return "en"
    return "en"
