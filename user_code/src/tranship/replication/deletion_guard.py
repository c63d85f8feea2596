"""How many rows may go from a copy at once: an empty read, a wrong condition or another table looks like deletions, too."""

from dataclasses import dataclass
from decimal import Decimal

from tranship.errors import TranshipError
from tranship.replication.plan import OnDelete
from tranship.tables import TableName

ALWAYS_ALLOWED_ROWS = 5
"""In a table of ten rows, three that are gone are no alarm."""
_ALL = Decimal(100)


class DeletionsStoppedError(TranshipError):
    """More rows look gone from the source than may go at once; none was marked or removed.

    What to do: Look whether the source is whole. Where the rows were deleted on purpose, run once with `allow_deletes`.
    """


@dataclass(frozen=True, slots=True)
class DeletionGuard:
    """The most that one load may mark or remove.

    Args:
        source: The table that is asked for its keys.
        target: Its copy.
        percent: The most, in percent of the copy's rows.
        policy: What would happen to the rows.
        allows_all: Whether the run was told that they were deleted on purpose.
    """

    source: TableName
    target: TableName
    percent: Decimal
    policy: OnDelete
    allows_all: bool = False

    def check(self, *, keys: int, rows: int, gone: int) -> None:
        """Let it pass, or not.

        Args:
            keys: Keys that the source has.
            rows: Rows of the copy that are not marked.
            gone: How many of them are not among the keys.

        Raises:
            DeletionsStoppedError: It is too much; the message has the counts and what lets it pass once.
        """
        if self.allows_all or not gone:
            return
        done = "removed" if self.policy is OnDelete.REMOVE else "marked"
        if not keys:
            raise self._stopped(
                f"{self.source} gave no key at all, and {self.target} has {rows:,} rows; none was {done}."
            )
        if gone > ALWAYS_ALLOWED_ROWS and gone * _ALL > rows * self.percent:
            raise self._stopped(
                f"{gone:,} of the {rows:,} rows of {self.target} are not in {self.source} any more "
                f"({gone * _ALL / rows:.1f}%), and delete_guard is {self.percent.normalize():f}%; none was {done}."
            )

    def _stopped(self, what: str) -> DeletionsStoppedError:
        return DeletionsStoppedError(
            what,
            "All else was loaded. If they were deleted on purpose, launch the load once with the configuration "
            "allow_deletes: true; if a load is to let more rows go as a rule, raise delete_guard.",
        )
