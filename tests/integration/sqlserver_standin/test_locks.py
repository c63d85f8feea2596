"""Who waits for whom: writers, readers at each isolation level, definitions, lock timeouts and deadlocks.

docs/relational-databases/sql-server-transaction-locking-and-row-versioning-guide.md of MicrosoftDocs/sql-docs.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import mssql_python
import pytest
from tests.integration.sqlserver_standin.conftest import wait_until

from standins.sqlserver.errors import SqlError
from standins.sqlserver.remote import SqlServerProcess

Connect = Callable[..., mssql_python.Connection]
TIMED_OUT = "Lock request time out period exceeded"


@pytest.fixture(autouse=True)
def without_row_versions(server: SqlServerProcess) -> Iterator[None]:
    server.execute("alter database current set read_committed_snapshot off")
    yield
    server.execute("alter database current set read_committed_snapshot on")


@pytest.fixture
def table(server: SqlServerProcess, schema: str) -> str:
    server.execute(f"create table {schema}.t (id int not null primary key, n int null)")
    server.execute(f"insert into {schema}.t values (1, 10), (2, 20), (3, 30)")
    return f"{schema}.t"


@pytest.fixture
def heap(server: SqlServerProcess, schema: str) -> str:
    server.execute(f"create table {schema}.h (a int, b nvarchar(10))")
    server.execute(f"insert into {schema}.h values (1, N'x'), (1, N'x'), (2, N'y')")
    return f"{schema}.h"


@pytest.fixture
def impatient(connect: Connect) -> mssql_python.Cursor:
    """A session that waits for no lock."""
    cursor = connect().cursor()
    cursor.execute("set lock_timeout 0")
    return cursor


class Waiting:
    """A statement of a session of its own, which has to wait."""

    def __init__(self, cursor: mssql_python.Cursor, sql: str, server: SqlServerProcess) -> None:
        self.rows: list[tuple[Any, ...]] = []
        self.error = ""
        self._cursor, self._sql = cursor, sql
        self._thread = threading.Thread(target=self._run)
        already = server.waiting()
        self._thread.start()
        wait_until(lambda: server.waiting() > already or not self._thread.is_alive())
        self.waits = self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._cursor.execute(self._sql)
            if self._cursor.description:
                self.rows = [tuple(row) for row in self._cursor.fetchall()]
        except mssql_python.Error as error:
            self.error = str(error)

    def ended(self) -> "Waiting":
        """It itself, once it has ended."""
        self._thread.join(60)
        assert not self._thread.is_alive()
        return self


def all_of(cursor: mssql_python.Cursor, sql: str) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in cursor.execute(sql).fetchall()]


@pytest.mark.parametrize("ends", ["commit", "rollback"])
def test_a_reader_of_a_changed_row_waits_until_the_writer_ends(
    server: SqlServerProcess, connect: Connect, table: str, ends: str
) -> None:
    held = server.hold(f"update {table} set n = 11 where id = 1")
    reader = Waiting(connect().cursor(), f"select n from {table} where id = 1", server)
    assert reader.waits
    getattr(held, ends)()
    assert reader.ended().rows == [(11 if ends == "commit" else 10,)]


@pytest.mark.parametrize(
    ("change", "condition", "waits"),
    [
        ("update {t} set n = 0 where id = 1", "", True),
        ("update {t} set n = 0 where id = 1", "where n = 20", True),
        ("update {t} set n = 0 where id = 1", "where id = 2", False),
        ("update {t} set n = 0 where id = 1", "where id > 1", False),
        ("update {t} set n = 0 where id = 1", "where id between 1 and 2", True),
        ("update {t} set n = 0 where id = 1", "where id in (2, 3)", False),
        ("update {t} set n = 0 where id = 1", "where id + 0 = 2", True),
        ("update {t} set n = 0 where id = 1", "where id = 2 or n = 30", True),
        ("delete from {t} where id = 3", "where id >= 3", True),
        ("insert into {t} values (9, 9)", "where id < 9", False),
        ("insert into {t} values (9, 9)", "where id <= 9", True),
        ("update {t} set id = 8 where id = 1", "where id = 8", True),
        ("update {t} set id = 8 where id = 1", "where id = 1", True),
        ("update {t} set n = 0 where id = 99", "", False),
    ],
)
def test_a_scan_waits_for_the_rows_that_it_meets(
    server: SqlServerProcess,
    impatient: mssql_python.Cursor,
    table: str,
    change: str,
    condition: str,
    waits: bool,
) -> None:
    held = server.hold(change.format(t=table))
    expected = pytest.raises(mssql_python.Error, match=TIMED_OUT)
    with expected if waits else contextlib.nullcontext():
        impatient.execute(f"select * from {table} {condition}").fetchall()
    held.rollback()


def test_a_scan_of_a_composite_key_is_narrowed_by_its_first_columns(
    server: SqlServerProcess, impatient: mssql_python.Cursor, schema: str
) -> None:
    server.execute(f"create table {schema}.t (a nvarchar(9), b int, primary key (a, b))")
    server.execute(f"insert into {schema}.t values (N'x', 1), (N'x', 2), (N'y', 1)")
    held = server.hold(f"delete from {schema}.t where a = N'x' and b = 1")
    for condition in ("a = N'y'", "a = N'x' and b > 1", "a > N'X' and b = 1"):
        assert len(all_of(impatient, f"select * from {schema}.t where {condition}")) == 1
    for condition in ("a = N'X '", "b = 2", "a >= N'x' and b = 2"):
        with pytest.raises(mssql_python.Error, match=TIMED_OUT):
            impatient.execute(f"select * from {schema}.t where {condition}").fetchall()
    held.rollback()


@pytest.mark.parametrize("way", ["nolock", "read uncommitted", "snapshot", "row versions"])
def test_some_readers_do_not_wait(
    server: SqlServerProcess, impatient: mssql_python.Cursor, table: str, way: str
) -> None:
    held = server.hold(f"update {table} set n = 11 where id = 1")
    hint = "with (nolock)" if way == "nolock" else ""
    if way in {"read uncommitted", "snapshot"}:
        impatient.execute(f"set transaction isolation level {way}")
    if way == "row versions":
        server.execute("alter database current set read_committed_snapshot on")
        with pytest.raises(mssql_python.Error, match=TIMED_OUT):
            impatient.execute(f"select n from {table} with (readcommittedlock)").fetchall()
    # NOLOCK would show 11 on SQL Server; the stand-in cannot.
    assert all_of(impatient, f"select n from {table} {hint} where id = 1") == [(10,)]
    held.rollback()


def test_readpast_passes_over_locked_rows(
    server: SqlServerProcess, impatient: mssql_python.Cursor, table: str
) -> None:
    held = server.hold(
        f"update {table} set n = 11 where id = 1; insert into {table} values (4, 40)"
    )
    ids = f"select id from {table} with (readpast) order by id"
    assert all_of(impatient, ids) == [(2,), (3,)]
    held.commit()
    assert all_of(impatient, ids) == [(1,), (2,), (3,), (4,)]
    impatient.execute("set transaction isolation level serializable")
    with pytest.raises(mssql_python.Error, match="You can only specify the READPAST lock"):
        impatient.execute(ids).fetchall()


@pytest.mark.parametrize(
    ("first", "second", "left"),
    [
        ("update {t} set n = n + 1 where id = 1", "update {t} set n = n + 5 where id = 1", 16),
        ("update {t} set n = 0 where id = 1", "delete from {t} where id = 1", None),
        ("delete from {t} where id = 1", "update {t} set n = 0 where id = 1", None),
        ("delete from {t} where id = 1", "insert into {t} values (1, 5)", 5),
        ("update {t} set n = 0 where id = 1", "update {t} set n = 7 where n = 10", 0),
    ],
)
def test_writers_of_one_row_wait_and_then_see_what_the_first_one_did(
    server: SqlServerProcess,
    connect: Connect,
    table: str,
    first: str,
    second: str,
    left: int | None,
) -> None:
    held = server.hold(first.format(t=table))
    writer = Waiting(connect().cursor(), second.format(t=table), server)
    assert writer.waits
    held.commit()
    assert writer.ended().error == ""
    rows = all_of(connect().cursor(), f"select n from {table} where id = 1")
    assert rows == ([] if left is None else [(left,)])


def test_a_second_insert_of_a_key_waits_and_is_refused(
    server: SqlServerProcess, connect: Connect, table: str
) -> None:
    held = server.hold(f"insert into {table} values (4, 40)")
    writer = Waiting(connect().cursor(), f"insert into {table} values (4, 41)", server)
    assert writer.waits
    held.commit()
    assert "Violation of PRIMARY KEY" in writer.ended().error


def test_writers_of_different_rows_do_not_wait(
    server: SqlServerProcess, impatient: mssql_python.Cursor, table: str
) -> None:
    held = server.hold(f"update {table} set n = 11 where id = 1")
    impatient.execute(f"update {table} set n = 21 where id = 2")
    impatient.execute(f"insert into {table} values (4, 40)")
    impatient.execute(f"delete from {table} where id = 3")
    held.run(f"update {table} set n = n + 1 where id in (1, 2, 3, 4)")
    held.commit()
    assert all_of(impatient, f"select * from {table} order by id") == [(1, 12), (2, 22), (4, 41)]


def test_a_transaction_that_has_written_sees_what_others_commit(
    server: SqlServerProcess, connect: Connect, table: str
) -> None:
    connection = connect(autocommit=False)
    cursor = connection.cursor()
    cursor.execute(f"update {table} set n = 11 where id = 1")
    cursor.execute(f"insert into {table} values (4, 40)")
    cursor.execute(f"update {table} set id = 5 where id = 4")
    server.execute(f"update {table} set n = 21 where id = 2; delete from {table} where id = 3")
    expected = [(1, 11), (2, 21), (5, 40)]
    assert all_of(cursor, f"select * from {table} order by id") == expected
    connection.commit()
    assert all_of(cursor, f"select * from {table} order by id") == expected


def test_rows_that_cannot_be_told_apart_are_kept_apart(
    server: SqlServerProcess, connect: Connect, impatient: mssql_python.Cursor, heap: str
) -> None:
    connection = connect(autocommit=False)
    cursor = connection.cursor()
    cursor.execute(f"delete from {heap} where a = 2")
    cursor.execute(f"update {heap} set b = N'z' where a = 1")
    cursor.execute(f"insert into {heap} values (7, N'q')")
    impatient.execute(f"insert into {heap} values (1, N'x')")
    for statement in ("select * from {t}", "delete from {t} where a = 9", "update {t} set a = 1"):
        with pytest.raises(mssql_python.Error, match=TIMED_OUT):
            impatient.execute(statement.format(t=heap))
    expected = [(1, "x"), (1, "z"), (1, "z"), (7, "q")]
    assert all_of(cursor, f"select * from {heap} order by a, b") == expected
    connection.commit()
    assert all_of(impatient, f"select * from {heap} order by a, b") == expected


@pytest.mark.parametrize(
    ("level", "refused", "allowed"),
    [
        (
            "repeatable read",
            ["update {t} set n = 0 where id = 1"],
            ["insert into {t} values (9, 9)"],
        ),
        (
            "serializable",
            ["update {t} set n = 0 where id = 1", "insert into {t} values (9, 9)"],
            [],
        ),
    ],
)
def test_what_a_reader_holds_to_its_end_nobody_changes(
    connect: Connect,
    impatient: mssql_python.Cursor,
    table: str,
    level: str,
    refused: list[str],
    allowed: list[str],
) -> None:
    reader = connect().cursor()
    reader.execute(f"set transaction isolation level {level}; begin transaction")
    assert all_of(reader, f"select n from {table} where id = 1") == [(10,)]
    for statement in refused:
        with pytest.raises(mssql_python.Error, match=TIMED_OUT):
            impatient.execute(statement.format(t=table))
    for statement in allowed:
        impatient.execute(statement.format(t=table))
    assert all_of(impatient, f"select n from {table} where id = 1") == [(10,)]
    reader.execute("commit")
    for statement in refused:
        impatient.execute(statement.format(t=table))


def test_the_victim_of_a_deadlock_loses_its_transaction_and_the_other_goes_on(
    server: SqlServerProcess, connect: Connect, table: str
) -> None:
    first, second = connect(autocommit=False), connect(autocommit=False)
    one, two = first.cursor(), second.cursor()
    one.execute("set deadlock_priority high")
    one.execute(f"update {table} set n = 1 where id = 1")
    two.execute(f"update {table} set n = 2 where id = 2")
    victim = Waiting(two, f"update {table} set n = 2 where id = 1", server)
    assert victim.waits
    one.execute(f"update {table} set n = 1 where id = 2")
    assert "was deadlocked on lock resources with another process" in victim.ended().error
    first.commit()
    assert all_of(one, f"select n from {table} order by id") == [(1,), (1,), (30,)]


def test_a_lock_timeout_ends_the_statement_and_neither_batch_nor_transaction(
    server: SqlServerProcess, connect: Connect, table: str
) -> None:
    held = server.hold(f"update {table} set n = 11 where id = 1")
    connection = connect(autocommit=False)
    cursor = connection.cursor()
    cursor.execute(f"set lock_timeout 50; update {table} set n = 21 where id = 2")
    with pytest.raises(mssql_python.Error, match=TIMED_OUT):
        cursor.execute(f"update {table} set n = 0 where id = 1")
    assert cursor.execute("select @@trancount").fetchval() == 1
    held.rollback()
    connection.commit()
    assert all_of(cursor, f"select n from {table} order by id") == [(10,), (21,), (30,)]
    other = server.hold(f"delete from {table}")
    with pytest.raises(SqlError) as refused:
        server.execute(f"set lock_timeout 0; select * from {table}")
    assert (refused.value.number, refused.value.severity, refused.value.state) == (1222, 16, 51)
    other.rollback()


def test_a_client_that_gives_up_ends_its_wait(
    server: SqlServerProcess, connect: Connect, table: str
) -> None:
    held = server.hold(f"update {table} set n = 11 where id = 1")
    connection = connect()
    connection.timeout = 1
    cursor = connection.cursor()
    with pytest.raises(mssql_python.Error, match="imeout"):
        cursor.execute(f"select * from {table}")
    assert server.waiting() == 0
    held.rollback()
    assert len(all_of(connection.cursor(), f"select * from {table}")) == 3


def test_a_connection_that_is_lost_ends_its_transaction_and_its_locks(
    server: SqlServerProcess, connect: Connect, table: str
) -> None:
    writer = connect(autocommit=False)
    writer.cursor().execute(f"update {table} set n = 11 where id = 1")
    reader = Waiting(connect().cursor(), f"select n from {table} where id = 1", server)
    assert reader.waits
    writer.close()
    assert reader.ended().rows == [(10,)]


@pytest.mark.parametrize(
    "definition",
    ["truncate table {t}", "alter table {t} add more int null", "drop table {t}"],
)
def test_a_definition_waits_for_all_who_use_the_table(
    server: SqlServerProcess,
    connect: Connect,
    impatient: mssql_python.Cursor,
    table: str,
    definition: str,
) -> None:
    held = server.hold(f"insert into {table} values (4, 40)")
    with pytest.raises(mssql_python.Error, match=TIMED_OUT):
        impatient.execute(definition.format(t=table))
    waiting = Waiting(connect().cursor(), definition.format(t=table), server)
    assert waiting.waits
    # Whoever comes now waits behind it.
    with pytest.raises(mssql_python.Error, match=TIMED_OUT):
        impatient.execute(f"select * from {table} where id = 1").fetchall()
    held.commit()
    assert waiting.ended().error == ""
    if "alter" in definition:
        assert (4, 40, None) in all_of(impatient, f"select * from {table}")


def test_everybody_waits_for_a_definition_that_is_not_committed(
    server: SqlServerProcess, impatient: mssql_python.Cursor, table: str
) -> None:
    held = server.hold(f"alter table {table} add more int null")
    for statement in (
        f"select * from {table} with (nolock)",
        f"insert into {table} values (9, 9)",
        "select name from sys.tables",
    ):
        with pytest.raises(mssql_python.Error, match=TIMED_OUT):
            impatient.execute(statement).fetchall()
    held.commit()
    assert len(all_of(impatient, f"select more from {table}")) == 3


def test_many_rows_are_locked_as_the_whole_table(
    server: SqlServerProcess, impatient: mssql_python.Cursor, schema: str
) -> None:
    server.execute(f"create table {schema}.big (id int not null primary key, n int null)")
    digits = "(values (0),(1),(2),(3),(4),(5),(6),(7),(8),(9)) as"
    server.execute(
        f"insert into {schema}.big (id) select a.d + 10 * b.d + 100 * c.d + 1000 * e.d "
        f"from {digits} a(d) cross join {digits} b(d) cross join {digits} c(d) cross join {digits} e(d)"
    )
    held = server.hold(f"update {schema}.big set n = 1 where id < 6000")
    with pytest.raises(mssql_python.Error, match=TIMED_OUT):
        impatient.execute(f"select * from {schema}.big where id = 9000").fetchall()
    held.rollback()


def test_a_merge_waits_for_changed_rows_of_its_target(
    server: SqlServerProcess, connect: Connect, table: str
) -> None:
    held = server.hold(f"update {table} set n = 11 where id = 1")
    merge = Waiting(
        connect().cursor(),
        f"merge {table} as t using (values (1), (7)) as s(id) on t.id = s.id "
        "when matched then update set n = t.n + 1 when not matched then insert (id, n) values (s.id, 70);",
        server,
    )
    assert merge.waits
    held.commit()
    assert merge.ended().error == ""
    rows = all_of(connect().cursor(), f"select * from {table} order by id")
    assert rows == [(1, 12), (2, 20), (3, 30), (7, 70)]
