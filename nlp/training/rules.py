"""Grammar rules as text.

`:name` opens a rule, or goes on with it; `|` and line ends part its options. In an option `^` at the end is a blank,
nothing says nothing, and `@PDE` at the end gives it a code. `{x}` expands the rule x and marks it when x is a slot;
`{x=y}` expands y and marks it as slot x; `{~x}` expands x and marks nothing, because what is denied, feared or done
has no slot and no code.
"""

from pathlib import Path

Rules = dict[str, tuple[str, ...]]


def rules(language: str) -> Rules:
    """Read the grammar of a language ("zh", "en")."""
    found: dict[str, tuple[str, ...]] = {}
    name = ""
    for line in Path(__file__).with_name(f"grammar_{language}.txt").read_text("utf-8").splitlines():
        if line.startswith(":"):
            name = line[1:]
            found.setdefault(name, ())
        elif not line.startswith("# "):
            found[name] += tuple(option.replace("^", " ") for option in line.split("|"))
    return found
