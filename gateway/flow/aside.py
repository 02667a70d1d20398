"""Setting aside: what a bug was and where, without its words, which may hold a person's."""

import traceback

_KEPT = 3


def told(bug: BaseException) -> dict[str, str]:
    """Give the fields of a log line: the error's name and its last places (`module:line`)."""
    frames = traceback.extract_tb(bug.__traceback__)[-_KEPT:]
    where = " > ".join(f"{frame.filename.rpartition('/')[2]}:{frame.lineno}" for frame in frames)
    return {"why": type(bug).__name__, "where": where}
