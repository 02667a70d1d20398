"""Covering: a text with its names dotted out, each character in its place (pure)."""

_MASK = "[name]"
_DOT = "•"


def covered(text: str, masked: str) -> str:
    """Cover in `text` what `masked` replaced by its mark; everything when the two do not fit."""
    place, made = 0, ""
    for number, kept in enumerate(masked.split(_MASK)):
        found = place if number == 0 else text.find(kept, place) if kept else len(text)
        if found < 0 or text[found : found + len(kept)] != kept:
            return _DOT * len(text)
        made += _DOT * (found - place) + kept
        place = found + len(kept)
    return made + _DOT * (len(text) - place)
