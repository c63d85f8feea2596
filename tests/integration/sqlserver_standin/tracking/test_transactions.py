"""Versions are drawn at COMMIT, and readers see counter and history as of their snapshot.

docs/relational-databases/track-changes/work-with-change-tracking-sql-server.md of MicrosoftDocs/sql-docs, and
docs/relational-databases/sql-server-transaction-locking-and-row-versioning-guide.md.
"""

import contextlib
import random
import threading
import time
from collections.abc import Callable

import mssql_python
import pytest
from tests.integration.sqlserver_standin.conftest import wait_until
from tests.integration.sqlserver_standin.tracking.conftest import TrackedTable

from standins.sqlserver.errors import SqlError
from standins.sqlserver.remote import SqlServerProcess

Connect = Callable[..., mssql_python.Connection]


def test_an_open_transaction_is_not_seen_and_its_rollback_draws_no_version(
    table: TrackedTable, server: SqlServerProcess
) -> None:
    held = server.hold(f"insert into {table.name} (id) values (1)")
    assert (table.version(), table.changes()) == (0, [])
    held.rollback()
    assert (table.version(), table.changes()) == (0, [])


def test_versions_follow_the_commits_and_not_the_statements(
    table: TrackedTable, server: SqlServerProcess
) -> None:
    early = server.hold(f"insert into {table.name} (id) values (1)")
    table.run("insert into {t} (id) values (2)")
    early.commit()
    first = table.start + 1
    assert table.changes(0, "sys_change_version") == [(1, first + 1), (2, first)]


def test_a_transaction_is_one_version_and_one_entry_for_a_key(table: TrackedTable) -> None:
    table.run(
        "begin transaction; insert into {t} (id) values (1); update {t} set n = 1; insert into {t} (id) values (2); commit"
    )
    assert table.version() == 1
    first = table.start + 1
    assert table.changes(0, "sys_change_operation, sys_change_version, sys_change_creation_version") == [
        (1, "I", first, first), (2, "I", first, first)
    ]  # fmt: skip


def test_a_row_that_came_and_went_in_one_transaction_is_a_delete(table: TrackedTable) -> None:
    table.run("begin transaction; insert into {t} (id) values (1); delete from {t}; commit")
    assert table.changes() == [(1, "D")]


def test_a_transaction_goes_on_behind_an_error_without_losing_changes(
    table: TrackedTable, connect: Connect
) -> None:
    connection = connect(autocommit=False)
    cursor = connection.cursor()
    cursor.execute(f"insert into {table.name} (id) values (1)")
    with pytest.raises(mssql_python.Error, match="Violation of PRIMARY KEY"):
        cursor.execute(f"insert into {table.name} (id) values (1)")
    cursor.execute(f"insert into {table.name} (id) values (2)")
    connection.commit()
    assert table.changes() == [(1, "I"), (2, "I")]
    assert table.version() == 1


def test_a_statement_that_fails_draws_no_version(table: TrackedTable) -> None:
    with pytest.raises(SqlError, match="Violation of PRIMARY KEY"):
        table.run("insert into {t} (id) values (1), (1)")
    assert (table.version(), table.changes()) == (0, [])


def test_a_table_that_is_not_tracked_draws_no_version(
    table: TrackedTable, server: SqlServerProcess, schema: str
) -> None:
    server.execute(
        f"create table {schema}.u (id int primary key); insert into {schema}.u values (1)"
    )
    assert table.version() == 0


def test_the_counter_is_that_of_the_database(
    table: TrackedTable, server: SqlServerProcess, schema: str
) -> None:
    server.execute(f"create table {schema}.u (id int primary key)")
    server.execute(f"alter table {schema}.u enable change_tracking")
    table.run("insert into {t} (id) values (1)")
    server.execute(f"insert into {schema}.u values (1); insert into {schema}.u values (2)")
    assert table.version() == 3
    assert table.changes(1) == []


