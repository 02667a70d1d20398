"""What the rows of bench/line.py share."""

from dataclasses import dataclass

from report import Row

from lines.process import Failed, Skipped


@dataclass(frozen=True, slots=True)
class Given:
    """What the command line gave."""

    quick: bool
    open62541: str = ""

    @property
    def seconds(self) -> float:
        """How long one figure is measured."""
        return 5.0 if self.quick else 15.0


def untold(name: str, target: str, why: Skipped | Failed) -> Row:
    """Give the row that has no figure: skipped for what is not here, failed for what could not be measured."""
    missed = None if isinstance(why, Skipped) else False
    return Row(name, None, None, "", None, target, missed, f"{'skipped' if missed is None else 'failed'}: {why}")
