"""The mark of a tracked table stands as long as nothing changed, and moves wherever that cannot be told."""

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import mssql_python
import pytest

from standins.sqlserver.remote import SqlServerProcess
from tranship.identity import SourceIdentity
from tranship.sqlserver import tracking_marks
from tranship.sqlserver.fingerprints import fingerprint, fingerprints
from tranship.sqlserver.settings import SqlServerSettings
from tranship.sqlserver.statements import CompiledStatement, rows
from tranship.tables import TableName

Marks = dict[TableName, str]


@pytest.fixture(scope="module")
def server() -> Iterator[SqlServerProcess]:
    """A source of the tests' own, whose history they cut off."""
    with SqlServerProcess(password="Correct-Horse-1") as running:
        running.execute(
            "alter database current set change_tracking = on (change_retention = 2 days)"
        )
        yield running


class Look:
    """Two tables that are looked at again and again; each look knows what the one before saw."""

    def __init__(self, server: SqlServerProcess, connection: Any) -> None:
        self.server = server
        self.connection = connection
        self.settings = SqlServerSettings.from_url(server.url())
        self.busy, self.quiet = (TableName("dbo", f"t_{uuid.uuid4().hex[:12]}") for _ in range(2))
        self.marks: Marks = {}
        for table in (self.busy, self.quiet):
            self.run(
                f"create table {table} (id int not null primary key, n int null)",
                f"alter table {table} enable change_tracking",
                f"insert into {table} values (1, 1), (2, 2)",
            )

    def run(self, *statements: str) -> None:
        for statement in statements:
            self.connection.cursor().execute(statement.format(busy=self.busy, quiet=self.quiet))

    def changed(self) -> set[TableName]:
        """The tables whose marks are others than those of the look before."""
        marks, refused = fingerprints(self.settings, [self.busy, self.quiet], self.marks)
        assert refused == {}
        changed = {table for table, mark in marks.items() if self.marks.get(table) != mark}
        self.marks = marks
        return changed


@pytest.fixture
def look(server: SqlServerProcess) -> Iterator[Look]:
    connection: Any = mssql_python.connect(server.odbc(), autocommit=True)
    made = Look(server, connection)
    assert made.changed() == {made.busy, made.quiet}
    yield made
    connection.close()


def test_a_quiet_table_next_to_a_busy_one_keeps_its_mark(look: Look) -> None:
    for _ in range(3):
        look.run("update {busy} set n = n + 1")
        assert look.changed() == {look.busy}
        assert look.changed() == set()


def test_a_change_is_seen_however_long_ago_the_mark_was_made(look: Look) -> None:
    for n in range(5):
        look.run(f"update {{busy}} set n = {n}")
        look.changed()
    look.run("delete from {quiet} where id = 2")
    assert look.changed() == {look.quiet}


@pytest.mark.parametrize(
    "statements",
    [
        ("truncate table {quiet}",),
        ("alter table {quiet} disable change_tracking",),
        (
            "alter table {quiet} disable change_tracking",
            "delete from {quiet} where id = 1",
            "alter table {quiet} enable change_tracking",
        ),
        (
            "drop table {quiet}",
            "create table {quiet} (id int not null primary key, n int null)",
            "alter table {quiet} enable change_tracking",
        ),
        ("alter table {quiet} add region nvarchar(10) not null default N'EU'",),
        ("alter table {quiet} alter column n bigint",),
        ("alter table {quiet} drop column n",),
    ],
)
def test_what_is_no_change_of_a_row_is_a_new_mark(look: Look, statements: tuple[str, ...]) -> None:
    look.run("update {busy} set n = 0")
    look.changed()
    look.run(*statements)
    assert look.changed() == {look.quiet}


def test_a_record_that_was_cut_is_a_new_mark(look: Look, server: SqlServerProcess) -> None:
    look.run("update {busy} set n = 0", "update {busy} set n = 1")
    assert look.changed() == {look.busy}
    server.clean_up_changes(_version(look))
    assert look.quiet in look.changed()


def test_an_older_state_that_was_restored_is_a_new_mark(
    look: Look, server: SqlServerProcess
) -> None:
    look.run("update {quiet} set n = 0", "update {busy} set n = 1")
    look.changed()
    server.restore_changes(_version(look) - 2)
    assert look.changed() == {look.busy, look.quiet}