def test_a_snapshot_sees_counter_history_and_rows_of_one_moment(
    table: TrackedTable, connect: Connect
) -> None:
    table.run("insert into {t} (id, n) values (1, 10), (2, 20)")
    reader = connect().cursor()
    reader.execute("set transaction isolation level snapshot")
    reader.execute("begin transaction")
    version = f"select change_tracking_current_version() - {table.start}"
    assert reader.execute(version).fetchval() == 1
    table.run("update {t} set n = 11 where id = 1; delete from {t} where id = 2")
    table.run("insert into {t} (id) values (3)")
    table.server.clean_up_changes(table.start + 2)
    seen = reader.execute(
        f"""select c.id, c.sys_change_operation, t.n from changetable(changes {table.name}, {table.start}) as c
        left outer join {table.name} t on t.id = c.id order by c.id"""
    ).fetchall()
    assert [tuple(row) for row in seen] == [(1, "I", 10), (2, "I", 20)]
    assert reader.execute(version).fetchval() == 1
    lowest = f"select change_tracking_min_valid_version(object_id('{table.name}'))"
    assert reader.execute(lowest).fetchval() == table.start
    reader.execute("commit")
    assert reader.execute(version).fetchval() == 4
    assert reader.execute(lowest).fetchval() == table.start + 2


def test_other_readers_see_what_was_committed_last(table: TrackedTable, connect: Connect) -> None:
    reader = connect(autocommit=False).cursor()
    version = f"select change_tracking_current_version() - {table.start}"
    assert reader.execute(version).fetchval() == 0
    table.run("insert into {t} (id) values (1)")
    assert reader.execute(version).fetchval() == 1


@pytest.mark.parametrize(
    "definition",
    [
        "alter table {t} add m int null",
        "alter table {t} disable change_tracking",
        "drop table {t}; create table {t} (id int primary key)",
    ],
)
def test_a_snapshot_cannot_read_a_table_that_was_defined_anew_meanwhile(
    table: TrackedTable, connect: Connect, definition: str
) -> None:
    table.run("insert into {t} (id) values (1)")
    reader = connect().cursor()
    reader.execute("set transaction isolation level snapshot")
    reader.execute("begin transaction")
    reader.execute("select change_tracking_current_version()").fetchval()
    table.run(definition)
    for sql in (
        f"select * from {table.name}",
        f"select * from changetable(changes {table.name}, 0) as c",
    ):
        with pytest.raises(mssql_python.Error, match="has been modified by a DDL statement"):
            reader.execute(sql)
    reader.execute("rollback")
    reader.execute(f"select id from {table.name}").fetchall()


def test_a_snapshot_needs_the_leave_of_the_database(table: TrackedTable, connect: Connect) -> None:
    table.run("insert into {t} (id) values (1)")
    reader = connect().cursor()
    reader.execute("alter database current set allow_snapshot_isolation off")
    try:
        state = (
            "select snapshot_isolation_state_desc from sys.databases where database_id = db_id()"
        )
        assert reader.execute(state).fetchval() == "OFF"
        reader.execute("set transaction isolation level snapshot")
        for sql in (
            f"select * from {table.name}",
            f"select * from changetable(changes {table.name}, 0) as c",
            f"insert into {table.name} (id) values (2)",
        ):
            with pytest.raises(mssql_python.Error, match="snapshot isolation is not allowed in this database"):  # fmt: skip
                reader.execute(sql)
    finally:
        reader.execute("alter database current set allow_snapshot_isolation on")
    assert len(reader.execute(f"select * from {table.name}").fetchall()) == 1


def test_tracking_begins_behind_those_who_wrote_before_it(
    table: TrackedTable, server: SqlServerProcess
) -> None:
    """A writer that commits later is not lost between the first version and the first change: ALTER TABLE waits for it."""
    table.run("alter table {t} disable change_tracking")
    held = server.hold(f"insert into {table.name} (id) values (1)")
    with pytest.raises(SqlError, match="Lock request time out period exceeded") as refused:
        table.run("set lock_timeout 0; alter table {t} enable change_tracking")
    assert (refused.value.number, refused.value.severity, refused.value.state) == (1222, 16, 51)
    held.commit()
    table.run("alter table {t} enable change_tracking")
    assert table.changes(None) == []


