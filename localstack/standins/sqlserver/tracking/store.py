"""What a database keeps for Change Tracking: its settings, its counter of versions, and the history of each tracked table.

All of it lies in tables of DuckDB's, so that a reader in a snapshot sees versions and history as of its snapshot, and a file keeps them.
Only the counter is here as well: the next version is drawn at COMMIT, by one session at a time, whatever their snapshots show.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import duckdb

TABLES = """
create table if not exists standin.tracking (retention_period integer, retention_unit integer, auto_cleanup boolean);
create table if not exists standin.tracked_tables (
    object_id integer, generation bigint, columns_updated boolean, begin_version bigint, cleanup_version bigint, min_valid_version bigint);
create table if not exists standin.tracked_commits ("version" bigint, committed timestamp);
create table if not exists standin.tracked_changes (
    object_id integer, generation bigint, "version" bigint, "position" bigint, operation varchar, columns integer[], context blob,
    keys varchar[]);
create table if not exists standin.tracking_denied (class varchar, major_id integer);
"""
"""`generation` tells one period of tracking a table from the next; `keys` are the texts of a key's values."""

CURRENT_VERSION = """(select case when exists (from standin.tracking) then coalesce(max("version"), 0) end from standin.tracked_commits)"""
"""The last version that the reader's snapshot holds, null where the database does not track."""


@dataclass(frozen=True, slots=True)
class Tracked:
    """That a table is tracked.

    Args:
        generation: the period of tracking, so that what was recorded in an earlier one does not count.
        columns: whether updates record the columns they set.
    """

    generation: int
    columns: bool


class ChangeTracking:
    """The tracking of one database; shared by its sessions.

    Args:
        root: the connection that nobody's session uses.
    """

    def __init__(self, root: duckdb.DuckDBPyConnection) -> None:
        self._root = root
        self._committing = threading.Lock()
        self.version = self._number('select max("version") from standin.tracked_commits')
        self.position = self._number('select max("position") from standin.tracked_changes')
        self._generation = self._number("select max(generation) from standin.tracked_changes")
        self.tables: dict[int, Tracked] = {}
        for object_id, generation, columns in root.execute(
            "select object_id, generation, columns_updated from standin.tracked_tables"
        ).fetchall():
            self.tables[object_id] = Tracked(generation, columns)
            self._generation = max(self._generation, generation)

    def _number(self, sql: str) -> int:
        ((value,),) = self._root.execute(sql).fetchall()
        return value or 0

    @contextmanager
    def committing(self) -> Iterator[None]:
        """Alone from drawing a version until it is committed, so that versions come to light in their order."""
        with self._committing:
            yield

    def next_generation(self) -> int:
        """A new period of tracking."""
        with self._committing:
            self._generation += 1
            return self._generation

    def start_again(self) -> None:
        """Versions count from 0, as after tracking was switched off for the database."""
        self.version = 0

    # -- for tests
    def clean_up(self, version: int) -> None:
        """Forget what was recorded up to `version`, as the cleanup does once it is older than the retention."""
        with self._committing, self._root.cursor() as connection:
            connection.execute("begin transaction")
            connection.execute(
                """update standin.tracked_tables set cleanup_version = greatest(cleanup_version, $version),
                min_valid_version = greatest(min_valid_version, $version)""",
                {"version": version},
            )
            connection.execute(
                'delete from standin.tracked_changes where "version" <= $version',
                {"version": version},
            )
            # The last one stays: it is the version that the database is at.
            connection.execute(
                'delete from standin.tracked_commits where "version" <= $version and "version" < $last',
                {"version": version, "last": self.version},
            )
            connection.execute("commit")

    def restore(self, version: int) -> None:
        """Go back to `version`, as a restore of an older backup does; rows stay as they are, and the fork is a new one."""
        with self._committing, self._root.cursor() as connection:
            connection.execute("begin transaction")
            for table in ("tracked_changes", "tracked_commits"):
                connection.execute(
                    f'delete from standin.{table} where "version" > $version', {"version": version}
                )
            connection.execute("update standin.identity set recovery_fork_guid = uuid()")
            connection.execute("commit")
            self.version = version