def test_a_login_that_may_not_see_the_changes_gets_a_mark_of_the_rows(
    look: Look, server: SqlServerProcess
) -> None:
    look.run(f"deny view change tracking on {look.quiet} to [{server.user}]")
    assert look.changed() == {look.quiet}
    look.run("update {quiet} set n = 9 where id = 1")
    assert look.changed() == {look.quiet}
    assert look.changed() == set()
    look.run(f"grant view change tracking on {look.quiet} to [{server.user}]")
    assert look.changed() == {look.quiet}


def test_a_table_that_cannot_be_asked_about_is_a_new_mark_and_keeps_no_other_from_its_own(
    look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    look.run("update {busy} set n = 5")
    ask = rows

    def refuses(connection: Any, statement: CompiledStatement) -> Any:
        refused = statement.sql.replace(f"changes [dbo].[{look.quiet.name}]", "changes dbo.nowhere")
        return ask(connection, CompiledStatement(refused, statement.values))

    monkeypatch.setattr(tracking_marks, "rows", refuses)
    assert look.changed() == {look.busy, look.quiet}


def test_half_way_through_the_retention_a_quiet_table_gets_a_new_mark(
    look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    aged = {
        table: mark.rpartition(":")[0] + f":{int(mark.rpartition(':')[2]) - 1440}"
        for table, mark in look.marks.items()
    }
    look.marks = aged
    look.run("update {busy} set n = 0")
    assert look.changed() == {look.busy, look.quiet}
    ahead = {
        table: mark.rpartition(":")[0] + f":{int(mark.rpartition(':')[2]) + 60}"
        for table, mark in look.marks.items()
    }
    look.marks = ahead
    look.run("update {busy} set n = 1")
    assert look.changed() == {look.busy, look.quiet}, "the clock went back"


def test_another_database_behind_the_same_name_is_a_new_mark(
    look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        tracking_marks, "identity_of", lambda *_: SourceIdentity.of({"server": "other"})
    )
    assert look.changed() == {look.busy, look.quiet}


def test_tables_that_are_not_tracked_are_looked_at_beside_those_that_are(look: Look) -> None:
    look.run("alter table {busy} disable change_tracking")
    look.changed()
    look.run("update {busy} set n = 7 where id = 1")
    assert look.changed() == {look.busy}
    look.run("update {quiet} set n = 7 where id = 1")
    assert look.changed() == {look.quiet}


def test_a_database_in_which_nothing_was_recorded_yet_is_looked_at_by_its_rows() -> None:
    """A record that begins anew at the version of the one before cannot be told from it."""
    with SqlServerProcess(password="Correct-Horse-1") as running:
        running.execute("alter database current set change_tracking = on")
        table = TableName("dbo", "t")
        running.execute("create table dbo.t (id int not null primary key)")
        running.execute("insert into dbo.t values (1)")
        running.execute("alter table dbo.t enable change_tracking")
        settings = SqlServerSettings.from_url(running.url())
        before, _ = fingerprints(settings, [table], {})
        assert fingerprints(settings, [table], before)[0] == before
        running.execute("truncate table dbo.t")
        assert fingerprints(settings, [table], before)[0] != before


def test_one_statement_asks_for_all_tables(
    server: SqlServerProcess, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = [TableName("dbo", f"t_{uuid.uuid4().hex[:12]}") for _ in range(120)]
    for table in tables:
        server.execute(f"create table {table} (id int not null primary key)")
        server.execute(f"alter table {table} enable change_tracking")
    look.run("update {busy} set n = 0")
    marks, _ = fingerprints(look.settings, tables, {})
    look.run("update {busy} set n = 1")
    server.execute(f"insert into {tables[7]} values (1)")
    statements: list[str] = []
    ask = rows

    def counts(connection: Any, statement: CompiledStatement) -> Any:
        statements.append(statement.sql)
        return ask(connection, statement)

    monkeypatch.setattr(tracking_marks, "rows", counts)
    again, refused = fingerprints(look.settings, tables, marks)
    assert refused == {}
    assert [table for table in tables if again[table] != marks[table]] == [tables[7]]
    assert len(statements) == 2, "a hundred tables at once"


def test_texts_that_are_only_compared_with_each_other_change_with_the_rows_alone(
    look: Look,
) -> None:
    before = fingerprint(look.settings, look.quiet)
    look.run("update {busy} set n = 0", "update {quiet} set n = n")
    assert fingerprint(look.settings, look.quiet) == before


def _version(look: Look) -> int:
    cursor: Callable[..., Any] = look.connection.cursor().execute
    return int(cursor("select change_tracking_current_version()").fetchval())