def test_a_waiting_alter_table_goes_on_when_the_writer_ends(
    table: TrackedTable, server: SqlServerProcess, connect: Connect
) -> None:
    writer = connect(autocommit=False)
    writer.cursor().execute(f"insert into {table.name} (id) values (1)")
    other = connect().cursor()
    waiting = threading.Thread(target=other.execute, args=(f"alter table {table.name} disable change_tracking",))  # fmt: skip
    waiting.start()
    waiting.join(0.5)
    assert waiting.is_alive()
    writer.commit()
    waiting.join(20)
    assert not waiting.is_alive()
    with pytest.raises(SqlError, match="Change tracking is not enabled on table"):
        table.run("select * from changetable(changes {t}, 0) as c")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("update {t} set n = 1 where id = 1", "delete from {t} where id = 1"),
        ("delete from {t} where id = 1", "update {t} set n = 1 where id = 1"),
        ("update {t} set id = 9 where id = 1", "update {t} set n = 1 where id = 1"),
        ("delete from {t} where id = 1", "delete from {t} where id = 1"),
    ],
)
def test_of_two_that_change_one_key_the_second_waits_so_that_history_and_table_tell_one_story(
    table: TrackedTable, server: SqlServerProcess, connect: Connect, first: str, second: str
) -> None:
    table.run("insert into {t} (id) values (1), (2)")
    held = server.hold(first.format(t=table.name))
    with pytest.raises(SqlError) as refused:
        table.run(f"set lock_timeout 0; {second}")
    assert refused.value.number == 1222
    waiting = threading.Thread(
        target=connect().cursor().execute, args=(second.format(t=table.name),)
    )
    waiting.start()
    wait_until(lambda: server.waiting() == 1)
    table.run("update {t} set n = 5 where id = 2")
    held.commit()
    waiting.join(30)
    assert not waiting.is_alive()
    left = [row[0] for row in connect().cursor().execute(f"select id from {table.name}").fetchall()]
    changes = dict(table.changes(0))
    assert {key for key, operation in changes.items() if operation != "D"} == set(left)


@pytest.mark.parametrize("seed", range(3))
def test_a_copy_made_of_changes_is_equal_whenever_it_is_looked_at(
    table: TrackedTable, connect: Connect, seed: int
) -> None:
    """Writers that fail, roll back, move keys and put rows where others were, while a reader follows."""
    until = time.monotonic() + 3
    failures: list[BaseException] = []

    def write(number: int) -> None:
        choose = random.Random(seed * 10 + number)
        connection = connect(autocommit=False)
        cursor = connection.cursor()
        while time.monotonic() < until:
            for _ in range(choose.randint(1, 4)):
                a, b = choose.randint(1, 30), choose.randint(1, 30)
                sql = choose.choice([
                    f"insert into {table.name} (id, n) values ({a}, {b})", f"update {table.name} set n = {b} where id = {a}",
                    f"update {table.name} set id = {b} where id = {a}", f"delete from {table.name} where id = {a}",
                    f"delete from {table.name} where id = {a} insert into {table.name} (id, n) values ({a}, {b})",
                ])  # fmt: skip
                with contextlib.suppress(mssql_python.Error):
                    cursor.execute(sql)
            with contextlib.suppress(mssql_python.Error):
                if choose.random() < 0.2:
                    connection.rollback()
                else:
                    connection.commit()

    def guarded(number: int) -> None:
        try:
            write(number)
        except BaseException as failure:  # noqa: BLE001 - told by the test itself
            failures.append(failure)

    writers = [threading.Thread(target=guarded, args=(number,)) for number in range(3)]
    for writer in writers:
        writer.start()
    reader = connect().cursor()
    reader.execute("set transaction isolation level snapshot")
    copy: dict[int, object] = {}
    bookmark = table.start
    ended = False
    while not ended:
        ended = not any(writer.is_alive() for writer in writers)
        reader.execute("begin transaction")
        version = reader.execute("select change_tracking_current_version()").fetchval()
        changes = reader.execute(
            f"""select c.id, c.sys_change_operation, t.n from changetable(changes {table.name}, {bookmark}) as c
            left outer join {table.name} t on t.id = c.id"""
        ).fetchall()
        for key, operation, _ in changes:
            if operation == "D":
                copy.pop(key, None)
        copy.update({key: n for key, operation, n in changes if operation != "D"})
        rows = reader.execute(f"select id, n from {table.name}").fetchall()
        assert copy == {row[0]: row[1] for row in rows}
        reader.execute("commit")
        bookmark = version
    assert failures == []
    assert table.version() > 3
