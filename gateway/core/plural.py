"""Numbers of things in words: one order, two orders."""


def plural(number: int, one: str, many: str = "") -> str:
    """Give a number with its noun; `many` is the plural where it is not `one` and an s."""
    return f"{number} {one}" if number == 1 else f"{number} {many or one + 's'}"
