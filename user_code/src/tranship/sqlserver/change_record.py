"""What SQL Server says of one table's record of changes: from where to where it reaches, for how long, who may see it, and its known fault."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from tranship.change_feeds import ChangePosition, RecordTerms
from tranship.sqlserver.statements import CompiledStatement

_UNITS = {1: "minute", 2: "hour", 3: "day"}
"""https://learn.microsoft.com/sql/relational-databases/system-catalog-views/change-tracking-catalog-views-sys-change-tracking-databases"""
_FIXED_IN = {
    12: ((12, 0, 5589, 7), "2014 SP2 CU12"),
    13: ((13, 0, 4502, 0), "2016 SP1 CU9"),
    14: ((14, 0, 3029, 16), "2017 CU8"),
}
"""The first build of each version that records an update of a unique index right: https://support.microsoft.com/help/4135113"""
_STATE = "VIEW DATABASE STATE"


_KEEP_LONGER = "Let the database's owner keep changes for longer: alter database current set change_tracking (change_retention = 14 days)"


@dataclass(frozen=True, slots=True)
class ChangeRecord:
    """What the server says of a table's record of changes at a moment.

    Args:
        current: The database's last version; `None` where it tracks nothing.
        lowest: The oldest version that changes can be had since; `None` where this login may not know.
        begin: The version that the record began with; `None` where the table is not tracked.
        is_granted: Whether this login may read it.
        kept_for: How long changes are kept; `None` where they are never cleaned up, or nothing is tracked.
        retention: The same in words, also where nothing is cleaned up.
        at: What the server's clock shows, in UTC.
        product_version: The server's build.
        sees_commits: Whether this login may see when a version was committed.
    """

    current: int | None = None
    lowest: int | None = None
    begin: int | None = None
    is_granted: bool = False
    kept_for: timedelta | None = None
    retention: str | None = None
    at: datetime | None = None
    product_version: str = ""
    sees_commits: bool = False

    @property
    def position(self) -> ChangePosition:
        """The place that it is at."""
        return ChangePosition(int(self.current or 0), str(self.begin), self.at)

    @property
    def terms(self) -> RecordTerms:
        """What holds for it, whatever is in it."""
        return RecordTerms(
            self.kept_for,
            # What is never cleaned up needs no remedy; one without a time says that the time is not known.
            remedy=_KEEP_LONGER if self.kept_for is not None else "",
            fault=known_fault(self.product_version),
        )

    def gap(self, since: ChangePosition) -> str | None:
        """Why changes since a place cannot be had."""
        if str(self.begin) != since.record:
            return (
                f"its record of changes was begun anew at version {self.begin}, and the copy is of version {since.version} of the "
                "one before: the table was truncated, or tracking was switched off and on"
            )
        if self.current is not None and since.version > self.current:
            return (
                f"the copy is of version {since.version}, and the database is at version {self.current}: an older state was "
                "restored, or a failover lost changes"
            )
        if self.lowest is not None and since.version < self.lowest:
            kept = f", which keeps changes for {self.retention}" if self.retention else ""
            return (
                f"changes are there from version {self.lowest} on, and the copy is of version {since.version}: they were cleaned "
                f"up{kept}"
            )
        return None

    def doubt(self, since: ChangePosition) -> str | None:
        """Why changes since a place may not tell all.

        TRUNCATE, and tracking that is switched off and on, make a record begin anew at the database's version, which they do
        not move: where the one before began there too, nothing tells the two apart.
        """
        if self.begin is None or since.version > self.begin:
            return None
        return (
            f"the copy is of version {since.version}, with which the record of changes began: whether the table was truncated, or "
            "tracking was switched off and on since, cannot be told"
        )


def record_question(quoted_table: str) -> CompiledStatement:
    """The question of a table's record, by the table's quoted name."""
    return CompiledStatement(_RECORD, (quoted_table, _STATE, quoted_table))


def record_of(answer: Sequence[tuple[Any, ...]]) -> ChangeRecord:
    """The record, of what the server answered; an empty one where there is no such table."""
    if not answer:
        return ChangeRecord()
    current, lowest, begin, granted, period, unit, cleans_up, at, version, sees_state = answer[0]
    units = None if period is None else _UNITS.get(unit)
    kept_for = None if units is None else int(period or 0) * timedelta(**{f"{units}s": 1})
    return ChangeRecord(
        None if current is None else int(current),
        None if lowest is None else int(lowest),
        None if begin is None else int(begin),
        is_granted=granted is None or bool(granted),
        kept_for=kept_for if cleans_up else None,
        retention=f"{period} {units}{'' if period == 1 else 's'}" if units else None,
        at=None if at is None else at.replace(tzinfo=UTC),
        product_version=version or "",
        sees_commits=bool(sees_state),
    )


def known_fault(product_version: str) -> str | None:
    """What a build is known to record wrong, in words; `None` where nothing is.

    Args:
        product_version: As SERVERPROPERTY('ProductVersion') gives it.

    Example:
        >>> known_fault("14.0.3029.16") is None
        True
    """
    try:
        build = tuple(int(part) for part in product_version.split("."))
    except ValueError:
        return None
    fixed, name = _FIXED_IN.get(build[0], ((), ""))
    if build >= fixed:
        return None
    return (
        f"SQL Server {product_version} may record an update of a column with a unique index in the wrong order, so that the copy loses "
        f"the row (KB4135113); {name} does not"
    )


# Of a right that the server does not know, has_perms_by_name gives null.
_RECORD = """
    select change_tracking_current_version(), change_tracking_min_valid_version(o.object_id), t.begin_version,
           has_perms_by_name(?, 'OBJECT', 'VIEW CHANGE TRACKING'), d.retention_period, d.retention_period_units,
           d.is_auto_cleanup_on, sysutcdatetime(), cast(serverproperty('ProductVersion') as nvarchar(128)),
           has_perms_by_name(null, 'DATABASE', ?)
    from sys.objects as o
    left join sys.change_tracking_tables as t on t.object_id = o.object_id
    left join sys.change_tracking_databases as d on d.database_id = db_id()
    where o.object_id = object_id(?)
"""
