"""Where history ends: cleanup, TRUNCATE, tracking switched off, a table made anew, a restore.

docs/relational-databases/track-changes/manage-change-tracking-sql-server.md and work-with-change-tracking-sql-server.md of MicrosoftDocs/sql-docs.
"""

import pytest
from tests.integration.sqlserver_standin.tracking.conftest import TrackedTable

from standins.sqlserver.errors import SqlError
from standins.sqlserver.remote import SqlServerProcess

LOWEST = "select change_tracking_min_valid_version(object_id('{t}'))"
VERSIONS = "select {column} from sys.change_tracking_tables where object_id = object_id('{t}')"


def view(table: TrackedTable, column: str) -> object:
    return table.value(VERSIONS.replace("{column}", column))


def test_a_cleanup_moves_what_is_valid_and_forgets_what_is_older(table: TrackedTable) -> None:
    for number in (1, 2, 3):
        table.run(f"insert into {{t}} (id) values ({number})")
    table.server.clean_up_changes(table.start + 2)
    assert table.value(LOWEST) == table.start + 2
    assert view(table, "cleanup_version") == table.start + 2
    assert view(table, "begin_version") == table.start
    assert table.changes() == [(3, "I")]
    assert table.version() == 3


def test_a_cleanup_of_everything_leaves_the_counter(table: TrackedTable) -> None:
    table.run("insert into {t} (id) values (1)")
    table.server.clean_up_changes(table.start + 1)
    assert table.version() == 1
    table.run("insert into {t} (id) values (2)")
    assert (table.version(), table.changes(None)) == (2, [(2, "I")])


def test_truncate_says_nothing_of_the_rows_and_begins_anew(table: TrackedTable) -> None:
    table.run("insert into {t} (id) values (1), (2)")
    table.run("insert into {t} (id) values (3)")
    table.run("truncate table {t}")
    assert table.changes(None) == []
    assert table.value(LOWEST) == table.start + 2
    assert view(table, "begin_version") == table.start + 2
    assert table.version() == 2
    table.run("insert into {t} (id) values (1)")
    assert table.changes(2) == [(1, "I")]


def test_truncate_takes_what_its_transaction_did_before_with_it(table: TrackedTable) -> None:
    table.run("begin transaction; insert into {t} (id) values (1); truncate table {t}; insert into {t} (id) values (2); commit")  # fmt: skip
    assert table.changes(None) == [(2, "I")]


def test_truncate_that_is_rolled_back_changes_nothing(
    table: TrackedTable, server: SqlServerProcess
) -> None:
    table.run("insert into {t} (id) values (1)")
    server.hold(f"truncate table {table.name}").rollback()
    assert (table.changes(), table.value(LOWEST)) == ([(1, "I")], table.start)


def test_switching_off_and_on_begins_anew(table: TrackedTable) -> None:
    table.run("insert into {t} (id) values (1)")
    table.run("alter table {t} disable change_tracking")
    assert table.value(LOWEST) is None
    assert view(table, "begin_version") is None
    table.run("insert into {t} (id) values (2)")
    table.run("alter table {t} enable change_tracking")
    assert table.changes(None) == []
    assert table.value(LOWEST) == view(table, "begin_version") == table.start + 1
    table.run("insert into {t} (id) values (3)")
    assert table.changes(1) == [(3, "I")]


def test_tracking_that_is_rolled_back_never_was(
    table: TrackedTable, server: SqlServerProcess
) -> None:
    table.run("insert into {t} (id) values (1)")
    server.hold(f"alter table {table.name} disable change_tracking").rollback()
    table.run("insert into {t} (id) values (2)")
    assert table.changes() == [(1, "I"), (2, "I")]


def test_a_table_made_anew_is_not_tracked(table: TrackedTable) -> None:
    table.run("insert into {t} (id) values (1)")
    before = table.value("select object_id('{t}')")
    table.run("drop table {t}; create table {t} (id int primary key)")
    assert table.value("select object_id('{t}')") != before
    with pytest.raises(SqlError) as refused:
        table.run("select * from changetable(changes {t}, 0) as c")
    assert refused.value.number == 22105
    assert table.value(f"select change_tracking_min_valid_version({before})") is None


@pytest.mark.parametrize(
    "definition",
    [
        "alter table {t} add m int not null default 7",
        "alter table {t} alter column s nvarchar(40)",
        "alter table {t} drop column s",
    ],
)
def test_other_columns_come_and_go_without_a_change(table: TrackedTable, definition: str) -> None:
    table.run("insert into {t} (id, n) values (1, 10)")
    table.run(definition)
    assert table.changes(1) == []
    assert (table.version(), table.value(LOWEST)) == (1, table.start)
    table.run("update {t} set n = 11")
    assert table.changes(1) == [(1, "U")]


def test_a_restore_goes_back_in_versions_and_shows_another_fork(table: TrackedTable) -> None:
    fork = "select recovery_fork_guid from sys.database_recovery_status where database_id = db_id()"
    table.run("insert into {t} (id) values (1)")
    table.run("insert into {t} (id) values (2)")
    before = table.value(fork)
    table.run("delete from {t} where id = 2")
    table.server.restore_changes(table.start + 1)
    assert table.version() == 1
    assert table.value(fork) != before
    assert table.changes() == [(1, "I")]
    table.run("insert into {t} (id) values (9)")
    assert (table.version(), table.changes(1)) == (2, [(9, "I")])


def test_the_time_of_a_version_is_told(table: TrackedTable) -> None:
    table.run("insert into {t} (id) values (1)")
    table.run("insert into {t} (id) values (2)")
    sql = f"""select count(*) from sys.dm_tran_commit_table where commit_ts > {table.start}
        and commit_time between dateadd(minute, -5, getutcdate()) and dateadd(minute, 5, getutcdate())"""
    assert table.value(sql) == 2
