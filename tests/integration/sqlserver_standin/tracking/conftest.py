"""A stand-in whose database tracks changes, for all tests here; versions are counted from where a test begins."""

from collections.abc import Iterator
from dataclasses import dataclass

import mssql_python
import pytest
from tests.integration.sqlserver_standin.conftest import PASSWORD

from standins.sqlserver.remote import SqlServerProcess


@pytest.fixture(scope="session")
def server() -> Iterator[SqlServerProcess]:
    with SqlServerProcess(password=PASSWORD) as running:
        running.execute("alter database current set change_tracking = on")
        yield running


@dataclass
class TrackedTable:
    """A tracked table, and what CHANGETABLE tells of it."""

    name: str
    server: SqlServerProcess
    cursor: mssql_python.Cursor
    start: int = 0

    def run(self, sql: str) -> None:
        """Runs a batch in which `t` in braces is the table."""
        self.server.execute(sql.format(t=self.name))

    def value(self, sql: str) -> object:
        return self.cursor.execute(sql.format(t=self.name)).fetchval()

    def version(self) -> int:
        """The current version, counted from the start of the test."""
        current = self.value("select change_tracking_current_version()")
        assert isinstance(current, int)
        return current - self.start

    def changes(self, since: int | None = 0, columns: str = "sys_change_operation") -> list[tuple]:
        """By key: `columns` of the changes since a version, counted from the start of the test."""
        bound = "null" if since is None else self.start + since
        rows = self.cursor.execute(
            f"select id, {columns} from changetable(changes {self.name}, {bound}) as c order by id"
        ).fetchall()
        return [tuple(row) for row in rows]


@pytest.fixture
def table(server: SqlServerProcess, schema: str, cursor: mssql_python.Cursor) -> TrackedTable:
    name = f"{schema}.t"
    server.execute(
        f"create table {name} (id int not null primary key, n int null, s nvarchar(20) null, twice as (n * 2))"
    )
    server.execute(f"alter table {name} enable change_tracking with (track_columns_updated = on)")
    made = TrackedTable(name, server, cursor)
    made.start = made.version()
    return made
