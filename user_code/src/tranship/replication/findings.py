"""What a check found, and about which part of a table. No Dagster here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tranship.replication.columns import ColumnChanges
from tranship.slices import Slice, WholeTable


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found.

    Args:
        passed: Whether all is well.
        description: What was compared and what came out, in a sentence.
        facts: The numbers.
        is_warning: Whether a failure is worth a look rather than an alarm.
    """

    passed: bool
    description: str
    facts: Mapping[str, str | int] = field(default_factory=dict)
    is_warning: bool = False


def not_of_this_source(another: str | None) -> Finding:
    """What a check says that would hold the copy against a source which it is not a copy of."""
    return Finding(
        False,
        f"Unknown: the copy is of another source than the one that is there now: {another}. The next load takes its rows.",
    )


def unknown(why: str, facts: Mapping[str, str | int] | None = None) -> Finding:
    """What a check says that cannot compare now: not that it passed, and a warning rather than an alarm."""
    return Finding(False, f"Unknown: {why}", facts or {}, is_warning=True)


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a table, in the source's name of its column and in the target's.

    Args:
        column: The column it is a part by; `None` for the whole table.
        of: Makes the slice of a column's name.
    """

    column: str | None
    of: Callable[[str], Slice]

    @property
    def in_source(self) -> Slice:
        """The slice of the source."""
        return self.of(self.column or "")

    def in_target(self, changes: ColumnChanges) -> Slice:
        """The slice of the copy; all of it where the column was not moved."""
        name = changes.target_name(self.column) if self.column else None
        return WholeTable() if name is None else self.of(name)


WHOLE = Part(None, lambda _: WholeTable())
